"""What `build_backbone` is told, checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import timm

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
