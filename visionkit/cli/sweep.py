"""Running a job with its record, once or for every combination of a sweep."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shlex
import shutil
import time
import traceback
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from visionkit.cli.commands import Command
from visionkit.cli.compose import Composed, ConfigError, compose, expand_sweep
from visionkit.cli.runs import (
    CONFIG_NAME,
    ERROR_NAME,
    RunRecord,
    begin_run,
    drop_unbegun,
    end_run,
    read_record,
)
from visionkit.config import used_paths
from visionkit.files import new_run_folder, write_json, write_text
from visionkit.jobs.program import command_line
from visionkit.jobs.replacing import check_not_used

SWEEP_NAME = "sweep.json"
OWN_KEYS = ("output", "overwrite", "resume")
"""Keys that say where a sweep lies, not what its runs do."""


def execute(
    command: Command, config: Any, overrides: list[str], folder: Path, *, keep: bool = True
) -> RunRecord:
    """The record of the finished run of `command` in `folder`.

    The folder then holds `run.json`, `config.yaml`, what the job wrote, and after a failure
    `error.txt` with the traceback.

    Args:
        command: what runs.
        config: of the job.
        overrides: the words of the command line, without flags.
        folder: of the run.
        keep: whether the folder stays where a path was wrong and nothing was done; without it
            there is nothing to go on with, and nothing in the way of the next try.

    Raises:
        KeyboardInterrupt: the run was stopped; its text says how to go on.
        Exception: whatever the job raised, with a note that names `error.txt` where it is.
    """
    record = begin_run(folder, command.name, overrides)
    write_text(folder / CONFIG_NAME, yaml.safe_dump(asdict(config), sort_keys=False))
    # Lightning starts further ranks with the same words; they must not make folders of their own.
    os.environ["VISIONKIT_RUN"] = json.dumps({"folder": str(folder), "overrides": overrides})
    start = time.monotonic()
    try:
        summary = command.job(config, folder)
    except (KeyboardInterrupt, SystemExit) as stop:  # Lightning turns Ctrl-C into SystemExit
        end_run(folder, record, status="stopped", seconds=time.monotonic() - start)
        raise KeyboardInterrupt(continue_hint(command, folder)) from stop
    except Exception as error:
        if not keep and isinstance(error, FileNotFoundError) and drop_unbegun(folder):
            raise
        write_text(folder / ERROR_NAME, "".join(traceback.format_exception(error)))
        end_run(folder, record, status="failed", seconds=time.monotonic() - start, error=str(error))
        error.add_note(f"where it came from stands in {folder / ERROR_NAME}; debug=true shows it")
        raise
    finally:
        del os.environ["VISIONKIT_RUN"]
    # A figure that can't be had (no such pictures in the data) is NaN, which JSON does not have.
    metrics = {
        name: float(value) if math.isfinite(value) else None
        for name, value in summary.metrics.items()
    }
    return end_run(
        folder,
        record,
        status="finished",
        seconds=time.monotonic() - start,
        metrics=metrics,
        unread=summary.unread,
        exit_status=summary.exit_status,
    )


def continue_hint(command: Command, folder: Path, *, sweep: bool = False) -> str:
    """How to go on with a stopped run, to be put behind the word "stopped"; "" if it can't."""
    if "resume" not in command.config_type.__dataclass_fields__ and not sweep:
        return ""
    flags = ["-m"] if sweep else []
    return "; go on with: " + shlex.join(command_line(command.name, *flags, f"resume={folder}"))


def word_value(words: Sequence[str], key: str) -> str | None:
    """The last value given for `key` among overrides, `~` expanded; None if none or null."""
    values = [word.partition("=")[2] for word in words if word.partition("=")[0] == key]
    return os.path.expanduser(values[-1]) if values and values[-1] not in ("", "null") else None


def without_key(words: Sequence[str], *keys: str) -> list[str]:
    """The overrides that set none of `keys`."""
    return [word for word in words if word.partition("=")[0] not in keys]


def run_sweep(command: Command, words: Sequence[str], config_folder: Path | None) -> int:
    """Runs every combination, each in a folder of its own, and compares them in a table.

    Runs of the sweep that finished earlier are skipped, those that were stopped go on. Writes
    `sweep.csv` after every run. Returns 0 where all runs finished, otherwise 1.

    Raises:
        ConfigError: one of the combinations can't be composed; nothing is run then.
        FileExistsError: the folder is no sweep of the command, or a run uses what lies in one
            that is to be replaced; nothing is run then.
        KeyboardInterrupt: stopped; its text says how to go on.
    """
    if command.run_name is None:
        raise ConfigError(f"{command.name} makes no runs to compare; leave -m out")
    place, words = _sweep_place(command, words)
    runs = [
        (
            combination,
            compose(command.name, command.config_type, combination, config_folder=config_folder),
        )
        for combination in expand_sweep(without_key(words, *OWN_KEYS), command.config_type)
    ]
    folder = place or new_run_folder("runs", f"{command.run_name(runs[0][1].config)}/sweeps")
    folder.mkdir(parents=True, exist_ok=True)
    saved = without_key(words, *OWN_KEYS)
    write_json(folder / SWEEP_NAME, {"command": command.name, "overrides": saved})
    common = set.intersection(*(set(combination) for combination, _ in runs))
    overwrite = (word_value(words, "overwrite") or "").lower() == "true"
    sweep = Sweep(command, folder, common=common, overwrite=overwrite)
    sweep.check_not_used(runs)
    try:
        for number, (combination, composed) in enumerate(runs):
            sweep.run(number, len(runs), combination, composed)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(continue_hint(command, folder, sweep=True)) from stop
    finally:
        sweep.show()
    return 0 if all(record.status == "finished" for record in sweep.records) else 1


class Sweep:
    """A sweep under way: its folder and the records of its runs so far.

    Args:
        command: what runs.
        folder: of the sweep.
        common: the overrides that all runs share; folders of runs are named for the others.
        overwrite: whether runs that finished earlier run again.
    """

    def __init__(
        self, command: Command, folder: Path, *, common: Collection[str], overwrite: bool
    ) -> None:
        self.command = command
        self.folder = folder
        self.common = common
        self.overwrite = overwrite
        self.records: list[RunRecord] = []
        self.folders: list[Path] = []
        self._earlier = _earlier_runs(folder)

    def check_not_used(self, runs: Sequence[tuple[list[str], Composed[Any]]]) -> None:
        """Passes if none of the runs uses what lies in a folder that one of them replaces.

        Raises:
            FileExistsError: one does.
        """
        used = dict.fromkeys(path for _, each in runs for path in used_paths(each.config))
        for overrides, composed in runs:
            folder = self._earlier.get(frozenset(overrides))
            if folder and not self._finished(folder) and not self._goes_on(composed.config):
                check_not_used(folder, used)

    def run(self, number: int, count: int, overrides: list[str], composed: Composed[Any]) -> None:
        """Runs one combination, goes on with it, or skips it where it finished earlier."""
        folder, config = self._earlier.get(frozenset(overrides)), composed.config
        label = f"run {number + 1} of {count}: {' '.join(overrides)}"
        if folder and (finished := self._finished(folder)):
            print(f"{label}: finished earlier, skipped (overwrite=true runs it again)")
            self._add(folder, finished)
            return
        print(label)
        if folder is None:
            folder = self._new_folder(overrides)
        elif self._goes_on(config):
            config = replace(config, resume=str(folder))
        else:
            shutil.rmtree(folder)
            folder.mkdir()
        config = replace(config, output=str(folder))
        try:
            record = execute(self.command, config, overrides, folder)
        except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
            # One combination that can't run is a result of the sweep, not its end.
            print(f"  failed: {error}")
            failed = read_record(folder)
            record = failed or RunRecord(self.command.name, overrides, "failed", error=str(error))
        self._add(folder, record)

    def show(self) -> None:
        """Prints the table of the runs so far and where it lies."""
        if not self.records:
            return
        rows = self._rows()
        table = Table(title=f"{self.command.name}: {len(self.records)} runs")
        for name in rows[0]:
            table.add_column(name, justify="left" if name in ("run", "status") else "right")
        for row in rows:
            table.add_row(*[f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()])
        console = Console()
        if not console.is_terminal:
            console = Console(width=240)
        console.print(table)
        print(f"The table lies in {self.folder / 'sweep.csv'}")

    def _finished(self, folder: Path) -> RunRecord | None:
        """The record of a run that is not run again; None where it is."""
        earlier = read_record(folder)
        finished = earlier is not None and earlier.status == "finished" and not self.overwrite
        return earlier if finished else None

    def _goes_on(self, config: Any) -> bool:
        """Whether a run that was stopped goes on in its folder, which is replaced otherwise."""
        return hasattr(config, "resume") and not self.overwrite

    def _new_folder(self, overrides: list[str]) -> Path:
        used = [int(f.name.partition("_")[0]) for f in _run_folders(self.folder)]
        number = max(used, default=-1) + 1
        words = ",".join(_short(word) for word in overrides if word not in self.common)
        folder = self.folder / f"{number}_{re.sub(r'[^A-Za-z0-9_.=,+-]+', '-', words)[:100]}"
        folder.mkdir()
        return folder

    def _add(self, folder: Path, record: RunRecord) -> None:
        self.folders.append(folder)
        self.records.append(record)
        rows = self._rows()
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.folder / "sweep.csv", text.getvalue())

    def _rows(self) -> list[dict[str, Any]]:
        """One dict a run, all with the same keys: folder, what differs, how it ended, metrics."""
        given = [dict(word.split("=", 1) for word in record.overrides) for record in self.records]
        keys = list(dict.fromkeys(key for words in given for key in words))
        differing = [key for key in keys if len({words.get(key) for words in given}) > 1]
        metrics = list(dict.fromkeys(name for record in self.records for name in record.metrics))
        return [
            {"run": folder.name.partition("_")[0]}
            | {key: words.get(key, "") for key in differing}
            | {"status": record.status, "seconds": record.seconds}
            | {name: _or_blank(record.metrics.get(name)) for name in metrics}
            for folder, words, record in zip(self.folders, given, self.records, strict=True)
        ]


def _sweep_place(command: Command, words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The folder that was asked for, if any, and the words with those of a resumed sweep."""
    resume = word_value(words, "resume")
    output = word_value(words, "output")
    if resume is None:
        folder = Path(output) if output else None
        if folder and folder.is_dir() and any(folder.iterdir()):
            _read_sweep(folder, "output", command)
        return folder, list(words)
    saved = _read_sweep(Path(resume), "resume", command)
    mine = {word.partition("=")[0] for word in words}
    kept = [word for word in saved if word.partition("=")[0] not in mine]
    return Path(resume), [*kept, *words]


def _read_sweep(folder: Path, key: str, command: Command) -> list[str]:
    file = folder / SWEEP_NAME
    if not file.is_file():
        raise FileExistsError(
            f"{key}={folder} must be the folder of a sweep, got one without {SWEEP_NAME}"
        )
    saved = json.loads(file.read_text("utf-8"))
    if saved["command"] != command.name:
        raise ConfigError(f"{key}={folder} is a sweep of {saved['command']}, not of {command.name}")
    return [str(word) for word in saved["overrides"]]


def _run_folders(folder: Path) -> list[Path]:
    return [run for run in sorted(folder.iterdir()) if re.match(r"\d+_", run.name)]


def _earlier_runs(folder: Path) -> dict[frozenset[str], Path]:
    """The overrides of each run that lies in a sweep's folder -> the run's folder."""
    runs: dict[frozenset[str], Path] = {}
    for run in _run_folders(folder):
        record = read_record(run)
        if record is not None:
            runs[frozenset(record.overrides)] = run
    return runs


def _or_blank(value: float | None) -> float | str:
    return "" if value is None else value


def _short(word: str) -> str:
    key, _, value = word.partition("=")
    return f"{key.rpartition('.')[2]}={value}"
