"""Rules about what flows through a network: pictures in, units, embeddings, first weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from visionkit.training.debugger.findings import Finding
from visionkit.training.debugger.history import History, Look
from visionkit.training.debugger.settings import DebuggerSettings

_RAW = 20.0  # no normalisation gives more; pictures of 0..255 do
_DARK = 0.4  # of the expected range: pictures that are never darker begin at zero
_SURE = 3  # looks in which pictures must be wrong
_GREW = 0.6  # share of the units that may fall silent during the training


def recent(history: History, settings: DebuggerSettings) -> list[Look]:
    """The last looks that a rule asks for; none before there are as many."""
    looks = history.looks[-settings.patience :]
    return looks if len(looks) == settings.patience else []


def input_not_normalised(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """Pictures lie outside of the range that the backbone was learned with, or fill it wrongly."""
    looks = [look.pictures for look in history.looks[-_SURE:]]
    seen = [pictures for pictures in looks if pictures is not None]
    if len(seen) < _SURE:
        return
    low, high = min(one.lowest for one in seen), max(one.highest for one in seen)
    expected = seen[-1].expected
    limit = _RAW
    is_wrong = max(-low, high) > _RAW
    if expected is not None:
        span = expected[1] - expected[0]
        limit = expected[1] + settings.input_margin * span
        below = expected[0] - settings.input_margin * span
        raw = low > expected[0] + _DARK * span and low >= -0.01 and high <= 1.01
        is_wrong = high > limit or low < below or raw
        if raw and high <= limit:
            limit = expected[0] + _DARK * span
    if is_wrong:
        wanted = "about -2..2" if expected is None else f"{expected[0]:.2g}..{expected[1]:.2g}"
        yield Finding(
            "input_not_normalised",
            f"pictures lie in {low:.3g}..{high:.3g} where the network expects {wanted}",
            seen[-1].layer,
            history.looks[-_SURE].step,
            low if limit < 0 else high,
            limit,
            "A network knows pictures only as they were normalised in its training. With others "
            "its features mean little, and training spends its time on mending them.",
            "normalise with the backbone's own mean and std (backbone.mean=null backbone.std=null)",
        )


def poor_initialisation(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """At the first look values explode or vanish on their way, or units are all alike."""
    first = history.looks[0]
    if first.constant:
        yield Finding(
            "poor_initialisation",
            "all weights have the same value",
            first.constant[0],
            first.step,
            0.0,
            0.0,
            "Units that begin alike get the same gradient and stay alike. The layer can never "
            "tell more than a single unit could.",
            "initialise at random, for instance torch.nn.init.kaiming_normal_",
        )
        return
    sizes = [(name, size) for name, size in first.flow.size.items() if np.isfinite(size) and size]
    if len(history.looks) > 1 or len(sizes) < 2:
        return
    begin = sizes[0][1]
    for name, size in sizes:
        factor = max(size / begin, begin / size)
        if factor > settings.first_spread:
            yield Finding(
                "poor_initialisation",
                f"values are {'larger' if size > begin else 'smaller'} than in the first layer",
                name,
                first.step,
                factor,
                settings.first_spread,
                "Each layer should keep the size of what flows through it. Otherwise gradients "
                "explode or vanish from the first step on, and most layers can't learn.",
                "initialise by fan-in (torch.nn.init.kaiming_normal_), or add normalisation layers",
            )
            return


def dead_relu(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """Units of a ReLU that learns give nothing for any picture of several looks.

    Pretrained networks have such units too: fewer than `dead` are only a finding where they fell
    silent during this training.
    """
    looks = recent(history, settings)
    if not looks:
        return
    start = history.looks[: settings.patience]
    for name in looks[-1].flow.silent:
        share, before = _silent_share(looks, name), _silent_share(start, name)
        if share > settings.dead or share - before > _GREW:
            yield Finding(
                "dead_relu",
                "units give zero for every picture",
                name,
                looks[0].step,
                share,
                min(settings.dead, before + _GREW),
                "A unit that is never above zero gets no gradient, so it can't come back. The "
                "layer has lost that part of what it could tell.",
                "a smaller learning rate (task.learning_rate=...), a warm-up, or LeakyReLU",
                hopeless=share >= 1,
            )
            return


def _silent_share(looks: list[Look], name: str) -> float:
    """Share of the units that gave nothing in any of the looks; 0 where some didn't see them."""
    seen = [look.flow.silent[name] for look in looks if name in look.flow.silent]
    if len(seen) < len(looks) or len({one.shape for one in seen}) > 1:
        return 0.0
    return float(np.all(seen, axis=0).mean())


def saturated_activation(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """Most values of a sigmoid or tanh within the network lie at its ends."""
    looks = recent(history, settings)
    for name in looks[-1].flow.saturated if looks else ():
        shares = [look.flow.saturated.get(name, 0.0) for look in looks]
        if min(shares) > settings.saturated:
            yield Finding(
                "saturated_activation",
                "most values lie at the ends of the curve",
                name,
                looks[0].step,
                float(np.median(shares)),
                settings.saturated,
                "Where the curve is flat the gradient is nearly zero. The layers before it learn "
                "hardly anything.",
                "smaller first weights, normalisation before the activation, or ReLU or GELU",
            )
            return


def exploding_tensor(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """What a layer gives has become huge."""
    look = history.looks[-1]
    for name, largest in look.flow.largest.items():
        if largest > settings.largest_value:
            yield Finding(
                "exploding_tensor",
                "values are huge",
                name,
                look.step,
                largest,
                settings.largest_value,
                "Values of this size lose their last digits, and with 16 bits they are infinite. "
                "The next steps are likely to end in NaN.",
                "a smaller learning rate (task.learning_rate=...) or task.gradient_clip=1",
            )
            return


def collapsed_embeddings(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """All pictures of a batch have the same embedding, and not only in the first steps."""
    looks = recent(history, settings)
    seen = [look.embeddings for look in looks if look.embeddings is not None]
    if not looks or len(seen) < len(looks):
        return
    spread = max(one.spread for one in seen)
    first = history.looks[0]
    fell = first.embeddings is not None and first.embeddings.spread > settings.collapsed
    stays = looks[-1].step - first.step >= settings.loss_steps // 4
    if spread < settings.collapsed and (fell or stays):
        yield Finding(
            "collapsed_embeddings",
            "all pictures of a batch have the same embedding",
            seen[-1].layer,
            looks[0].step,
            spread,
            settings.collapsed,
            "Nothing that comes after can tell the pictures apart. A loss that rewards likeness "
            "alone, or a learning rate that is too large, ends here.",
            "a smaller learning rate (task.learning_rate=...), or a loss that also pushes apart",
        )
