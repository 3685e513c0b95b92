"""What `build_backbone` is told, checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import timm

Pooling = Literal["map", "head", "both"]
OPTIONS = ("pad_type", "img_size")
"""What of timm's own model options may be set; a config never names a file, an address or code."""


def check_name(name: str) -> None:
    """Passes if timm has a network of this name.

    Raises:
        ValueError: it has none; the nearest are named.
    """
    base = name.split(".")[0]
    if timm.is_model(base):  # never "hf-hub:..." or "local-dir:...": those name places, not models
        return
    near = difflib.get_close_matches(base, timm.list_models(), n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise ValueError(f"backbone name must be a timm model or 'starter', got {name!r}{hint}")


def check_options(options: Mapping[str, Any]) -> dict[str, str | int]:
    """The options, if all may be set.

    Raises:
        ValueError: one may not.
    """
    for key, value in options.items():
        if key not in OPTIONS or not isinstance(value, str | int):
            raise ValueError(
                f"backbone options must be among {', '.join(OPTIONS)} with a plain value, "
                f"got {key}={value!r}"
            )
    return dict(options)


def check_strides(
    strides: Sequence[int], positions: Mapping[int, int], name: str
) -> tuple[int, ...]:
    """The strides, ascending and once each, if the network has a map of each.

    Raises:
        ValueError: there is none of one, or no stride at all.
    """
    wrong = [stride for stride in strides if stride not in positions]
    if wrong or not strides:
        raise ValueError(
            f"strides of backbone {name} must be among {sorted(positions)}, got {list(strides)}"
        )
    return tuple(sorted(set(strides)))


def check_pooling(pooling: Pooling, pool_stride: int, positions: Mapping[int, int]) -> Pooling:
    """What the pooled vector is, if the layers that are kept can give it.

    Raises:
        ValueError: they can't, or it is none.
    """
    if pooling not in get_args(Pooling):
        raise ValueError(f"pooling must be map, head or both, got {pooling!r}")
    if pooling != "map" and pool_stride != max(positions):
        raise ValueError(
            f"pooling={pooling} must go with the deepest map, of stride {max(positions)}, got "
            f"pool_stride={pool_stride}; leave it out, or take pooling=map"
        )
    return pooling


def pair(value: Sequence[int] | int) -> tuple[int, int]:
    """(height, width) of one number or two.

    Raises:
        ValueError: there are others.
    """
    if isinstance(value, int):
        return value, value
    if len(value) != 2:
        raise ValueError(f"image_size must be one number or (height, width), got {list(value)}")
    return int(value[0]), int(value[1])


def triple(what: str, value: Sequence[float]) -> tuple[float, float, float]:
    """Three numbers, of which a "std" must be above 0.

    Raises:
        ValueError: there are others.
    """
    if len(value) != 3 or (what == "std" and min(value) <= 0):
        raise ValueError(f"{what} must be three numbers (std: above 0), got {list(value)}")
    return float(value[0]), float(value[1]), float(value[2])
