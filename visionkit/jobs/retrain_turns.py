"""The models that were measured on one frozen test set, as points on the page of the wheel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from visionkit.flywheel.catalog import Model
from visionkit.flywheel.wheel import Turn


def turns_of(
    models: Sequence[Model], champion: Model | None, value: float, *, task: str, test: str
) -> list[Turn]:
    """The models in their order; a champion that came from elsewhere comes first.

    Args:
        models: of the catalog.
        champion: that was challenged, or None.
        value: its figure, 0..1, as it was measured now.
        task: the head.
        test: name of the frozen test set.
    """
    turns = [
        Turn(
            version=model.version,
            model=model.name,
            value=float(model.metrics["value"]),
            low=_number(model.metrics.get("low")),
            high=_number(model.metrics.get("high")),
            promoted=bool(model.metrics.get("promoted")),
        )
        for model in models
        if model.metrics.get("test") == test
        and model.metrics.get("task") == task
        and model.metrics.get("value") is not None
    ]
    if champion is None or champion.name in {turn.model for turn in turns}:
        return turns
    nothing = float("nan")
    return [Turn("start", champion.name, value, nothing, nothing, promoted=True), *turns]


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
