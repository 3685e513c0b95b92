"""The folder of a run, and the record in it that says what ran and how it ended."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from visionkit.config import used_paths
from visionkit.files import new_run_folder, remove_partials, write_json
from visionkit.jobs.replacing import check_not_used

RECORD_NAME, CONFIG_NAME, ERROR_NAME = "run.json", "config.yaml", "error.txt"
Status = Literal["running", "finished", "failed", "stopped"]


@dataclass(frozen=True)
class RunRecord:
    """What `run.json` holds.

    Attributes:
        command: for instance "train".
        overrides: the words of the command line, without flags.
        status: "running" also stands there after a kill -9.
        started: local time, ISO 8601.
        seconds: wall time until the end; 0 while it runs.
        metrics: name -> value, as the job gave them; None for what could not be measured.
        error: the error's sentence, or "".
        unread: how much of what was asked about could not be read.
        exit_status: as of the job's summary.
    """

    command: str
    overrides: list[str]
    status: Status = "running"
    started: str = ""
    seconds: float = 0.0
    metrics: dict[str, float | None] = field(default_factory=dict)
    error: str = ""
    unread: int = 0
    exit_status: int = 0


def begin_run(folder: Path, command: str, overrides: list[str]) -> RunRecord:
    """The record of a run that starts now, or goes on; it is written to `folder`."""
    remove_partials(folder)
    (folder / ERROR_NAME).unlink(missing_ok=True)  # of the try before
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    record = RunRecord(command, overrides, started=started)
    write_json(folder / RECORD_NAME, asdict(record))
    return record


def end_run(folder: Path, record: RunRecord, **changes: object) -> RunRecord:
    """The record with how the run ended; it is written to `folder`."""
    ended = replace(record, **changes)  # type: ignore[arg-type]  # callers name real fields
    write_json(folder / RECORD_NAME, asdict(ended))
    return ended


def drop_unbegun(folder: Path) -> bool:
    """Whether a run's folder holds nothing but what was to run; that is deleted then."""
    files = list(folder.iterdir())
    if not {file.name for file in files} <= {RECORD_NAME, CONFIG_NAME}:
        return False
    for file in files:
        file.unlink()
    with suppress(OSError):  # a link, or the current folder: it stays, empty
        folder.rmdir()
    return True


def read_record(folder: Path) -> RunRecord | None:
    """The record of the run in `folder`; None where there is none.

    Raises:
        ValueError: the record can't be read; says which file and what to do.
    """
    file = folder / RECORD_NAME
    if not file.is_file():
        return None
    try:
        return RunRecord(**json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{file} is damaged or from another version of visionkit ({error}); "
            "choose another folder"
        ) from error


def prepare_folder(config: Any, name: str) -> Path:
    """An empty folder for a run.

    Args:
        config: of the run: `output` is the folder that was asked for, None makes
            `runs/<name>/<date_time>`; `overwrite` says whether a run that lies there is deleted.
        name: what runs, for instance the task.

    Raises:
        FileExistsError: the folder holds something, and `overwrite` is false, or what it holds
            is not a run, or the config says to use some of it.
        RuntimeError: the disk is full.
        OSError: the folder can't be made.
    """
    if config.output is None:
        return new_run_folder("runs", name)
    folder = Path(config.output)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"output must be a folder, but {folder} is a file; choose another")
    if folder.is_dir() and any(folder.iterdir()):
        _clear(folder, config)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _clear(folder: Path, config: Any) -> None:
    record = read_record(folder)
    made = {file.name for file in folder.iterdir()} - {RECORD_NAME, CONFIG_NAME, ERROR_NAME}
    # A run that failed before it made anything, as for want of a package, is nothing to lose.
    overwrite = config.overwrite or (record is not None and record.status == "failed" and not made)
    if record is None:
        raise FileExistsError(
            f"output={folder} holds files that are not a run of visionkit; choose another folder"
        )
    if not overwrite:
        way_out = "" if record.status == "finished" else f", resume={folder} to go on with it"
        raise FileExistsError(
            f"output={folder} holds a run already; choose another folder{way_out}, "
            "or overwrite=true to replace it"
        )
    if made:
        check_not_used(folder, used_paths(config))
    shutil.rmtree(folder)
