"""Rules about gradients and weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from visionkit.training.debugger.findings import Finding
from visionkit.training.debugger.history import History, Look
from visionkit.training.debugger.settings import DebuggerSettings

_ZERO_LOOKS = 3  # times `patience`: batches of backgrounds alone give some heads no gradient
_MIDDLE = 0.5  # of the highest step size so far: warm-up and the end of a schedule don't count
_NO_FALL = 0.02  # of the loss
_SETTLED = 8  # steps after which updates and losses say something


def all_zero(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """A weight that learns gets a gradient of zero, look after look."""
    count = _ZERO_LOOKS * settings.patience
    looks = [look for look in history.looks if look.gradients][-count:]
    if len(looks) < count:
        return
    for name in looks[-1].gradients:
        if all(look.gradients.get(name, 1.0) == 0 for look in looks):
            yield Finding(
                "all_zero",
                "the gradient is zero throughout",
                name,
                looks[0].step,
                0.0,
                0.0,
                "The loss does not depend on this weight, so it can't learn. Something after it "
                "cuts the way: a detach, a mask, weights of zero or dead units.",
                "look at what is done with its output; freeze what is not meant to learn",
            )
            return


def unchanged_tensor(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """A weight that has a gradient is not changed by the steps."""
    looks = [look for look in history.looks if look.updates and not look.rate <= 0]
    looks = looks[-settings.patience :]
    if len(looks) < settings.patience:
        return
    # A gradient that is lost in rounding changes nothing either, and is another finding.
    least = [settings.vanishing * max(look.gradients.values()) for look in looks]
    for name in looks[-1].updates:
        if name not in history.fan_in:
            continue
        still = [look.updates.get(name, 1.0) == 0 for look in looks]
        has_gradient = [
            look.gradients.get(name, 0.0) > weak for look, weak in zip(looks, least, strict=True)
        ]
        if all(still) and all(has_gradient):
            yield Finding(
                "unchanged_tensor",
                "steps don't change the weights, though they have a gradient",
                name,
                looks[0].step,
                0.0,
                0.0,
                "The layer is meant to learn and does not. Usually the optimizer was never given "
                "it, or its learning rate is zero.",
                "give the optimizer all parameters that learn; task.freeze=... says what doesn't",
            )
            return


def frozen_moved(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """A frozen weight is not what it was at the beginning."""
    look = history.looks[-1]
    if look.moved:
        yield Finding(
            "frozen_moved",
            f"{len(look.moved)} frozen tensors have changed",
            look.moved[0],
            look.step,
            float(len(look.moved)),
            0.0,
            "What is frozen is meant to stay as it was, and others may rely on it: heads of the "
            "same backbone, or a cache of its features. They fit it no longer.",
            "leave frozen parameters out of the optimizer, and freeze before it is made",
        )


def norm_statistics_moved(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """A frozen batch norm follows the batches all the same."""
    look = history.looks[-1]
    if look.statistics:
        yield Finding(
            "norm_statistics_moved",
            f"the statistics of {len(look.statistics)} frozen batch norms follow the batches",
            look.statistics[0],
            look.step,
            float(len(look.statistics)),
            0.0,
            "A batch norm that is frozen but in training mode still learns mean and variance. "
            "The frozen layers then answer otherwise from day to day.",
            "put frozen batch norms into evaluation mode after train() (task.fixed_norms=true)",
        )


def exploding_gradient(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """The gradient of all weights is far larger than the weights."""
    looks = [look for look in history.looks if look.gradients][-2:]
    if len(looks) < 2:
        return
    sizes = [_ratio(look.gradients, look.weights) for look in looks]
    if min(sizes) > settings.exploding:
        last = looks[-1]
        worst = max(last.gradients, key=lambda name: last.gradients[name])
        yield Finding(
            "exploding_gradient",
            "gradients are far larger than the weights",
            worst,
            looks[0].step,
            min(sizes),
            settings.exploding,
            "Steps along such gradients throw away what was learned, or only the clipping of them "
            "counts. The loss jumps, and often ends in NaN.",
            "task.gradient_clip=1, a smaller loss, or a smaller task.learning_rate",
        )


def vanishing_gradient(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """A layer's gradient is next to nothing beside that of the strongest layer.

    Measured against the other layers: a training that has converged has small gradients in all of
    them, and frozen layers have none.
    """
    looks = [look for look in history.looks if look.gradients][-settings.patience :]
    if len(looks) < settings.patience:
        return
    shares: dict[str, float] = {}
    for name in looks[-1].gradients:
        seen = [
            look.gradients.get(name, np.inf) / max(max(look.gradients.values()), 1e-30)
            for look in looks
        ]
        if looks[-1].weights.get(name, 0.0) and name in history.fan_in:
            shares[name] = max(seen)
    weak = {name: share for name, share in shares.items() if 0 < share < settings.vanishing}
    if weak:
        name = min(weak, key=lambda each: weak[each])
        yield Finding(
            "vanishing_gradient",
            f"the gradient is next to nothing ({len(weak)} layers)",
            name,
            looks[0].step,
            weak[name],
            settings.vanishing,
            "The error does not reach these layers on its way back. They stay as they began, "
            "however long the training.",
            "ReLU or GELU in place of sigmoids, normalisation, residual connections, fewer layers",
        )


def learning_rate(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """Steps are far too large, or far too small, for the weights, and the loss does not fall.

    The first steps alone say neither: weights that begin near zero grow by large parts in health,
    and the losses of few steps differ by their batches.
    """
    rates = [look.rate for look in history.looks if np.isfinite(look.rate)]
    most = max(rates, default=0.0)
    looks = [
        look
        for look in history.looks
        if look.updates and not (np.isfinite(look.rate) and look.rate < _MIDDLE * most)
    ][-settings.patience :]
    if len(looks) < settings.patience or looks[-1].step - history.looks[0].step < _SETTLED:
        return
    if len(history.losses) < _SETTLED or _falls(history):
        return
    sizes = [_middle_update(look, history.fan_in) for look in looks]
    too_large = min(sizes) > settings.largest_update
    if not too_large and not 0 < max(sizes) < settings.smallest_update:
        return
    yield Finding(
        "learning_rate",
        f"steps are {'too large' if too_large else 'far too small'} for the weights",
        _extreme(looks[-1], history.fan_in, largest=too_large),
        looks[0].step,
        float(np.median(sizes)),
        settings.largest_update if too_large else settings.smallest_update,
        "A step should change weights by about a thousandth of their size. "
        + (
            "These jump over every minimum, and the loss does not fall."
            if too_large
            else "With these the training would have to be a thousand times as long."
        ),
        f"task.learning_rate={_better(looks[-1].rate, float(np.median(sizes)))}",
        hopeless=too_large,
    )


def _falls(history: History) -> bool:
    """Whether the last losses are below the first ones."""
    values = [value for _, value in history.losses]
    few = max(2, len(values) // 4)
    first, last = float(np.mean(values[:few])), float(np.mean(values[-few:]))
    return last < first - _NO_FALL * abs(first)


def _updates(look: Look, fan_in: Mapping[str, int]) -> dict[str, float]:
    """Update of each matrix as a part of its size; of one near zero, of the size it should have."""
    return {
        name: update / max(look.weights[name], fan_in[name] ** -0.5)
        for name, update in look.updates.items()
        if name in fan_in
    }


def _middle_update(look: Look, fan_in: Mapping[str, int]) -> float:
    ratios: Sequence[float] = list(_updates(look, fan_in).values())
    return float(np.median(ratios)) if ratios else 0.0


def _extreme(look: Look, fan_in: Mapping[str, int], *, largest: bool) -> str:
    ratios = _updates(look, fan_in)
    if not ratios:
        return "all layers"
    pick = max if largest else min
    return pick(ratios, key=lambda name: ratios[name])


def _better(rate: float, ratio: float) -> str:
    """The step size that would change weights by a thousandth."""
    return f"{rate * 1e-3 / ratio:.1g}" if np.isfinite(rate) and ratio > 0 else "..."


def _ratio(gradients: Mapping[str, float], weights: Mapping[str, float]) -> float:
    of = [gradients[name] for name in gradients]
    by = [weights.get(name, 0.0) for name in gradients]
    return float(np.sqrt(np.mean(np.square(of))) / max(np.sqrt(np.mean(np.square(by))), 1e-12))
