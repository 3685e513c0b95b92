"""Ultralytics' yolo11n, trained from its yaml and asked for its boxes; started by another python.

    /path/to/peer/bin/python benchmarks/peers/yolo.py --data set/data.yaml --pictures test.txt \
        --minutes 20 --size 416 --output found.jsonl

It runs in an environment of its own, in which `ultralytics` is installed and visionkit need not
be: the licence of Ultralytics is AGPL-3.0, and nothing of visionkit imports it. Weights of the hub
are not used. Each line of the output is a picture: its path, and boxes (xyxy pixels), scores and
class numbers.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="data.yaml of the set to learn from")
    parser.add_argument("--pictures", required=True, help="text file, a path of a picture a line")
    parser.add_argument("--minutes", type=float, required=True, help="of training")
    parser.add_argument("--size", type=int, default=416, help="longest side in pixels")
    parser.add_argument("--batch", type=int, default=16, help="pictures a step")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--output", required=True, help="JSON Lines file that is written")
    arguments = parser.parse_args()
    os.environ.setdefault("YOLO_OFFLINE", "true")
    pictures = Path(arguments.pictures).read_text("utf-8").splitlines()
    with Path(arguments.output).open("w", encoding="utf-8") as file:
        for line in found(arguments, pictures):
            file.write(json.dumps(line) + "\n")


def found(arguments: argparse.Namespace, pictures: list[str]) -> list[dict[str, object]]:
    """What the trained network finds in each picture, whatever its score."""
    import torch
    from ultralytics import YOLO

    model = YOLO("yolo11n.yaml")
    # Choosing the processor sets a number of threads of its own, one less than there are cores.
    model.add_callback("on_train_start", lambda _: torch.set_num_threads(arguments.threads))
    model.train(
        data=arguments.data,
        time=arguments.minutes / 60,
        epochs=1000,  # the time ends it
        imgsz=arguments.size,
        batch=arguments.batch,
        device="cpu",
        workers=0,
        cache="ram",
        pretrained=False,
        amp=False,
        val=False,
        plots=False,
        project=str(Path(arguments.output).parent / "peer"),
        name="yolo11n",
    )
    trained = YOLO(str(Path(model.trainer.save_dir) / "weights" / "last.pt"))
    lines: list[dict[str, object]] = []
    for picture in pictures:
        result = trained.predict(
            picture,
            imgsz=arguments.size,
            conf=0.001,
            iou=0.6,
            max_det=100,
            device="cpu",
            verbose=False,
        )[0]
        lines.append(
            {
                "path": picture,
                "boxes": result.boxes.xyxy.tolist(),
                "scores": result.boxes.conf.tolist(),
                "classes": [int(number) for number in result.boxes.cls.tolist()],
            }
        )
    return lines


if __name__ == "__main__":
    main()
