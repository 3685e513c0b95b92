"""The page of a retraining."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.pages import Page
from visionkit.flywheel.marks import named_marks
from visionkit.flywheel.promotion import compare, first_verdict, other_head
from visionkit.flywheel.wheel import Turn, wheel_chart, write_wheel

NOTHING = float("nan")
TURNS = [
    Turn("start", "a", 0.5, NOTHING, NOTHING, promoted=True),
    Turn("v1", "b", 0.7, 0.6, 0.8, promoted=True),
    Turn("v2", "c", 0.6, 0.5, 0.7, promoted=False),
]
NAMES = ("ant", "<script>alert(1)</script>")


def test_no_turns_draw_nothing() -> None:
    assert wheel_chart([]) == ""


def test_champions_are_joined_and_others_hollow() -> None:
    chart = wheel_chart(TURNS)
    line = chart.split('<polyline class="curve" points="')[1].split('"')[0]
    assert len(line.split()) == 2
    assert chart.count('class="dot champion"') == 2
    assert chart.count('class="dot"') == 1
    assert chart.count('class="span"') == 2
    heights = [float(part.split('"')[0]) for part in chart.split('cy="')[1:]]
    assert heights[1] < heights[2] < heights[0]  # the higher figure lies higher


def test_the_page_escapes_names_and_loads_nothing(tmp_path: Path) -> None:
    present = np.arange(60)[:, None] % 2 == np.arange(2)
    before = present.copy()
    before[:40] = before[:40, ::-1]
    verdict = compare(named_marks(present, before, NAMES), named_marks(present, present, NAMES))
    path = write_wheel(
        tmp_path / "wheel.html",
        verdict,
        TURNS,
        title="Classification: v2",
        promoted=True,
        lineage={"champion": "b"},
        config="seed: 0",
    )
    html = path.read_text("utf-8")
    page = Page(html)
    assert page.outside == []
    assert page.handlers == []
    assert "<script>alert" not in html
    assert "The challenger is promoted: F1 0.333 before and 1.000 after" in page.text
    assert "+0.67" in page.text
    assert page.tags.count("circle") == 3 + 2


def test_a_first_model_has_a_page_too(tmp_path: Path) -> None:
    present = np.arange(20)[:, None] % 2 == np.arange(2)
    verdict = first_verdict(named_marks(present, present, NAMES))
    path = write_wheel(tmp_path / "w.html", verdict, TURNS[1:2], title="x", promoted=False)
    page = Page(path.read_text("utf-8"))
    assert "The first model is used" in page.text
    assert "loop.promote is false" in page.text
    assert "nan" not in page.text


def test_the_page_says_how_the_other_heads_did(tmp_path: Path) -> None:
    present = np.arange(60)[:, None] % 2 == np.arange(2)
    lost = present.copy()
    lost[:, 0] = False
    good, bad = named_marks(present, present, NAMES), named_marks(present, lost, NAMES)
    others = [
        other_head("exemplar", good, good, untested=["<b>cup</b>"]),
        other_head("localization", good, bad),
    ]
    verdict = compare(bad, good, others=others)
    path = write_wheel(tmp_path / "w.html", verdict, TURNS, title="x", promoted=verdict.promoted)
    html = path.read_text("utf-8")
    page = Page(html)
    assert page.outside == []
    assert "<b>cup" not in html
    for words in (
        "Other heads",
        "not kept",
        "not tested",
        "The head localization, on the backbone that moved, is not kept: F1 1.000 before",
        "The head exemplar, on the backbone that moved, is kept: F1 1.000 before",
    ):
        assert words in page.text
    assert page.tags.count("section") == 4
    alone = write_wheel(tmp_path / "a.html", compare(bad, good), TURNS, title="x", promoted=True)
    assert "Other heads" not in Page(alone.read_text("utf-8")).text
