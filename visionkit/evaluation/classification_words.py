"""The metrics of classification in words and as a table."""

from __future__ import annotations

from visionkit.evaluation.classification import ClassificationMetrics
from visionkit.evaluation.summary import counted, number, percent
from visionkit.scores import score_text

CLASS_COLUMNS = (
    "class", "pictures", "precision", "recall", "F1", "AP", "best threshold", "precise threshold",
    "taken for",
)  # fmt: skip

_SURE = 0.1  # calibration error from which confidence is said to mislead


def class_rows(metrics: ClassificationMetrics) -> list[tuple[str, ...]]:
    """One row of text a class, columns of `CLASS_COLUMNS`, in the order of the class names."""
    return [
        (
            one.name,
            str(one.support),
            number(one.precision),
            number(one.recall),
            number(one.f1),
            number(one.ap),
            score_text(one.assumed_threshold),
            score_text(one.precise_threshold),
            f"{one.nearest} ({one.nearest_count})" if one.nearest else "–",
        )
        for one in metrics.per_class
    ]


def class_headline(metrics: ClassificationMetrics) -> str:
    """What the figures say, in a sentence."""
    if metrics.pictures == 0:
        return "No pictures were evaluated."
    right = int(metrics.outcomes.right.sum())
    pictures = counted(metrics.pictures, "picture")
    if metrics.multi_label:
        return (
            f"{percent(metrics.recall)} of the classes shown were named, and "
            f"{percent(metrics.precision)} of those named are shown; all was right in {right:,} of "
            f"{pictures}."
        )
    return f"{right:,} of {pictures} named rightly ({percent(metrics.accuracy)})."


def class_remarks(metrics: ClassificationMetrics) -> list[str]:
    """What to look at first: the weakest class, mix-ups, confidence, classes never named."""
    found = [_weakest(metrics), _mix_up(metrics), _confidence(metrics), _never(metrics)]
    return [remark for remark in found if remark]


def _weakest(metrics: ClassificationMetrics) -> str:
    judged = [one for one in metrics.per_class if one.support and one.true]
    worst = min(judged, key=lambda one: one.f1, default=None)
    if worst is None or len(judged) < 2 or worst.f1 == 1:
        return ""
    return (
        f"Weakest class: {worst.name}, F1 {number(worst.f1)}: {worst.true} of "
        f"{counted(worst.support, 'picture')} named, {worst.said - worst.true} wrongly so."
    )


def _mix_up(metrics: ClassificationMetrics) -> str:
    worst = max(metrics.per_class, key=lambda one: one.nearest_count, default=None)
    if worst is None or not worst.nearest:
        return ""
    times = counted(worst.nearest_count, "time")
    return f"Most often taken for another: {worst.name} for {worst.nearest}, {times}."


def _confidence(metrics: ClassificationMetrics) -> str:
    if not metrics.calibration_error >= _SURE:
        return ""
    filled = metrics.reliability.count > 0
    count = metrics.reliability.count[filled]
    gap = metrics.reliability.confidence[filled] - metrics.reliability.accuracy[filled]
    way = "higher" if float((count * gap).sum()) > 0 else "lower"
    return (
        f"Confidence misleads: it is {way} than the share of right answers, by "
        f"{number(metrics.calibration_error)} on average."
    )


def _never(metrics: ClassificationMetrics) -> str:
    names = [one.name for one in metrics.per_class if one.support and not one.true]
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"Never named rightly: {', '.join(names[:5])}{more}."
