"""Ultralytics' yolo11n over a video; started by another python, in which `ultralytics` is.

    /path/to/peer/bin/python benchmarks/peers/yolo_video.py --video clip.mp4 --size 320 --frames 200

Prints one line of JSON: frames, CPU seconds in all and in the network, and boxes given a frame. The
network is built from its yaml, with weights at random; what is measured is the time. It finds
nothing by itself, so `SEEN` is written over its outputs. See `yolo.py` for why it runs by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable
from typing import Any

_DRAW = random.Random(0)
_OBJECTS = [(_DRAW.uniform(10, 250), _DRAW.uniform(10, 120), number) for number in range(6)]
SEEN = [
    (x + _DRAW.uniform(-3, 3), y + _DRAW.uniform(-3, 3), 50.0, 40.0, label, _DRAW.uniform(0.5, 0.9))
    for x, y, label in _OBJECTS
    for _ in range(5)
]
"""Left, top, width and height in pixels of the network's input, class and score of the boxes that
both networks say of each frame: six objects, each seen by five cells."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--video", required=True, help="file that is watched")
    parser.add_argument("--size", type=int, default=320, help="longest side in pixels")
    parser.add_argument("--frames", type=int, default=200, help="of the video, after the first")
    arguments = parser.parse_args()
    # One core, hence one thread: OpenCV decodes ahead with as many as there are cores, whatever
    # OPENCV_FFMPEG_CAPTURE_OPTIONS says.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ.setdefault("YOLO_OFFLINE", "true")
    import torch
    from ultralytics import YOLO
    from ultralytics.models.yolo.detect import DetectionPredictor

    class Timed(DetectionPredictor):  # type: ignore[misc]
        """Adds up the time from pixels of the network's size, uint8, to its raw outputs."""

        network = 0.0

        def preprocess(self, im: Any) -> Any:
            seconds, result = _clocked(lambda: super(Timed, self).preprocess(im))
            Timed.network += seconds
            return result

        def pre_transform(self, im: Any) -> Any:
            seconds, result = _clocked(lambda: super(Timed, self).pre_transform(im))
            Timed.network -= seconds  # letterboxing is not the network
            return result

        def inference(self, im: Any, *args: Any, **options: Any) -> Any:
            start = time.process_time()
            result = super().inference(im, *args, **options)
            for place, (x, y, width, height, label, score) in enumerate(SEEN):
                middle = (x + width / 2, y + height / 2, width, height)
                result[0][0, :4, 7 * place] = torch.tensor(middle)
                result[0][0, 4 + label, 7 * place] = score
            Timed.network += time.process_time() - start
            return result

    torch.set_num_threads(1)
    model = YOLO("yolo11n.yaml")
    results = model.predict(
        arguments.video, imgsz=arguments.size, stream=True, device="cpu", verbose=False,
        predictor=Timed,
    )  # fmt: skip
    next(results)  # the first frame loads what is loaded once
    torch.set_num_threads(1)
    Timed.network = 0.0
    frames, boxes, start = 0, 0, time.process_time()
    for result in results:
        frames += 1
        boxes += len(result.boxes)
        if frames == arguments.frames:
            break
    seconds = time.process_time() - start
    said = {"frames": frames, "seconds": seconds, "network": Timed.network, "boxes": boxes / frames}
    print(json.dumps(said))


def _clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


if __name__ == "__main__":
    main()
