"""All rules, in the order in which what they find is told: causes before what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from visionkit.training.debugger import rules_data as data
from visionkit.training.debugger import rules_losses as losses
from visionkit.training.debugger import rules_network as network
from visionkit.training.debugger import rules_weights as weights
from visionkit.training.debugger.findings import Finding
from visionkit.training.debugger.history import History
from visionkit.training.debugger.settings import DebuggerSettings

Rule = Callable[[History, DebuggerSettings], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    network.input_not_normalised,
    data.same_batch,
    network.poor_initialisation,
    network.dead_relu,
    network.saturated_activation,
    weights.frozen_moved,
    weights.norm_statistics_moved,
    weights.unchanged_tensor,
    weights.exploding_gradient,
    network.exploding_tensor,
    weights.vanishing_gradient,
    network.collapsed_embeddings,
    weights.learning_rate,
    weights.all_zero,
    data.labels_shuffled,
    data.class_imbalance,
    data.boxes_lost,
    data.starving,
    losses.loss_not_falling,
    losses.overfitting,
    losses.confusion,
    losses.overtraining,
    losses.stalled,
)


def check(history: History, settings: DebuggerSettings, known: set[str]) -> Iterator[Finding]:
    """What the rules find, each rule once.

    Args:
        history: with at least one look.
        settings: limits.
        known: rules that have found something before; those that do now are added.
    """
    for rule in RULES:
        if rule.__name__ in known:
            continue
        for finding in rule(history, settings):
            known.add(rule.__name__)
            yield finding
