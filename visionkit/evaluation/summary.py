"""The metrics in words, as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from visionkit.evaluation.bootstrap import Interval
from visionkit.evaluation.classification import ClassificationMetrics
from visionkit.evaluation.coco import CocoMetrics
from visionkit.evaluation.metrics import BoxMetrics
from visionkit.evaluation.presence import PresenceMetrics
from visionkit.evaluation.wording import ITEMS, Wording
from visionkit.scores import score_text

_COLUMNS = (
    "boxes", "AP50", "precision", "recall", "F1", "threshold", "false alarms", "taken for",
)  # fmt: skip
ITEM_COLUMNS = ("item", *_COLUMNS)
CLASS_COLUMNS = ("class", *_COLUMNS)

_LEFT_OUT = ("outcomes", "above", "curve")  # a row a find: these have files of their own
_WORDS_OF_OUTCOMES = {
    "duplicate": ("is", "are", "a second find of a box already found"),
    "misplaced": ("lies", "lie", "on the right {kind}, but with too little overlap"),
    "wrong item": ("lies", "lie", "on a box of another {kind}"),
    "background": ("lies", "lie", "where none of the {kinds} is"),
}
"""Verb for one find and for several, and the rest of the sentence, in the words of a task."""


def metrics_json(
    metrics: BoxMetrics | PresenceMetrics | CocoMetrics | ClassificationMetrics,
) -> dict[str, Any]:
    """The metrics as JSON values; what is undefined or infinite is None, finds are left out."""
    return {
        field.name: json_value(getattr(metrics, field.name))
        for field in fields(metrics)
        if field.name not in _LEFT_OUT
    }


def item_rows(metrics: BoxMetrics) -> list[tuple[str, ...]]:
    """One row of text an item, columns of `ITEM_COLUMNS`, in the order of the class names."""
    return [
        (
            one.name,
            str(one.truths),
            number(one.ap50),
            number(one.precision),
            number(one.recall),
            number(one.f1),
            score_text(one.threshold),
            number(one.false_alarms),
            f"{one.nearest} ({one.nearest_count})" if one.nearest else "–",
        )
        for one in metrics.per_class
    ]


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""The rows under their columns as aligned text; the first and last column lean left.

    >>> print(text_table(("item", "AP50", "taken for"), [("milk", "0.91", "–")]))
    item  AP50  taken for
    milk  0.91  –
    """
    table = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(columns))]
    last = len(columns) - 1
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )


def headline(metrics: BoxMetrics, wording: Wording = ITEMS) -> str:
    """What the figures say, in a sentence or two, in the words of a task."""
    if metrics.pictures == 0:
        return "No pictures were evaluated."
    words = f"{_truths_words(metrics, wording)} {_false_alarm_words(metrics, wording)}"
    return words.strip()


def remarks(metrics: BoxMetrics, wording: Wording = ITEMS) -> list[str]:
    """What to look at first, a sentence each: the weakest, mix-ups, where errors come from."""
    found = [
        _weakest(metrics, wording), _mix_up(metrics), _error_source(metrics, wording),
        _pooling(metrics, wording), *_never_right(metrics),
    ]  # fmt: skip
    return [remark for remark in found if remark]


def number(value: float, digits: int = 2) -> str:
    """The number as text, never rounded up to 1; a dash where it is not defined.

    >>> number(0.834), number(0.999), number(1.0), number(float("nan"))
    ('0.83', '0.99', '1.00', '–')
    """
    if not math.isfinite(value):
        return "–"
    return f"{min(value, 1 - 10**-digits) if value < 1 else value:.{digits}f}"


def percent(value: float) -> str:
    r"""A share of 0..1 as whole percent, never rounded up to 100 or down to 0.

    The space does not break.

    >>> percent(0.5), percent(0.999), percent(1.0), percent(0.001)
    ('50\xa0%', '99\xa0%', '100\xa0%', '1\xa0%')
    """
    if not math.isfinite(value):
        return "–"
    whole = round(100 * value)
    if 0 < value < 1:
        whole = min(max(whole, 1), 99)
    return f"{whole}\N{NO-BREAK SPACE}%"


def interval_text(interval: Interval | None, digits: int = 2) -> str:
    """The interval as "0.76–0.89", or "" where it is not defined."""
    if interval is None or not math.isfinite(interval.low):
        return ""
    return f"{number(interval.low, digits)}–{number(interval.high, digits)}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """The count with its noun.

    >>> counted(1, "picture"), counted(0, "box", "boxes")
    ('1 picture', '0 boxes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _truths_words(metrics: BoxMetrics, wording: Wording) -> str:
    if metrics.truths == 0:
        return f"None of the pictures holds {wording.a_thing}, so only false alarms can be judged."
    found = sum(one.true for one in metrics.per_class)
    finds = sum(one.finds for one in metrics.per_class)
    kinds = sum(one.truths > 0 for one in metrics.per_class)
    words = (
        f"{found:,} of {counted(metrics.truths, 'box', 'boxes')} of "
        f"{counted(kinds, wording.kind, wording.kinds)} found ({percent(metrics.recall)})"
    )
    if finds == 0:
        return f"{words}: nothing reaches its threshold."
    return f"{words}, and {percent(metrics.precision)} of {counted(finds, 'find')} right."


def _false_alarm_words(metrics: BoxMetrics, wording: Wording) -> str:
    pictures, things = counted(metrics.empty_pictures, "picture"), wording.things
    if metrics.empty_pictures == 0:
        return (
            f"No picture without {things} was evaluated, so nothing is known of false alarms on "
            "such."
        )
    if metrics.false_alarms == 0:
        return f"No false alarm on {pictures} without {things}."
    alarms = round(metrics.false_alarms * metrics.empty_pictures)
    return (
        f"{counted(alarms, 'false alarm')} on {pictures} without {things} "
        f"({number(metrics.false_alarms)} a picture)."
    )


def _weakest(metrics: BoxMetrics, wording: Wording) -> str:
    judged = [one for one in metrics.per_class if one.truths and one.true]
    if len(judged) < 2:
        return ""
    worst = min(judged, key=lambda one: one.f1)
    if worst.f1 == 1:
        return ""
    return (
        f"Weakest {wording.kind}: {worst.name}, F1 {number(worst.f1)}: {worst.missed} of "
        f"{counted(worst.truths, 'box', 'boxes')} missed, {counted(worst.false, 'wrong find')}."
    )


def _mix_up(metrics: BoxMetrics) -> str:
    worst = max(metrics.per_class, key=lambda one: one.nearest_count, default=None)
    if worst is None or not worst.nearest:
        return ""
    return (
        f"Most often taken for another: {worst.name} for {worst.nearest}, "
        f"{counted(worst.nearest_count, 'time')}."
    )


def _error_source(metrics: BoxMetrics, wording: Wording) -> str:
    wrong = {k: count for k, count in metrics.outcome_counts.items() if k != "true" and count}
    if not wrong:
        return ""
    most = max(wrong, key=lambda kind: wrong[kind])
    total = sum(wrong.values())
    one, several, rest = _WORDS_OF_OUTCOMES[most]
    rest = rest.format(kind=wording.kind, kinds=wording.kinds)
    if total == 1:
        return f"The one wrong find {one} {rest}."
    share = "All" if wrong[most] == total else f"{wrong[most]:,} of {total:,}"
    return f"{share} wrong finds {one if wrong[most] == 1 else several} {rest}."


def _pooling(metrics: BoxMetrics, wording: Wording) -> str:
    # 0.1: well outside what pooling costs by chance on the sets that this was tried on.
    if not metrics.ap50 - metrics.ap50_pooled > 0.1:
        return ""
    return (
        f"AP50 falls from {number(metrics.ap50)} to {number(metrics.ap50_pooled)} when all "
        f"{wording.kinds} are ranked together: a score does not mean the same for each, so one "
        "threshold for all would be a poor choice."
    )


def _never_right(metrics: BoxMetrics) -> list[str]:
    names = [one.name for one in metrics.per_class if one.truths and one.true == 0]
    if not names:
        return []
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return [f"Never found at the threshold: {', '.join(names[:5])}{more}."]


def json_value(value: Any) -> Any:
    """Dataclasses, arrays and what they hold as JSON values, as `metrics_json` writes them."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: json_value(getattr(value, field.name))
            for field in fields(value)
            if field.name not in _LEFT_OUT
        }
    if isinstance(value, dict):
        return {str(key): json_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return json_value(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
