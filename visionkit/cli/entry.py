"""The entry point: reads flags, runs a command, and turns errors into one clear line."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from visionkit.allocator import keep_freed_memory
from visionkit.cli.commands import COMMANDS, Command
from visionkit.cli.compose import ConfigError, compose
from visionkit.cli.help import command_help, config_text, overview
from visionkit.cli.runs import prepare_folder, read_record
from visionkit.cli.sweep import OWN_KEYS, execute, run_sweep, without_key, word_value
from visionkit.config import did_you_mean

BAD_INPUT = (
    ValueError,
    TypeError,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)
"""Errors that the caller can put right; exit status 2. Others that are expected give 1."""


UNHEARD = 141
"""Exit status where nobody reads a help text or config on, as of programs that SIGPIPE ends."""

UNREAD = 3
"""Exit status of a run that is done, but could not read all that it was asked about."""


@dataclass(frozen=True)
class Request:
    """What a command line asks of a command."""

    words: list[str]
    help: bool = False
    multirun: bool = False
    print_config: bool = False
    config_folder: Path | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 done, 1 failed, 2 bad input, 130 stopped by Ctrl-C.

    3 is done, too, but not all that was asked about could be read; the run says what. 4 and 5 are
    monitor's: live pictures are to be watched, or to be acted on.

    Args:
        arguments: the words after the program's name; those of the process if None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"visionkit {version('visionkit')}")
        return 0
    name, *rest = words
    try:
        if name == "check":
            from visionkit.check import main as check

            return check(rest)
        if name not in COMMANDS:
            names = [*COMMANDS, "check"]
            raise ConfigError(
                f"{name} is not a command{did_you_mean(name, names)} (there is: {', '.join(names)})"
            )
        keep_freed_memory()
        return _run(COMMANDS[name], rest)
    except (*BAD_INPUT, RuntimeError, OSError, ImportError) as error:
        return _report(name, error, debug="debug=true" in rest)
    except KeyboardInterrupt as stop:
        print(f"\nvisionkit {name}: stopped{stop}", file=sys.stderr)
        return 130


def _run(command: Command, words: Sequence[str]) -> int:
    request = read_request(command, words)
    if request.help:
        return show(command_help(command, request.words, request.config_folder))
    if _is_worker():
        return _run_as_worker(command, request.config_folder)
    if request.multirun:
        return run_sweep(command, request.words, request.config_folder)
    overrides, resumed = _resumed(command, request.words)
    composed = compose(
        command.name, command.config_type, overrides, config_folder=request.config_folder
    )
    if request.print_config:
        return show(config_text(composed.values, composed.origins))
    config = composed.config
    if command.run_name is None:
        try:
            command.job(config, Path(getattr(config, command.works_on)))
        except SystemExit as stop:  # Lightning turns Ctrl-C into it
            raise KeyboardInterrupt(
                "; what was trained is lost, the catalog is as it was: say it again, with "
                "overwrite=true where output= was given"
            ) from stop
        return 0
    resumed = resumed or _gone_on_with(command, config, overrides)
    if resumed is not None and command.goes_on and _is_finished(resumed):
        print(f"{resumed} holds this run already, finished; overwrite=true runs it again")
        return 0
    folder = resumed or prepare_folder(config, command.run_name(config))
    record = execute(command, config, overrides, folder, keep=resumed is not None)
    print(f"Everything of this run lies in {folder}")
    return record.exit_status or (UNREAD if record.unread else 0)


def show(text: str) -> int:
    """Prints a long text, which may be cut off by a reader such as `head`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # it is flushed at the end
        return UNHEARD
    return 0


def _gone_on_with(command: Command, config: Any, overrides: Sequence[str]) -> Path | None:
    """The output folder, if it holds a run of the same words that is gone on with."""
    if not command.goes_on or config.output is None or config.overwrite:
        return None
    record = read_record(Path(config.output))
    if record is None or record.command != command.name:
        return None
    ours, theirs = (
        set(without_key(words, *OWN_KEYS, "debug")) for words in (overrides, record.overrides)
    )
    return Path(config.output) if ours == theirs else None


def _is_finished(folder: Path) -> bool:
    record = read_record(folder)
    return record is not None and record.status == "finished"


def read_request(command: Command, words: Sequence[str]) -> Request:
    """The flags and overrides among the words after a command's name.

    Raises:
        ConfigError: an unknown flag (the nearest is named), or one that lacks its value.
    """
    flags = {"help": False, "multirun": False, "print_config": False}
    names = {"-h": "help", "--help": "help", "-m": "multirun", "--multirun": "multirun"}
    names["--print"] = "print_config"
    config_folder: Path | None = None
    overrides: list[str] = []
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        flag, equals, value = word.partition("=")
        if flag == "--config-dir":
            if not equals and not remaining:
                raise ConfigError("--config-dir must be followed by a folder")
            config_folder = Path(value if equals else remaining.pop(0))
        elif word in names:
            flags[names[word]] = True
        elif word.startswith("-"):
            known = [*names, "--config-dir"]
            raise ConfigError(
                f"{word} is not a flag of {command.name}{did_you_mean(word, known)} "
                f"(there is: {', '.join(known)}; options are written key=value)"
            )
        elif "=" not in word and command.positional and not overrides:
            overrides.append(f"{command.positional}={word}")
        else:
            overrides.append(word)
    return Request(overrides, config_folder=config_folder, **flags)


def _resumed(command: Command, words: list[str]) -> tuple[list[str], Path | None]:
    """The overrides, and the folder of the run to go on with, if `resume=` asks for one."""
    place = word_value(words, "resume")
    if place is None or "resume" not in {entry.name for entry in fields(command.config_type)}:
        return words, None
    folder = Path(place)
    record = read_record(folder)
    if record is None:
        raise FileNotFoundError(
            f"resume={folder} must be the folder of a run, got one without run.json"
            + ("; it is a sweep: add -m" if (folder / "sweep.json").is_file() else "")
        )
    if word_value(words, "output") is not None:
        raise ConfigError("resume= goes on in the run's own folder; leave output= out")
    mine = {word.partition("=")[0] for word in words}
    if record.status == "finished" and mine <= {"resume", "debug"} and not command.goes_on:
        raise ConfigError(f"the run of resume={folder} is finished; its results lie there")
    kept = [word for word in record.overrides if word.partition("=")[0] not in mine]
    kept = without_key(kept, "output", "overwrite")
    return [*kept, *words], folder


def _is_worker() -> bool:
    """Whether Lightning started this process as a further rank of a run."""
    return os.environ.get("LOCAL_RANK", "0") != "0" and "VISIONKIT_RUN" in os.environ


def _run_as_worker(command: Command, config_folder: Path | None) -> int:
    run = json.loads(os.environ["VISIONKIT_RUN"])
    composed = compose(
        command.name, command.config_type, run["overrides"], config_folder=config_folder
    )
    command.job(composed.config, Path(run["folder"]))
    return 0


def _report(name: str, error: Exception, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    text = str(error) or type(error).__name__
    print(f"visionkit {name}: {text}", file=sys.stderr)
    for note in getattr(error, "__notes__", []):
        print(f"  {note}", file=sys.stderr)
    if isinstance(error, ImportError) or "torchvision::" in text:
        print("  visionkit check says what is wrong with the installation", file=sys.stderr)
    return 2 if isinstance(error, BAD_INPUT) else 1
