"""Which part of the data each of several heads learns from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from visionkit.config import DataConfig

_OWN = {"exemplar": "items", "classification": "labels", "localization": "boxes"}
"""Head -> the key of `data` that names its set."""


def names_nothing(data: DataConfig) -> bool:
    """Whether no set of one's own is named: then every head learns from its demo set."""
    return all(getattr(data, name) is None for name in ("root", *_OWN.values()))


def check_sets(data: DataConfig, heads: Collection[str]) -> None:
    """Passes if each head has a set of one's own, or none of them has.

    Raises:
        ValueError: there is no head, a head has no set while others have, or `data.val` and
            `data.test` are given without the set that they belong to.
    """
    if not heads:
        raise ValueError(f"task.heads must name at least one of {', '.join(_OWN)}, got none")
    if names_nothing(data):
        return
    for head in heads:
        if head == "exemplar" and data.items is None:
            others = ",".join(name for name in _OWN if name in heads and name != head)
            raise ValueError(
                "data.items must be given for the head exemplar where other sets are; or train "
                f"without it: task.heads=[{others}]"
            )
        own = getattr(data, _OWN[head])
        if head != "exemplar" and own is None and data.root is None:
            raise ValueError(
                f"data.{_OWN[head]} or data.root must be given for the head {head} where other "
                "sets are, got neither"
            )
    for name in ("val", "test"):
        if (value := getattr(data, name)) is not None and data.root is None:
            raise ValueError(
                f"data.root must be given with data.{name}, got only {value}; data.labels and "
                "data.boxes keep their own splits"
            )


def data_of(data: DataConfig, head: str) -> DataConfig:
    """The config as a head that is trained alone would be told: its own set as the root.

    Splits that `val` and `test` name belong to the common root; a set of the head's own is divided
    as it says itself, or by chance. Demo sets in a folder of one's own each get one in it.

    Args:
        data: of the task.
        head: "exemplar", "classification" or "localization".
    """
    demo = data.demo
    if demo.folder is not None:
        demo = replace(demo, folder=str(Path(demo.folder) / head))
    if head == "exemplar":
        data = replace(data, root=None, labels=None, boxes=None, val=None, test=None)
        return replace(data, unlabelled=None, demo=demo)
    own = getattr(data, _OWN[head])
    alone = replace(data, items=None, scenes=None, labels=None, boxes=None, demo=demo)
    if head == "classification":
        alone = replace(alone, background=None)
    else:
        alone = replace(alone, unlabelled=None)
    return alone if own is None else replace(alone, root=own, val=None, test=None)
