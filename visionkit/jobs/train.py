"""Training: which job a task has."""

from __future__ import annotations

from pathlib import Path

from visionkit.config import (
    AllConfig,
    ClassificationConfig,
    ExemplarConfig,
    LocalizationConfig,
    TrainConfig,
)
from visionkit.jobs.summary import Summary
from visionkit.jobs.train_all import train_all
from visionkit.jobs.train_classification import train_classification
from visionkit.jobs.train_exemplar import train_exemplar
from visionkit.jobs.train_localization import train_localization


def train(config: TrainConfig, run_folder: Path) -> Summary:
    """Trains the head of the config's task and writes bundle, report and metrics into the folder.

    A run that was stopped goes on where it was when it is called with the same folder.

    Raises:
        FileNotFoundError: a path of the data, or the bundle, does not exist.
        ValueError: nothing of the data can be learned from, or a setting does not fit another.
        RuntimeError: the disk is full, or the loss is not finite.
    """
    task = config.task
    if isinstance(task, ExemplarConfig):
        return train_exemplar(config, task, run_folder)
    if isinstance(task, ClassificationConfig):
        return train_classification(config, task, run_folder)
    if isinstance(task, LocalizationConfig):
        return train_localization(config, task, run_folder)
    if isinstance(task, AllConfig):
        return train_all(config, task, run_folder)
    raise ValueError(f"task must be one that can be trained, got {task.name}")
