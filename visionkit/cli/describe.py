"""What stands in the files of `conf/`: groups, options, keys and the sentence above each.

The files are read as text here, without composing them, so that `--help` can show the
comments, which are the one place where an option is described.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Entry:
    """A key of a config file.

    Attributes:
        value: its value as it is written; "" for a key that only holds other keys.
        sentence: the comment above it, in one line.
        file: the file it stands in, as `conf/...`.
    """

    value: str
    sentence: str
    file: str


def conf_folder() -> Path:
    """The folder of the config files: within the installed package, or beside it in a checkout.

    Raises:
        FileNotFoundError: neither is there; the installation is damaged.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(
        f"the config files are missing: there is neither {package / 'conf'} nor "
        f"{package.parent / 'conf'}; install visionkit again"
    )


def options_of(group: str, config_folder: Path | None) -> list[str]:
    """Names of the options of `group`, sorted; those of one's own folder too."""
    folders = [conf_folder(), *([config_folder] if config_folder else [])]
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def defaults_of(file: Path) -> dict[str, str | None]:
    """Group -> option of the defaults list of a config file; "???" must be chosen.

    Raises:
        FileNotFoundError: there is no such file.
    """
    listed = yaml.safe_load(file.read_text("utf-8")).get("defaults", [])
    groups: dict[str, str | None] = {}
    for item in listed:
        if isinstance(item, Mapping):
            groups |= {str(key).removeprefix("optional "): value for key, value in item.items()}
    return groups


def headline(name: str, config_folder: Path | None) -> str:
    """The sentence or paragraph that a config file opens with, in one line; "" if none.

    Args:
        name: path of the file within `conf/`, for instance "task/exemplar.yaml".
        config_folder: folder of one's own that is looked into first.
    """
    lines: list[str] = []
    for line in _find(name, config_folder).read_text("utf-8").splitlines():
        if line.startswith("# @"):  # Hydra's package directive
            continue
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines).strip()


def entries_of(name: str, prefix: str, config_folder: Path | None) -> dict[str, Entry]:
    """Dotted key -> entry of a config file and of the files of its group that it builds on.

    Args:
        name: path of the file within `conf/`, for instance "task/exemplar.yaml".
        prefix: where the file's keys go, with a closing dot; "" for the top.
        config_folder: folder of one's own that is looked into first.

    Raises:
        FileNotFoundError: there is no such file.
    """
    file = _find(name, config_folder)
    text = file.read_text("utf-8")
    entries: dict[str, Entry] = {}
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return entries
    for item in (yaml.safe_load(text) or {}).get("defaults", []):
        if isinstance(item, str) and item != "_self_":
            beside, _, branch = item.partition("@")  # a file, and where in this one it goes
            below = f"{prefix}{branch}." if branch else prefix
            entries |= entries_of(
                f"{Path(name).parent.as_posix()}/{beside}.yaml", below, config_folder
            )
    own: dict[str, Entry] = {}
    _collect(root, prefix, text.splitlines(), f"conf/{name}", own)
    new = {key: entry for key, entry in own.items() if key not in entries}
    return new | entries | own  # what a file is for comes before what it builds on


def _find(name: str, config_folder: Path | None) -> Path:
    if config_folder is not None and (config_folder / name).is_file():
        return config_folder / name
    return conf_folder() / name


def _collect(
    node: yaml.MappingNode, prefix: str, lines: list[str], file: str, entries: dict[str, Entry]
) -> None:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if name == "defaults":
            continue
        sentence = _comment_above(lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and value.value:
            entries[name] = Entry("", sentence, file)
            _collect(value, f"{name}.", lines, file, entries)
        else:
            entries[name] = Entry(_as_written(value), sentence, file)


def _comment_above(lines: list[str], number: int) -> str:
    comment: list[str] = []
    while number > 0 and lines[number - 1].lstrip().startswith("#"):
        number -= 1
        comment.insert(0, lines[number].strip().lstrip("#").strip())
    return " ".join(comment)


def _as_written(node: Any) -> str:
    if isinstance(node, yaml.SequenceNode):
        return "[" + ",".join(_as_written(item) for item in node.value) + "]"
    if isinstance(node, yaml.MappingNode):
        return "{}"
    return str(node.value)
