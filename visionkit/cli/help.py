"""What `--help` and `--print` show: groups, options and keys with their sentences."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from visionkit.cli.commands import COMMANDS, Command
from visionkit.cli.compose import ConfigError
from visionkit.cli.describe import conf_folder, defaults_of, entries_of, headline, options_of
from visionkit.config import did_you_mean

CHECK_SENTENCE = "Says in words what is wrong with this environment."
FLAGS = {
    "-h, --help": "This text; with a group=option, the keys of that option.",
    "-m, --multirun": "Runs every combination of values listed with commas (seed=1,2,3) and "
    "compares them; continues with resume=FOLDER.",
    "--print": "Shows the composed config and where each value came from, and runs nothing.",
    "--config-dir FOLDER": "A folder like conf/ with groups and options of one's own.",
}


_NAMES = 14  # characters of the column of commands


def overview() -> str:
    """The text of `visionkit --help`: the commands with a sentence each."""
    lines = [
        "visionkit finds your own things in pictures, from a few pictures of each.",
        "",
        "Commands:",
    ]
    for name in COMMANDS:
        lines += _row(name, headline(f"{name}.yaml", None), indent=2, width=_NAMES)
    lines += _row("check", CHECK_SENTENCE, indent=2, width=_NAMES)
    lines += ["", "visionkit COMMAND --help lists what a command can be told."]
    return "\n".join(lines)


def command_help(command: Command, words: Sequence[str], config_folder: Path | None) -> str:
    """The text of `visionkit COMMAND --help`.

    Args:
        command: the command.
        words: overrides; the options chosen among them are the ones whose keys are shown.
        config_folder: folder of one's own whose groups and options are shown too.

    Raises:
        ConfigError: an option is chosen that is not there.
    """
    chosen = _chosen_options(command, words, config_folder)
    action = f" {'|'.join(command.actions)}" if command.positional else ""
    lines = [headline(f"{command.name}.yaml", config_folder), ""]
    groups = " [group=option ...]" if chosen else ""
    lines += [f"Usage: visionkit {command.name}{action}{groups} [key=value ...] [flags]"]
    if chosen:
        lines += ["", "Groups; group=option takes a file of conf/:"]
    for group, option in chosen.items():
        if f"{group}=" not in command.without:
            lines += _group_lines(command, group, option, config_folder)
    lines += ["", "Keys, with their values:"]
    for key, entry in entries_of(f"{command.name}.yaml", "", config_folder).items():
        lines += _row(f"{key}={entry.value}", entry.sentence, indent=2, width=38)
    for group, option in chosen.items():
        if option not in (None, "???") and group != "experiment":
            lines += _option_lines(command, group, str(option), config_folder)
    lines += ["", "Flags:"]
    for flag, sentence in FLAGS.items():
        if not chosen:
            sentence = sentence.partition("; with a group=option")[0].removesuffix(".") + "."
        if command.run_name is not None or "--multirun" not in flag:  # no run folder, no sweep
            lines += _row(flag, sentence, indent=2, width=24)
    return "\n".join(lines)


def config_text(values: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """Every value of a composed config as `key: value  # where it came from`, a line each."""
    pairs = {key: f"{key}: {_inline(value)}" for key, value in values.items()}
    width = min(60, max(map(len, pairs.values()), default=0))
    return "\n".join(f"{text:{width}}  # {origins[key]}" for key, text in pairs.items())


def _chosen_options(
    command: Command, words: Sequence[str], config_folder: Path | None
) -> dict[str, str | None]:
    """Group -> option, by the command's defaults and the words; "???" must be chosen."""
    groups = defaults_of(conf_folder() / f"{command.name}.yaml")
    for word in words:
        key, _, value = word.partition("=")
        if key in groups:
            options = _offered(command, key, config_folder)
            if value not in options:
                raise ConfigError(
                    f"{key}={value}: there is no such {key}{did_you_mean(value, options)} "
                    f"(there is: {', '.join(options)})"
                )
            groups[key] = value
    return groups


def _offered(command: Command, group: str, config_folder: Path | None) -> list[str]:
    """Names of the options of a group that the command takes."""
    options = options_of(group, config_folder)
    return [option for option in options if f"{group}={option}" not in command.without]


def _group_lines(
    command: Command, group: str, option: str | None, config_folder: Path | None
) -> list[str]:
    states = {"???": "must be chosen", None: "none"}
    state = states.get(option, f"{group}={option}")
    lines = [f"  {group} ({state})"]
    for name in _offered(command, group, config_folder):
        lines += _row(name, headline(f"{group}/{name}.yaml", config_folder), indent=4, width=22)
    return lines


def _option_lines(
    command: Command, group: str, option: str, config_folder: Path | None
) -> list[str]:
    entries = entries_of(f"{group}/{option}.yaml", f"{group}.", config_folder)
    lines = ["", f"{group}={option}:"]
    for key, entry in entries.items():
        if any(key == word or key.startswith(f"{word}.") for word in command.without):
            continue
        name = f"{key}={entry.value}" if entry.value else key
        lines += _row(name, entry.sentence, indent=2, width=38)
    return lines


def _row(name: str, sentence: str, *, indent: int, width: int) -> list[str]:
    """A name and beside it a sentence, wrapped; a long name gets a line of its own."""
    columns = max(60, min(120, shutil.get_terminal_size().columns))
    start = indent + width
    wrapped = textwrap.wrap(sentence, columns - start - 1) or [""]
    first = f"{' ' * indent}{name}"
    lines = [f"{first:{start}} {wrapped[0]}".rstrip()] if len(first) <= start else [first]
    rest = wrapped[1:] if len(first) <= start else wrapped
    return lines + [f"{' ' * (start + 1)}{line}" for line in rest]


def _inline(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()
