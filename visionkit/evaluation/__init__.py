"""Metrics with intervals, what became of every find, and the report."""

from visionkit.evaluation.bootstrap import Interval
from visionkit.evaluation.metrics import BoxMetrics, ClassMetrics, evaluate_boxes
from visionkit.evaluation.outcomes import Outcomes, Truth
from visionkit.evaluation.presence import PresenceMetrics, presence_metrics, presence_of

__all__ = [
    "BoxMetrics",
    "ClassMetrics",
    "Interval",
    "Outcomes",
    "PresenceMetrics",
    "Truth",
    "evaluate_boxes",
    "presence_metrics",
    "presence_of",
]
