"""What evaluations of all heads share: the split that is asked for, heading and config."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import yaml

from visionkit.config import EvaluateConfig
from visionkit.inference.predictor import Predictor
from visionkit.types import Sample


def require_split(config: EvaluateConfig, samples: Iterable[Sample]) -> None:
    """Passes if some of these pictures are in the split that is asked for, or all are asked for.

    Raises:
        ValueError: none is; names the splits that there are.
    """
    splits = {sample.split or "none" for sample in samples}
    if config.split != "all" and config.split not in splits:
        raise ValueError(
            f"split={config.split} must have pictures, but the splits of {config.data} are: "
            f"{', '.join(sorted(splits))}; take split=all or one of these"
        )


def title_of(config: EvaluateConfig) -> str:
    """Heading of the report: the folder of the bundle, or of the run it is of, and the data's."""
    path = Path(config.bundle).absolute()
    name = path.parent.name if path.name == "bundle" else path.name
    return f"{name} on {Path(config.data).name}"


def used_config(config: EvaluateConfig, predictor: Predictor) -> str:
    """The config as text, with the engine that ran in place of the one that was asked for."""
    return yaml.safe_dump({**asdict(config), "engine": predictor.engine}, sort_keys=False)
