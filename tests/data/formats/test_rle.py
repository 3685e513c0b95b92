"""COCO's masks as runs of pixels: those of pycocotools, as numbers and in its code."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tests.data.formats.sets import boxes_of, write_files
from visionkit.data.formats import NothingLeftError, read
from visionkit.data.formats.rle import read_mask

BLOCK = {"counts": [2 * 30 + 5, 10, 20, 10, 15 + 30 * 36], "size": [30, 40]}
"""Two columns from x = 2, rows 5 to 14, of 40 x 30 pixels."""


def coco_set(folder: Path, *segmentations: object, **image: Any) -> Path:
    """A picture of 40 x 30 with things that have a segmentation alone."""
    stated = [
        {"id": number, "image_id": 1, "category_id": 1, "segmentation": segmentation}
        for number, segmentation in enumerate(segmentations, start=1)
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", **image}],
        "annotations": stated,
        "categories": [{"id": 1, "name": "cola"}],
    }
    return write_files(folder, {"x.json": json.dumps(content), "a.png": ""})


def runs_of(mask: np.ndarray[Any, np.dtype[np.uint8]]) -> dict[str, Any]:
    """A mask (H, W) of 0 and 1 as numbers, column after column."""
    columns = mask.T.ravel().tolist()
    counts = [len(list(group)) for _, group in groupby(columns)]
    return {"counts": [0, *counts] if columns[0] else counts, "size": list(mask.shape)}


def coded(mask: np.ndarray[Any, np.dtype[np.uint8]]) -> dict[str, Any]:
    """The same in pycocotools' code."""
    found = coco_mask.encode(np.asfortranarray(mask))
    return {"counts": found["counts"].decode(), "size": list(found["size"])}


def test_a_mask_is_read_as_the_box_around_it(tmp_path: Path) -> None:
    block = np.zeros((30, 40), np.uint8)
    block[5:15, 2:4] = 1
    assert runs_of(block)["counts"] == BLOCK["counts"]
    ring = np.zeros((30, 40), np.uint8)
    ring[0:30, 10:13] = ring[20:22, 30] = 1
    triangle = [[20, 1, 30, 1, 30, 9]]
    source = coco_set(tmp_path, BLOCK, coded(ring), triangle, width=40, height=30)
    assert boxes_of(source) == {
        "a.png": [("cola", (2, 5, 4, 15)), ("cola", (10, 0, 31, 30)), ("cola", (20, 1, 30, 9))]
    }
    assert [(problem.level, problem.reason) for problem in read(source).problems] == [
        ("warning", "annotations without bbox: 2; the box around their masks is taken"),
        ("warning", "annotations without bbox: 1; the box around their polygons is taken"),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_numbers_and_code_say_what_pycocotools_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 400, 2))
    mask = (rng.random((height, width)) < rng.choice([0.002, 0.3, 0.98])).astype(np.uint8)
    mask[int(rng.integers(height)), int(rng.integers(width))] = 1
    rows, columns = np.nonzero(mask)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert read_mask(runs_of(mask)) == (box, (width, height))
    assert read_mask(coded(mask)) == (box, (width, height))


@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param({"counts": [1200], "size": [30, 40]}, id="nothing in it"),
        pytest.param({"counts": [600, 0, 600], "size": [30, 40]}, id="a run of none"),
        pytest.param({"counts": [], "size": [30, 40]}, id="no runs"),
        pytest.param({"counts": "", "size": [30, 40]}, id="no code"),
        pytest.param({"counts": [65, 10, 20], "size": [30, 40]}, id="too short"),
        pytest.param({"counts": [65, 10, -20, 1145], "size": [30, 40]}, id="below 0"),
        pytest.param({"counts": [65, 10.5, 1124.5], "size": [30, 40]}, id="no whole numbers"),
        pytest.param({"counts": [65, True, 1134], "size": [30, 40]}, id="no number"),
        pytest.param({"counts": "Q2", "size": [30, 40]}, id="cut code"),
        pytest.param({"counts": "Q2:\x7f", "size": [30, 40]}, id="a sign that is none"),
        pytest.param({"counts": "o" * 100_000 + "0", "size": [30, 40]}, id="endless number"),
        pytest.param({"counts": [1, 1], "size": [2]}, id="half a size"),
        pytest.param({"counts": [0, 1], "size": [0, 0]}, id="no size"),
        pytest.param({"counts": [0, 1]}, id="size unsaid"),
        pytest.param({"size": [30, 40]}, id="runs unsaid"),
    ],
)
def test_what_is_no_mask_is_listed(tmp_path: Path, segmentation: object) -> None:
    with pytest.raises(NothingLeftError) as error:
        read(coco_set(tmp_path, segmentation))
    reasons = [problem.reason for problem in error.value.problems]
    assert "got None, and no polygons in its place; left out" in reasons[0]
    assert "none of the 1 boxes of a.png can be used" in reasons[1]


def test_a_mask_of_another_size_is_listed(tmp_path: Path) -> None:
    small = {"counts": [0, 4, 296], "size": [15, 20]}
    source = coco_set(tmp_path / "stated", BLOCK, small, width=40, height=30)
    assert boxes_of(source) == {"a.png": [("cola", (2, 5, 4, 15))]}
    reason = "the mask must be of the size of its picture, 40 x 30, got 20 x 15; left out"
    assert read(source).problems[0].reason == reason
    with pytest.raises(NothingLeftError, match=r"that of a\.png, 40 x 30, got 20 x 15"):
        read(coco_set(tmp_path / "unsaid", small))
