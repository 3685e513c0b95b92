"""The box around a mask in COCO's run-length encoding (RLE).

A mask is `{"counts": ..., "size": [height, width]}`. Counts are lengths of runs of pixels, down
the first column, then down the next, in turn beside the thing and on it, beside it first. They
are a list, or a string of their code; see maskApi.h, and rleFrString in maskApi.c, of
https://github.com/cocodataset/cocoapi/tree/master/common.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from visionkit.data.formats.entry import Box, numbers, stated_size

_LONGEST = 7
"""Signs of a number in the code, 5 bits each: they hold any difference of counts in 32 bits."""


def read_mask(segmentation: object) -> tuple[Box, tuple[int, int]] | None:
    """The box xyxy around a mask, and its (width, height); None of what is none, or is empty.

    >>> read_mask({"counts": [7, 2, 3], "size": [3, 4]})
    ((2.0, 1.0, 3.0, 3.0), (4, 3))
    >>> read_mask({"counts": "723", "size": [3, 4]})
    ((2.0, 1.0, 3.0, 3.0), (4, 3))
    """
    if not isinstance(segmentation, dict):
        return None
    height, width = numbers(segmentation.get("size"), 2) or (0, 0)
    size = stated_size(width, height)
    counts = _whole(segmentation.get("counts"))
    if size is None or sum(counts) != size[0] * size[1] or min(counts) < 0:
        return None
    box = _around(counts, size[1])
    return None if box is None else (box, size)


def _whole(counts: object) -> list[int]:
    """Counts of either form as whole numbers; none of what is neither."""
    if isinstance(counts, str):
        return _decode(counts)
    if not isinstance(counts, list):
        return []
    return counts if all(type(count) is int for count in counts) else []


def _decode(code: str) -> list[int]:
    """The numbers of a code; none of what is no code.

    A sign is 48 and 6 bits: 5 of the number, the lowest first, and whether more follow. The
    highest bit of the last sign is the number's sign. From the fourth on, a number is what a
    count differs by from the last but one.
    """
    counts: list[int] = []
    value = bits = 0
    for sign in code:
        number = ord(sign) - 48
        if not 0 <= number < 64 or bits == 5 * _LONGEST:
            return []
        value |= (number & 31) << bits
        bits += 5
        if number & 32:
            continue
        if number & 16:
            value -= 1 << bits
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = bits = 0
    return [] if bits else counts


def _around(counts: Sequence[int], height: int) -> Box | None:
    """The box around the pixels of every second run; None where there are none."""
    ends = list(accumulate(counts))
    xs: list[int] = []
    ys: list[int] = []
    for start, end in zip(ends[::2], ends[1::2], strict=False):  # a last run beside it is alone
        if start == end:
            continue
        (first, top), (last, bottom) = divmod(start, height), divmod(end - 1, height)
        xs += [first, last + 1]
        ys += [top, bottom + 1] if first == last else [0, height]
    if not xs:
        return None
    return float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys))
