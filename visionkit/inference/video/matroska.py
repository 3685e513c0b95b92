"""Whether a stretch of a Matroska or WebM file is sound, by its elements (RFC 8794, RFC 9559).

An element is an ID, the size of its content and the content, which may be elements in turn.
"""

from __future__ import annotations

from typing import BinaryIO

_SEGMENT, _CLUSTER, _BLOCK_GROUP = 0x18538067, 0x1F43B675, 0xA0
_SIMPLE_BLOCK, _BLOCK = 0xA3, 0xA1
_ENTERED = frozenset({_SEGMENT, _CLUSTER, _BLOCK_GROUP})
_BLOCKS = frozenset({_SIMPLE_BLOCK, _BLOCK})
_LONGEST_ID, _LONGEST_SIZE = 4, 8  # bytes


def is_sound(file: BinaryIO, start: int, end: int) -> bool:
    """Whether elements lead from one block to a later one, without a byte that belongs to none.

    Args:
        file: open for reading.
        start: where the content of the first block begins, in bytes from the file's start.
        end: where that of the later one begins.
    """
    place = _end_of_block(file, start)
    while place is not None and place < end:
        file.seek(place)
        header = file.read(_LONGEST_ID + _LONGEST_SIZE)
        length = _length(header, _LONGEST_ID)
        size_length = _length(header[length:], _LONGEST_SIZE)
        if not length or not size_length:
            return False
        kind = int.from_bytes(header[:length])
        size = _size(header[length : length + size_length])
        place += length + size_length
        if kind in _BLOCKS and place == end:
            return True
        if kind in _ENTERED:
            continue
        place = None if size is None else place + size
    return False


def _end_of_block(file: BinaryIO, start: int) -> int | None:
    """Where the block ends whose content begins at `start`; None where none does."""
    longest = min(start, 1 + _LONGEST_SIZE)
    file.seek(start - longest)
    before = file.read(longest)
    for length in range(2, len(before) + 1):
        header = before[-length:]
        if header[0] in _BLOCKS and _length(header[1:], _LONGEST_SIZE) == length - 1:
            size = _size(header[1:])
            return None if size is None else start + size
    return None


def _length(number: bytes, longest: int) -> int:
    """How many bytes an ID or a size has, by the zeros that it begins with; 0 where it is none."""
    length = 9 - number[0].bit_length() if number else 0
    return length if length <= min(longest, len(number)) else 0


def _size(number: bytes) -> int | None:
    """The size that bytes say; None where it is not known, as of clusters of live recordings."""
    bits = 7 * len(number)
    size = int.from_bytes(number) & ((1 << bits) - 1)
    return None if size == (1 << bits) - 1 else size
