"""Which picture is for training, validation and test, decided by what it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import pyarrow as pa

from visionkit.data.table import with_splits
from visionkit.types import Split

DEFAULT_FRACTIONS: Mapping[str, float] = MappingProxyType({"train": 0.8, "val": 0.1, "test": 0.1})
# A copy in two given splits goes to the first of these: what is trained on is never tested on.
_ORDER: tuple[Split, ...] = ("train", "val", "test")


def assign_splits(
    table: pa.Table, fractions: Mapping[str, float] = DEFAULT_FRACTIONS, *, seed: int = 0
) -> pa.Table:
    """The table with a split in every row; copies always share one.

    A picture's split is drawn from its content hash and the seed alone, so that it stays when
    pictures are added or removed, and so that parts only *approach* their fractions: of ten
    pictures one part may get none. Splits that rows have already are kept, and their copies
    follow them; copies with different splits all go to the one used for learning.

    Args:
        table: of `visionkit.data.table.SCHEMA`.
        fractions: "train", "val", "test" -> share; a part that is not named gets none.
        seed: another seed draws another split.

    Raises:
        ValueError: fractions are negative, don't sum to 1, or name another part.
    """
    _check(fractions)
    hashes = cast(list[str], table.column("content_hash").to_pylist())
    given = cast(list[Split], table.column("split").to_pylist())
    by_hash: dict[str, Split] = {}
    for content_hash, split in zip(hashes, given, strict=True):
        if split:
            known = by_hash.get(content_hash, split)
            by_hash[content_hash] = min(split, known, key=_ORDER.index)
    splits = [by_hash.get(key) or _draw(key, fractions, seed) for key in hashes]
    return with_splits(table, splits)


def _check(fractions: Mapping[str, float]) -> None:
    unknown = sorted(set(fractions) - set(_ORDER))
    if unknown:
        raise ValueError(f"fractions must name train, val and test, got {unknown[0]!r}")
    if not all(share >= 0 for share in fractions.values()):
        raise ValueError(f"fractions must not be negative, got {dict(fractions)}")
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError(f"fractions must sum to 1, got {dict(fractions)}")


def _draw(content_hash: str, fractions: Mapping[str, float], seed: int) -> Split:
    digest = hashlib.blake2b(f"{seed}:{content_hash}".encode(), digest_size=8).digest()
    position = int.from_bytes(digest, "big") / 2**64
    for split in _ORDER:
        position -= fractions.get(split, 0.0)
        if position < 0:
            return split
    return next(split for split in reversed(_ORDER) if fractions.get(split, 0.0) > 0)
