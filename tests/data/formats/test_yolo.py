"""YOLO's lines that hold more than a box."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.formats.sets import BOX, YOLO_LINE, boxes_of, write_files


@pytest.mark.parametrize(
    "points", [" 0.9 0.9 0.8 0.1", " 0.9 0.9 1 0 0 0 0.7 0.7 1 0.1 0.1 1", " 0.5 0.5 2"]
)
def test_key_points_are_no_outline(tmp_path: Path, points: str) -> None:
    files = {
        "data.yaml": "names: [cola]\nkpt_shape: [4, 3]\n",
        "images/a.png": "",
        "labels/a.txt": YOLO_LINE + points,
    }
    (found,) = boxes_of(write_files(tmp_path, files)).values()
    ((label, box),) = found
    assert (label, box) == (BOX[0], pytest.approx(BOX[1], abs=1e-4))


def test_without_key_points_more_numbers_are_an_outline(tmp_path: Path) -> None:
    files = {
        "data.yaml": "names: [cola]\n",
        "images/a.png": "",  # 40 x 30
        "labels/a.txt": "0 0.1 0.2 0.5 0.2 0.3 0.8",
    }
    (found,) = boxes_of(write_files(tmp_path, files)).values()
    assert found == [("cola", pytest.approx((4, 6, 20, 24)))]
