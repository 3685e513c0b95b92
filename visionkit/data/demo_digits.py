"""The demo set for classification: scans of handwritten digits that come with visionkit.

It has the form of a user's own data: class folders in a folder a split. Licence and origin of
the scans stand beside them, in `demo_scans/LICENCE.md`.
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.images import read_image
from visionkit.data.making import MadeSet, write_picture

VERSION = 1
"""Raised when the same settings give other pictures; sets of another version are made again."""

COUNT = 1797
SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}

_SCANS = Path(__file__).parent / "demo_scans"
_CELL = 8  # pixels of a scan, each way
_SIDE = 32  # pixels it is enlarged to, so that a person can read it
_NAMES = re.compile(r"(train|val|test)/\d/digit_\d{4}\.png")


def digit_scans() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All scans, (1797, 8, 8) uint8, dark ink on light paper, and their digits, (1797,) int64.

    They stand in the order of the 13 people who wrote them.

    Raises:
        FileNotFoundError: the installation lacks them.
    """
    sheet = read_image(_SCANS / "digits.png")[..., 0]
    rows, columns = sheet.shape[0] // _CELL, sheet.shape[1] // _CELL
    cells = sheet.reshape(rows, _CELL, columns, _CELL).swapaxes(1, 2).reshape(-1, _CELL, _CELL)
    digits = "".join((_SCANS / "digits.txt").read_text("utf-8").split())
    return cells[: len(digits)].copy(), np.array([int(digit) for digit in digits], np.int64)


def make_demo_digits(folder: str | Path, *, count: int = COUNT, seed: int = 0) -> Path:
    """The demo set in `folder`, made unless it is there already and whole; returns the folder.

    60 % of each digit are for training, 15 % for validation and 25 % for test. All people wrote
    for each of these: someone else's digits are harder than those of test.

    Args:
        folder: where it lies; made if missing.
        count: how many scans, 20 to 1797, of each digit about as many.
        seed: of the choice and the splits.

    Raises:
        ValueError: the count is out of its range.
        FileExistsError: the folder holds something that no demo set made.
        RuntimeError: the disk is full.
    """
    if not 20 <= count <= COUNT:
        raise ValueError(f"digits of the demo set must be 20 to {COUNT}, got {count}")
    settings = {"set": "digits", "count": count, "seed": seed}
    made = MadeSet(VERSION, settings, _NAMES, lambda place: _fill(place, count, seed))
    made.make(Path(folder))
    return Path(folder)


def _fill(folder: Path, count: int, seed: int) -> None:
    scans, digits = digit_scans()
    order = np.random.default_rng(seed).permutation(len(digits))
    # By turns one of each digit, so that any count has about as many of each.
    turns = np.empty(len(digits), np.int64)
    for digit in range(10):
        places = order[digits[order] == digit]
        turns[places] = np.arange(len(places))
    chosen = order[np.argsort(turns[order], kind="stable")][:count]
    for digit in range(10):
        places = chosen[digits[chosen] == digit]
        for number, place in enumerate(places):
            path = folder / _split(number, len(places)) / str(digit) / f"digit_{place:04d}.png"
            size = (_SIDE, _SIDE)
            larger = cv2.resize(scans[place], size, interpolation=cv2.INTER_CUBIC)
            write_picture(path, np.asarray(larger, np.uint8))


def _split(number: int, count: int) -> str:
    """The split of one of `count` scans of a digit; of two one is for test, of three each."""
    val, test = (
        max(min(1, count // least), round(SHARES[part] * count))
        for part, least in (("val", 3), ("test", 2))
    )
    if number < count - val - test:
        return "train"
    return "val" if number < count - test else "test"
