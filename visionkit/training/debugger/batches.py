"""Reading a batch of any training: pictures, labels and boxes, wherever they lie in it."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from visionkit.training.debugger.history import Batch

_PLACES = ("numbers", "index", "indices", "idx", "ids")  # whole numbers that are no labels
_VALUES = 64  # of a picture that its print is made of
_DEPTH = 3


def read_batch(batch: object) -> Batch:
    """What is known of a batch: a tensor, or any nest of tuples, mappings and dataclasses."""
    found = list(_tensors(batch, "", _DEPTH))
    named = {name: tensor for name, tensor in found if name in ("given", "lost")}
    given, lost = named.get("given"), named.get("lost")
    has_boxes = given is not None and lost is not None
    return Batch(
        prints=_prints([tensor for _, tensor in found]),
        labels=Counter(
            label for label in _labels(found) if label >= 0
        ),  # -100: left out of the loss
        boxes_given=int(given.sum()) if has_boxes and given is not None else 0,
        boxes_lost=int(lost.sum()) if has_boxes and lost is not None else 0,
    )


def labels_of(batch: object) -> Tensor | None:
    """(B,) int64 labels of the batch's pictures on the CPU; None where there are none."""
    labels = _labels(list(_tensors(batch, "", _DEPTH)))
    return torch.tensor(labels) if labels else None


def _tensors(value: Any, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """Tensors with their names, in their order."""
    if isinstance(value, Tensor):
        yield name, value
        return
    inside: list[tuple[str, Any]] = []
    if depth and isinstance(value, Mapping):
        inside = [(str(key), entry) for key, entry in value.items()]
    elif depth and is_dataclass(value):
        inside = [(entry.name, getattr(value, entry.name)) for entry in fields(value)]
    elif depth and isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        inside = [(name, entry) for entry in value]
    for key, entry in inside:
        yield from _tensors(entry, key, depth - 1)


def _labels(found: Sequence[tuple[str, Tensor]]) -> list[int]:
    """Labels of the pictures: whole numbers, one for each of the first pictures there are."""
    size = next((len(tensor) for _, tensor in found if tensor.ndim == 4), None)
    for name, tensor in found:
        if name in _PLACES or tensor.ndim != 1 or tensor.dtype != torch.int64:
            continue
        if size is None or len(tensor) == size:
            return [int(label) for label in tensor.tolist()]
    return []


def _prints(tensors: Sequence[Tensor]) -> frozenset[int]:
    if not tensors:
        return frozenset()
    pictures = next((tensor for tensor in tensors if tensor.ndim == 4), None)
    chosen = tensors[0].reshape(1, -1) if pictures is None else pictures.flatten(1)
    if chosen.shape[1] > _VALUES:
        # Even steps would meet the same column of every row, which in a white rim is all the same.
        own = torch.Generator().manual_seed(0)
        chosen = chosen[
            :, torch.randint(chosen.shape[1], (_VALUES,), generator=own).to(chosen.device)
        ]
    rows = chosen.detach().float().cpu().contiguous().numpy()
    return frozenset(zlib.crc32(row.tobytes()) for row in rows)
