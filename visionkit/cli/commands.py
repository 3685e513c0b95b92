"""The commands: which config each takes and which job it calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from visionkit.config import (
    EvaluateConfig,
    ExportConfig,
    GalleryConfig,
    PredictConfig,
    PredictVideoConfig,
    TrainConfig,
)
from visionkit.config.flywheel import MergeConfig, RetrainConfig, ReviewConfig, VersionsConfig
from visionkit.config.monitoring import MonitorConfig


class Summary(Protocol):
    """What a job gives back."""

    @property
    def run_folder(self) -> Path:
        """Where the results lie."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Name -> value."""

    @property
    def unread(self) -> int:
        """How much of what was asked about could not be read; the exit status tells."""

    @property
    def exit_status(self) -> int:
        """Of the process where the job has something to say by it, else 0."""


@dataclass(frozen=True)
class Command:
    """A command that runs a job on a config.

    Attributes:
        name: as it is typed; also the name of its file in `conf/`.
        config_type: dataclass of its config.
        job: takes the config and the run's folder; imports what it needs when it is called,
            so that `--help` and a mistyped key answer at once.
        run_name: config -> name of the folder in `runs/`; None where it needs no folder.
        positional: key that the first word may give without `key=`.
        works_on: key of the folder that is worked on, where no run's folder is needed.
        actions: what the positional key may be.
        goes_on: whether the same words with the folder of a run go on with it, and leave a
            finished one as it is.
        without: what of `conf/` it refuses or has no use for, so that its help leaves it out:
            options (`task=all`), keys with all below them, and groups as a whole (`data=`).
    """

    name: str
    config_type: type[Any]
    job: Callable[[Any, Path], Summary]
    run_name: Callable[[Any], str] | None
    positional: str | None = None
    works_on: str = "bundle"
    actions: tuple[str, ...] = ()
    goes_on: bool = False
    without: frozenset[str] = frozenset()


def _train(config: TrainConfig, run_folder: Path) -> Summary:
    from visionkit.jobs.train import train

    return train(config, run_folder)


def _evaluate(config: EvaluateConfig, run_folder: Path) -> Summary:
    from visionkit.jobs.evaluate import evaluate

    return evaluate(config, run_folder)


def _predict(config: PredictConfig, run_folder: Path) -> Summary:
    from visionkit.jobs.predict import predict

    return predict(config, run_folder)


def _predict_video(config: PredictVideoConfig, run_folder: Path) -> Summary:
    from visionkit.jobs.predict_video import predict_video

    return predict_video(config, run_folder)


def _export(config: ExportConfig, run_folder: Path) -> Summary:
    from visionkit.jobs.export import export

    return export(config, run_folder)


def _gallery(config: GalleryConfig, run_folder: Path) -> Summary:
    from visionkit.jobs.gallery import gallery

    return gallery(config, run_folder)


def _merge(config: MergeConfig, place: Path) -> Summary:
    from visionkit.jobs.merge import merge

    return merge(config, place)


def _versions(config: VersionsConfig, place: Path) -> Summary:
    from visionkit.jobs.versions import versions

    return versions(config, place)


def _retrain(config: RetrainConfig, place: Path) -> Summary:
    from visionkit.jobs.retrain import retrain

    return retrain(config, place)


def _monitor(config: MonitorConfig, run_folder: Path) -> Summary:
    from visionkit.jobs.monitor import monitor

    return monitor(config, run_folder)


def _review(config: ReviewConfig, place: Path) -> Summary:
    from visionkit.jobs.review import review

    return review(config, place)


_NOT_RETRAINED = frozenset({"task=all", "data=", "data.demo"}) | {
    f"data.{name}" for name in ("scenes", "root", "labels", "boxes", "val", "test")
}
"""The pictures of a retraining are those of the catalog, and its heads are judged one by one."""

COMMANDS = {
    command.name: command
    for command in (
        Command("train", TrainConfig, _train, lambda config: str(config.task.name)),
        Command("evaluate", EvaluateConfig, _evaluate, lambda _: "evaluate"),
        Command("predict", PredictConfig, _predict, lambda _: "predict"),
        Command(
            "predict_video",
            PredictVideoConfig,
            _predict_video,
            lambda _: "predict_video",
            goes_on=True,
        ),
        Command("export", ExportConfig, _export, lambda _: "export"),
        Command(
            "gallery",
            GalleryConfig,
            _gallery,
            None,
            positional="action",
            actions=("add", "remove", "list", "audit", "promote"),
        ),
        Command("review", ReviewConfig, _review, None, works_on="catalog"),
        Command("merge", MergeConfig, _merge, None, works_on="catalog"),
        Command(
            "versions",
            VersionsConfig,
            _versions,
            None,
            positional="action",
            works_on="catalog",
            actions=("list", "diff", "restore", "export", "ask", "import"),
        ),
        Command("monitor", MonitorConfig, _monitor, lambda _: "monitor"),
        Command(
            "retrain",
            RetrainConfig,
            _retrain,
            None,
            works_on="catalog",
            without=_NOT_RETRAINED,
        ),
    )
}
