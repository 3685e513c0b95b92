"""Rules about the losses of training and validation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from visionkit.training.debugger.findings import Finding
from visionkit.training.debugger.history import History
from visionkit.training.debugger.settings import DebuggerSettings

_STARTED = 0.7  # of the loss of chance: what begins below it had learned before
_SIGMAS = 2.0
_TIMES = 20  # the usual step
_FEWEST = 20  # validation pictures of a class that is told to be confused


def loss_not_falling(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """The loss has not fallen in many steps, and it was not low from the start.

    A head that was fitted to frozen features before (as visionkit does) begins where others end.
    """
    values = np.array([value for _, value in history.losses])
    if len(values) < settings.loss_steps:
        return
    part = len(values) // 4
    first, last = values[:part], values[-part:]
    if first.mean() < _STARTED * history.chance:
        return
    has_begun = history.losses[0][0] < settings.loss_steps  # else it goes on, and fell before
    error = math.sqrt(first.var() / part + last.var() / part)
    fall = float(first.mean() - last.mean())
    drop = fall / max(abs(float(first.mean())), 1e-12)
    rises = fall < -_SIGMAS * error and drop < -settings.loss_drop
    stays = drop < settings.loss_drop and fall < _SIGMAS * error and first.mean() > 0
    if rises or (stays and has_begun):
        yield Finding(
            "loss_not_falling",
            "the loss rises" if rises else "the loss does not fall",
            "loss",
            history.losses[0][0],
            drop,
            settings.loss_drop,
            "The network does not learn what it is asked. More time alone will not change that.",
            "another learning rate (task.learning_rate=...), and look at pictures and labels",
        )


def overfitting(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """Validation gets far worse than its best while the training loss falls.

    By its loss; where there is none, by its figure, of which more is better.
    """
    patience = settings.patience
    if not history.validation:
        yield from _worse_figure(history, settings)
        return
    if len(history.validation) <= 2 * patience:
        return
    steps, values = zip(*history.validation, strict=True)
    place = int(np.argmin(values))
    best, lately = values[place], float(min(values[-patience:]))
    rise = lately / best - 1 if best > 0 else 0.0
    if rise > settings.overfit and _falls_after(history, steps[place]):
        yield _overfits("the validation loss rises", int(steps[place]), rise, settings)


def _worse_figure(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """The figures of the last validations are all far below the best one."""
    if not history.measured:
        return
    steps, values = zip(*history.measured, strict=True)
    place = int(np.argmax(values))
    best, lately = values[place], max(values[-settings.patience :])
    fall = 1 - lately / best if best > 0 else 0.0
    if fall > settings.overfit and _falls_after(history, steps[place]):
        yield _overfits("the figure of validation falls", int(steps[place]), fall, settings)


def _falls_after(history: History, step: int) -> bool:
    """Whether the training loss goes on falling after a step."""
    before = [value for at, value in history.losses if at <= step]
    after = [value for at, value in history.losses if at > step]
    if not before or not after:
        return False
    few = max(1, min(len(before), len(after)) // 2)
    return bool(np.mean(after[-few:]) < np.mean(before[-few:]))


def _overfits(what: str, step: int, by: float, settings: DebuggerSettings) -> Finding:
    return Finding(
        "overfitting",
        f"{what} while the training loss falls",
        "loss",
        step,
        by,
        settings.overfit,
        "The network learns its training pictures by heart. What it says of new ones gets "
        "worse, or too sure.",
        "more or more varied pictures, task.finetune.mix.mixup=0.5, or fewer epochs",
    )


def confusion(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """In several validations most pictures of a class were named as one other.

    SageMaker Debugger looks at every cell of one matrix; a class of few pictures, or a training
    that has just begun, confuses classes in health.
    """
    last = history.confusion[-settings.patience :]
    if len(last) < settings.patience or len({counts.shape for counts in last}) > 1:
        return
    shares = []
    for counts in last:
        total = counts.sum(axis=1, keepdims=True)
        shares.append(np.where(total >= _FEWEST, counts / np.maximum(total, 1), 0.0))
    least = np.min(shares, axis=0)
    np.fill_diagonal(least, 0.0)
    own, other = (int(place) for place in np.unravel_index(least.argmax(), least.shape))
    if least[own, other] > settings.confused:
        yield Finding(
            "confusion",
            f"class {own} is named as class {other} in validation after validation",
            f"class {own}",
            history.losses[-1][0] if history.losses else 0,
            float(least[own, other]),
            settings.confused,
            "The network does not tell the two apart, while it is judged as if it did. Their "
            "labels may be mixed up, or one of them has too few pictures.",
            "look at the pictures of both classes; task.finetune.balance=sampling, or one class",
        )


def overtraining(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """Many validations have brought nothing better, by their loss or else by their figure."""
    told = history.validation or [(step, -value) for step, value in history.measured]
    values = [value for _, value in told]
    if not values:
        return
    place = int(np.argmin(values))
    since = len(values) - 1 - place
    if since >= settings.overtrained:
        yield Finding(
            "overtraining",
            "no validation has been better for long",
            "loss",
            int(told[place][0]),
            float(since),
            float(settings.overtrained),
            "The best weights lie far behind, and further steps only cost time. They don't help "
            "what is kept.",
            "trainer.max_epochs=... or a smaller trainer.patience",
        )


def stalled(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """One step took very long, and far longer than the others."""
    if len(history.seconds) < 8:
        return
    longest, usual = max(history.seconds), float(np.median(history.seconds))
    if longest > max(settings.stalled_seconds, _TIMES * usual):
        yield Finding(
            "stalled",
            "a step took very long",
            "data",
            history.losses[-1][0] if history.losses else 0,
            longest,
            max(settings.stalled_seconds, _TIMES * usual),
            "Something outside of the network holds the training up: a disk, a network drive, or "
            "another process on the device. If it happens again, most of the time is lost there.",
            "copy the pictures to a local disk; look at what else runs on the machine",
        )
