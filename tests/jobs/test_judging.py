"""Which pictures of a frozen test set a head is judged on."""

from __future__ import annotations

import pytest

from visionkit.jobs.judging import telling
from visionkit.types import ObjectBox, Sample

BOX = (ObjectBox("car", (0.0, 0.0, 4.0, 4.0)),)
SAMPLES = [
    Sample("boxed", "b", 9, 9, "b", objects=BOX),
    Sample("named", "n", 9, 9, "n", labels=("cat",)),
    Sample("both", "o", 9, 9, "o", labels=("cat",), objects=BOX),
    Sample("nothing", "e", 9, 9, "e"),
]


@pytest.mark.parametrize(
    ("task", "known", "expected"),
    [
        ("classification", ["cat"], ["named", "both", "nothing"]),
        ("localization", ["car"], ["boxed", "both", "nothing"]),
        ("localization", ["cat"], ["boxed", "both", "nothing"]),
        ("exemplar", ["car"], ["boxed", "both", "nothing"]),
        ("exemplar", ["cat"], ["boxed", "named", "both", "nothing"]),
    ],
)
def test_pictures_that_say_something_of_a_head(
    task: str, known: list[str], expected: list[str]
) -> None:
    assert telling([], task, known) == []
    assert [sample.id for sample in telling(SAMPLES, task, known)] == expected
