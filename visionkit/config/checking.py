"""Checking the values of a config against what its fields may hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from visionkit.config.data import SplitConfig
from visionkit.config.limits import Limits
from visionkit.config.spelling import did_you_mean


def limits_of(config_type: type[Any]) -> dict[str, Limits]:
    """Field name -> limits, of the fields of a config dataclass that have any."""
    hints = get_type_hints(config_type, include_extras=True)
    return {
        name: extra
        for name, hint in hints.items()
        for extra in getattr(hint, "__metadata__", ())
        if isinstance(extra, Limits)
    }


def used_paths(config: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and value of each path that a config says to use; not of what is made there.

    Args:
        config: an instance of a config dataclass.
        prefix: as of `check_values`.
    """
    limits = limits_of(type(config))
    for entry in fields(config):
        name, value = prefix + entry.name, getattr(config, entry.name)
        limit = limits.get(entry.name)
        if is_dataclass(value):
            yield from used_paths(value, name + ".")
        elif value is not None and limit is not None and limit.path and not limit.made:
            yield from ((name, path) for path in (value if isinstance(value, list) else [value]))


def expand_home(config: Any) -> None:
    """Puts the home folder in the place of `~` where a path of a config begins with it.

    Shells do so only with words that are not quoted and do not hold it further on.
    """
    limits = limits_of(type(config))
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            expand_home(value)
        elif value is not None and entry.name in limits and limits[entry.name].path:
            paths = value if isinstance(value, list) else [value]
            expanded = [os.path.expanduser(path) for path in paths]
            setattr(config, entry.name, expanded if isinstance(value, list) else expanded[0])


def check_values(config: Any, prefix: str = "") -> None:
    """Checks the limits of every field of a config and of the configs within it.

    Args:
        config: an instance of one of the dataclasses of this module.
        prefix: dotted name of `config` within a larger one, with a closing dot, or "".

    Raises:
        ValueError: a value is outside of what its field allows; names the field in full,
            the value and what is allowed.
    """
    limits = limits_of(type(config))
    for entry in fields(config):
        name, value = prefix + entry.name, getattr(config, entry.name)
        if is_dataclass(value):
            check_values(value, name + ".")
        elif value is not None and entry.name in limits:
            _check_length(name, value, limits[entry.name].length)
            for single in value if isinstance(value, list) else [value]:
                _check_path(name, single, limits[entry.name].path)
                _check_choice(name, single, limits[entry.name].choices)
                _check_range(name, single, limits[entry.name])
    if isinstance(config, SplitConfig) and abs(config.train + config.val + config.test - 1) > 1e-6:
        raise ValueError(
            f"{prefix}train, val and test must sum to 1, "
            f"got {config.train} + {config.val} + {config.test}"
        )


def _check_length(name: str, value: Any, length: int | None) -> None:
    if length is not None and len(value) != length:
        raise ValueError(f"{name} must be a list of {length} values, got {value}")


def _check_path(name: str, value: Any, path: bool) -> None:
    if path and not value.strip():  # would mean the current folder, and all that is in it
        raise ValueError(f"{name} must be a path, got {value!r}; the current folder is .")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if choices and value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(choices)}, got {value}"
            f"{did_you_mean(str(value), choices)}"
        )


def _check_range(name: str, value: Any, limits: Limits) -> None:
    minimum, maximum = limits.minimum, limits.maximum
    below = minimum is not None and not value >= minimum  # NaN is outside of every range
    above = maximum is not None and not value <= maximum
    if below or above:
        words = [f"at least {minimum}"] * (minimum is not None)
        words += [f"at most {maximum}"] * (maximum is not None)
        raise ValueError(f"{name} must be {' and '.join(words)}, got {value}")
