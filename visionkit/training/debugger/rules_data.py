"""Rules about batches: labels, boxes, order, and how soon they come."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from visionkit.training.debugger.findings import Finding
from visionkit.training.debugger.history import History
from visionkit.training.debugger.rules_network import recent
from visionkit.training.debugger.settings import DebuggerSettings

_SAME = 0.9  # of the pictures
_FEWEST_LABELS = 300
_FEWEST_BOXES = 100
_FEWEST_STEPS = 20
_NO_LESS = 0.9  # of the loss of chance
_SIGMAS = 3.0
_PAIRS = 2.0  # two pictures may be each other's nearest, and then count twice: of the variance


def same_batch(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """Looks of one epoch show the same pictures."""
    looks = recent(history, settings)
    if not looks or len({look.epoch for look in looks}) > 1:
        return
    prints = [look.batch.prints for look in looks]
    shares = [len(one & other) / len(other) if other else 0.0 for one, other in pairwise(prints)]
    if min(shares) >= _SAME:
        yield Finding(
            "same_batch",
            "the same pictures come again and again within an epoch",
            "data",
            looks[0].step,
            min(shares),
            _SAME,
            "The network learns one batch by heart and never sees the others. Its loss falls, and "
            "says nothing about new pictures.",
            "look at the sampler: shuffle=True, and an order of its own in each epoch",
        )


def labels_shuffled(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """Pictures with alike embeddings have no more often the same label than by chance.

    And the loss is still that of chance: an embedding that is good for something else would get
    better. The first looks count alone: later ones know single pictures by heart.
    """
    looked = [look.embeddings for look in history.looks if look.embeddings is not None]
    before = np.cumsum([0, *(one.count for one in looked)])
    seen = [one for one, count in zip(looked, before, strict=False) if count < _FEWEST_LABELS]
    count, chance = sum(one.count for one in seen), sum(one.chance for one in seen)
    if count < _FEWEST_LABELS or len(history.losses) < settings.loss_steps // 2:
        return
    hits = sum(one.hits for one in seen)
    limit = chance + _SIGMAS * math.sqrt(_PAIRS * sum(one.variance for one in seen))
    losses = [value for _, value in history.losses]
    last = float(np.mean(losses[-len(losses) // 4 :]))
    if hits <= limit and last > _NO_LESS * history.chance:
        yield Finding(
            "labels_shuffled",
            "pictures that look alike have different labels, as if these were drawn by lot",
            "data",
            history.looks[0].step,
            hits / count,
            limit / count,
            "Nothing that can be seen tells the labels. What the network learns, if it learns "
            "anything, is single pictures by heart.",
            "look at a few pictures with their labels: an order that does not fit, a join by row",
        )


def class_imbalance(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """The commonest class counts in the loss many times as much as the rarest.

    What a sampler or weights of the loss even out is no finding.
    """
    counts, weights = history.labels, history.class_weights
    if len(counts) < 2 or sum(counts.values()) < _FEWEST_LABELS:
        return
    counting = {label: count * weights.get(label, 1.0) for label, count in counts.items()}
    rarest = min(counting, key=counting.__getitem__)
    commonest = max(counting, key=counting.__getitem__)
    # As many as the rarest class may well have, so that few looks don't make it look rare.
    may_have = counts[rarest] + 2 * math.sqrt(counts[rarest]) + 1
    ratio = counting[commonest] / max(may_have * weights.get(rarest, 1.0), 1e-12)
    if ratio > settings.imbalance:
        yield Finding(
            "class_imbalance",
            f"class {commonest} counts far more than class {rarest}",
            "data",
            history.looks[0].step,
            ratio,
            settings.imbalance,
            "The loss is nearly that of the common classes alone. Rare ones are named only where "
            "that costs nothing.",
            "task.finetune.balance=sampling or task.finetune.balance=weights, or more pictures",
        )


def boxes_lost(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """Augmentation pushes out or shrinks away many of the boxes."""
    given, lost = history.boxes_given, history.boxes_lost
    if given >= _FEWEST_BOXES and lost / given > settings.boxes_lost:
        yield Finding(
            "boxes_lost",
            f"augmentation takes away {lost} of {given} boxes",
            "data",
            history.looks[0].step,
            lost / given,
            settings.boxes_lost,
            "Objects that are there and not labelled teach the network not to find them. Those at "
            "the rim and small ones suffer first.",
            "task.augment.scale=0.2 task.augment.shift=0.05, or task.mosaic=0",
        )


def starving(history: History, settings: DebuggerSettings) -> Iterator[Finding]:
    """The network waits for its batches most of the time.

    The first epoch does not count: whatever is cached is made in it.
    """
    if len(history.waits) < _FEWEST_STEPS:
        return
    wait = float(np.median(history.waits))
    share = sum(history.waits) / max(sum(history.seconds), 1e-9)
    if share > settings.waiting and wait > settings.waiting_seconds:
        yield Finding(
            "starving",
            f"the network waits {wait:.2g} s a step for its batch",
            "data",
            history.looks[-1].step,
            share,
            settings.waiting,
            "Reading and changing pictures takes longer than learning from them. The training "
            "could be done in a fraction of the time.",
            "trainer.workers=4, smaller pictures on disk, or fewer changes of them",
        )
