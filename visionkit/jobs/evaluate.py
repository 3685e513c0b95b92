"""Measuring a bundle: which job the head that is measured has."""

from __future__ import annotations

from pathlib import Path

from visionkit.config import EvaluateConfig
from visionkit.inference.predictor import Predictor
from visionkit.jobs.evaluate_exemplar import evaluate_exemplar
from visionkit.jobs.evaluate_trained import evaluate_classification, evaluate_localization
from visionkit.jobs.summary import Summary


def evaluate(config: EvaluateConfig, run_folder: Path) -> Summary:
    """Where the figures of a head of a bundle on a data set lie.

    Raises:
        FileNotFoundError: there is no such bundle or data.
        ValueError: the bundle is damaged, it has several heads and none is named, nothing of the
            data can be used, or none of its labels is known to the head.
    """
    predictor = Predictor.load(config.bundle, device=config.accelerator, engine=config.engine)
    task = asked_task(config, predictor.tasks)
    if task == "exemplar":
        return evaluate_exemplar(config, predictor, run_folder)
    if task == "classification":
        return evaluate_classification(config, predictor, run_folder)
    return evaluate_localization(config, predictor, run_folder)


def asked_task(config: EvaluateConfig, there: tuple[str, ...]) -> str:
    """The head that is measured."""
    if config.task is None:
        if len(there) > 1:
            raise ValueError(
                f"task must say which head is measured, {' or '.join(there)}, got none "
                f"[{config.bundle}]"
            )
        return there[0]
    if config.task not in there:
        raise ValueError(
            f"task must be a head of the bundle, {' or '.join(there)}, got {config.task} "
            f"[{config.bundle}]"
        )
    return config.task
