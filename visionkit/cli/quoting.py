"""Words of the command line, whose paths and free text mean themselves: Hydra reads others so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from visionkit.config import limits_of
from visionkit.config.limits import Limits

_IN_QUOTES = re.compile(r"(['\"])(?:\\.|(?!\1)[^\\])*\1", re.DOTALL)
"""A value that is in Hydra's quotes as a whole."""
_AT_HOME = re.compile(r"((?:^|[\[,])\s*)(~[^,\[\]]*?)(?=\s*(?:[,\]]|$))")
"""In a list, or choices of a sweep, without quotes: a path that begins with `~`."""


def quoted_words(words: Sequence[str], config_type: type[Any], *, sweep: bool = False) -> list[str]:
    """The words, with the values of keys of paths and of free text in quotes."""
    paths = path_keys(config_type)
    texts = {key for key, limit in _limits(config_type).items() if limit.text}
    return [quote_text(quote_path(word, paths, sweep=sweep), texts) for word in words]


def path_keys(config_type: type[Any]) -> set[str]:
    """Dotted names of all fields of a config dataclass that hold paths."""
    return {key for key, limit in _limits(config_type).items() if limit.path}


def quote_path(word: str, keys: set[str], *, sweep: bool = False) -> str:
    """`word` with its value in quotes where its key holds a path.

    Spaces, brackets, commas and equal signs of the path then mean themselves. A list `[a,b]`, a
    quoted value, `null` and, in a sweep, a value with a comma keep their meaning, unless a file
    of that very name exists.
    """
    key, equals, value = word.partition("=")
    if (
        not equals
        or key.lstrip("+") not in keys
        or value[:1] in ("'", '"')
        or value in ("", "null")
    ):
        return word
    has_meaning = value.startswith(("[", "${", "???")) or (sweep and "," in value)
    if has_meaning and not Path(value).exists():
        has_quotes = "'" in value or '"' in value
        return word if has_quotes else f"{key}={_with_quotes_at_home(value)}"
    return f"{key}={_quoted(value)}"


def quote_text(word: str, keys: set[str]) -> str:
    """`word` with its value in quotes where its key holds free text.

    What is in Hydra's quotes stays, and so does `${...}`: a token is given as `${oc.env:NAME}`.
    """
    key, equals, value = word.partition("=")
    if (
        not equals
        or key.lstrip("+") not in keys
        or value in ("", "null")
        or value.startswith("${")
        or _IN_QUOTES.fullmatch(value)
    ):
        return word
    # Quotes alone do not keep ${...} from being taken for the value of another key.
    text = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", value)
    return f"{key}={_quoted(text)}"


def _limits(config_type: type[Any], prefix: str = "") -> dict[str, Limits]:
    """Dotted names of all fields of a config dataclass that have limits -> these."""
    found = {prefix + name: limit for name, limit in limits_of(config_type).items()}
    for name, hint in get_type_hints(config_type).items():
        if isinstance(hint, type) and is_dataclass(hint):
            found |= _limits(hint, f"{prefix}{name}.")
    return found


def _with_quotes_at_home(value: str) -> str:
    """A list, or choices, with those paths in quotes that begin with `~`: Hydra reads it so."""
    return _AT_HOME.sub(lambda found: found[1] + _quoted(found[2]), value)


def _quoted(text: str) -> str:
    """A text in Hydra's quotes, where a backslash only escapes a quote, or others before one."""
    body = re.sub(r"(\\*)('|\Z)", lambda end: end[1] * 2 + end[2].replace("'", "\\'"), text)
    return f"'{body}'"
