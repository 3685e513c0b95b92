"""Ultralytics' yolo11n over a video; started by another python, in which `ultralytics` is.

    /path/to/peer/bin/python benchmarks/peers/yolo_video.py --video clip.mp4 --size 320 --frames 200

Prints one line of JSON: frames, seconds in all, and seconds in the network as it says itself. The
network is built from its yaml, with weights at random: what is measured is the time. See `yolo.py`
for why it runs by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--video", required=True, help="file that is watched")
    parser.add_argument("--size", type=int, default=320, help="longest side in pixels")
    parser.add_argument("--frames", type=int, default=200, help="of the video, that are watched")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    arguments = parser.parse_args()
    os.environ.setdefault("YOLO_OFFLINE", "true")
    import torch
    from ultralytics import YOLO

    torch.set_num_threads(arguments.threads)
    model = YOLO("yolo11n.yaml")
    results = model.predict(
        arguments.video, imgsz=arguments.size, stream=True, device="cpu", verbose=False
    )
    next(results)  # the first frame loads what is loaded once
    torch.set_num_threads(arguments.threads)
    frames, network, start = 0, 0.0, time.perf_counter()
    for result in results:
        frames += 1
        network += result.speed["inference"] / 1000
        if frames == arguments.frames:
            break
    seconds = time.perf_counter() - start
    print(json.dumps({"frames": frames, "seconds": seconds, "network": network}))


if __name__ == "__main__":
    main()
