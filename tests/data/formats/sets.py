"""Small sets of the formats on disk, and what is read from them in short."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from visionkit.data.formats import read
from visionkit.data.table import to_samples
from visionkit.types import Sample

COCO_FILE = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 8]}],
        "categories": [{"id": 1, "name": "cola"}],
    }
)
VOC_FILE = """<annotation><filename>a.png</filename><object><name>cola</name><bndbox>
<xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>10</ymax></bndbox></object></annotation>"""
MANIFEST = json.dumps(
    {
        "source-ref": "s3://bucket/some/key/a.png",
        "x": {"annotations": [{"class_id": 0, "left": 1, "top": 2, "width": 9, "height": 8}]},
        "x-metadata": {"type": "groundtruth/object-detection", "class-map": {"0": "cola"}},
    }
)
YOLO_LINE = "0 0.1375 0.2 0.225 0.266666667"  # the same box of a picture of 40 x 30
BOX = ("cola", (1.0, 2.0, 10.0, 10.0))


def save_picture(path: Path, width: int = 40, height: int = 30, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    PillowImage.fromarray(pixels).save(path, "PNG")
    return path


def said(samples: list[Sample]) -> list[Sample]:
    """The samples, sorted as `read` does, without where the files lie."""
    return sorted((replace(s, uri="") for s in samples), key=lambda sample: sample.id)


def boxes_of(path: Path, format: str = "auto", **options: object) -> dict[str, list[object]]:
    """Id -> (label, box) of each box, or labels of the picture."""
    table = read(path, format, **options).table  # type: ignore[arg-type]
    return {
        sample.id: [(o.label, o.box) for o in sample.objects] or list(sample.labels)
        for sample in to_samples(table)
    }


def write_files(folder: Path, files: dict[str, str]) -> Path:
    """Text files, and pictures for names that end in .png."""
    for number, (name, text) in enumerate(files.items()):
        if name.endswith(".png"):
            save_picture(folder / name, seed=number)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
    return folder


def csv_file(*rows: str, header: str = "path,label,xmin,ymin,xmax,ymax,width,height") -> str:
    return "\n".join([header, *rows]) + "\n"
