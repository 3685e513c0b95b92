"""The folder of a retraining: a new one, or an old one that is emptied where nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from visionkit.config import used_paths
from visionkit.config.flywheel import RetrainConfig
from visionkit.files import PARTIAL_SUFFIX, new_run_folder
from visionkit.flywheel.catalog import Model
from visionkit.jobs.replacing import check_not_used
from visionkit.jobs.sources import some_names
from visionkit.jobs.terminal import PROBLEMS_NAME

CONFIG_NAME, WHEEL_NAME, VERDICT_NAME = "config.yaml", "wheel.html", "verdict.json"
DATA_FOLDER, OTHERS_FOLDER, CHALLENGER_FOLDER = "data", "others", "challenger"
_MADE = {
    CONFIG_NAME,
    WHEEL_NAME,
    VERDICT_NAME,
    PROBLEMS_NAME,
    DATA_FOLDER,
    OTHERS_FOLDER,
    CHALLENGER_FOLDER,
}


def empty_folder(config: RetrainConfig, models: Sequence[Model]) -> Path:
    """An empty folder for a retraining; with overwrite=true an old retraining's is emptied.

    Args:
        config: of the job.
        models: of the catalog; what is in use, or may come to be, is not deleted.

    Raises:
        FileExistsError: the folder holds something, and overwrite is false, or it is no
            retraining, or what the config says to use lies there, or the bundle of a model
            that is not retired.
        RuntimeError: the disk is full.
    """
    if config.output is None:
        return new_run_folder("runs", "retrain")
    folder = Path(config.output)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"output must be a folder, but {folder} is a file; choose another")
    if folder.is_dir() and any(folder.iterdir()):
        if not config.overwrite:
            raise FileExistsError(
                f"output={folder} must be a new or empty folder; choose another, or overwrite=true"
            )
        _check_retraining(folder)
        _check_unused(folder, models)
        check_not_used(folder, used_paths(config))
        _empty(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _check_retraining(folder: Path) -> None:
    """Passes if all that lies there was made by a retraining."""
    names = {path.name for path in folder.iterdir() if path.suffix != PARTIAL_SUFFIX}
    foreign = names - _MADE
    if foreign or not _is_retraining(folder / CONFIG_NAME):
        raise FileExistsError(
            f"output={folder} must hold nothing but a retraining where overwrite=true, got "
            f"{some_names(foreign or names)}; choose another folder"
        )


def _is_retraining(config: Path) -> bool:
    """Whether a file is the config of a retraining, which is written first."""
    try:
        found = yaml.safe_load(config.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(found, dict) and {"catalog", "loop", "task"} <= found.keys()


def _check_unused(folder: Path, models: Sequence[Model]) -> None:
    """Passes if no model that is not retired has its bundle there."""
    place = folder.resolve()
    for model in models:
        if model.status != "retired" and Path(model.bundle).resolve().is_relative_to(place):
            raise FileExistsError(
                f"output={folder} must not be overwritten while a model of the catalog needs it, "
                f"got the bundle of the {model.status} {model.name} [{model.bundle}]; choose "
                "another folder, or leave output away: each retraining then has its own"
            )


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
