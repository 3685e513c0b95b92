"""What was taken for what: a matrix of counts, as rows and as pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visionkit.evaluation.outcomes import IntArray

MOST_CLASSES = 40
"""A larger matrix can't be read; pairs are listed instead."""

Cell = tuple[int, float, str]
"""Count, its share of the row, and "right", "wrong" or "missed"."""


def confusion_rows(confusion: IntArray, names: Sequence[str]) -> list[tuple[str, list[Cell]]]:
    """Name and cells of each row; none where there are no classes, or more than can be read.

    Args:
        confusion: (R, C + 1) int64, rows what is there, columns what was said, the last one
            nothing; the first C rows are of the classes of the columns.
        names: of the R rows.
    """
    last = confusion.shape[1] - 1
    if not 0 < last <= MOST_CLASSES:
        return []
    return [
        (name, [_cell(row, column, last, confusion) for column in range(last + 1)])
        for row, name in enumerate(names)
    ]


def confusion_pairs(confusion: IntArray, names: Sequence[str]) -> list[tuple[str, str, int]]:
    """What is there, what it was taken for, how often: most often first.

    Args:
        confusion: (K, K) int64 or larger; what lies outside is left out.
        names: of the K classes.
    """
    between = confusion[: len(names), : len(names)].copy()
    np.fill_diagonal(between, 0)
    rows, columns = np.nonzero(between)
    pairs = [
        (names[row], names[column], int(between[row, column]))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
    return sorted(pairs, key=lambda pair: -pair[2])


def _cell(row: int, column: int, last: int, confusion: IntArray) -> Cell:
    count, total = int(confusion[row, column]), int(confusion[row].sum())
    kind = "right" if row == column else "missed" if column == last else "wrong"
    return count, count / total if total else 0.0, kind
