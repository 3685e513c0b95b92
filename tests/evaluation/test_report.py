from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from tests.pages import Page
from visionkit.evaluation import (
    BoxMetrics,
    Interval,
    Truth,
    evaluate_boxes,
    presence_metrics,
    presence_of,
)
from visionkit.evaluation.charts import LearningCurve
from visionkit.evaluation.records import outcome_records, write_outcomes
from visionkit.evaluation.report import Report, TrainingScene, write_report
from visionkit.evaluation.summary import (
    ITEM_COLUMNS,
    headline,
    interval_text,
    item_rows,
    metrics_json,
    number,
    remarks,
    text_table,
)
from visionkit.types import Image

# "keys" is also a method of a mapping, and the other two try to break out of the page.
NAMES = ("keys", "<script>alert(1)</script>", 'a"onload="alert(2)')


@dataclass(frozen=True)
class Line:
    file: str
    line: int | None
    reason: str
    level: str


def picture(index: int) -> Image:
    return np.random.default_rng(index).integers(0, 255, (60, 90, 3), dtype=np.uint8)


def small_set() -> tuple[list[Truth], list[sv.Detections]]:
    """Four pictures: a right find, a wrong item, a missed box, and a false alarm."""
    box = np.array([[10, 10, 40, 40]], np.float32)

    def finds(class_id: int, score: float) -> sv.Detections:
        return sv.Detections(
            xyxy=box,
            class_id=np.array([class_id]),
            confidence=np.array([score], np.float32),
            data={
                "view": np.array(["front & back"]),
                "similarity": np.array([0.77]),
                "inliers": np.array([31]),
                "runner_up": np.array([NAMES[1]]),
                "runner_up_score": np.array([0.4]),
                "quad": np.array([[[10, 10], [40, 12], [40, 40], [10, 40]]]),
            },
        )

    truths = [Truth(box, np.array([0])), Truth(box, np.array([1])), Truth(box, np.array([0]))]
    return [*truths, Truth.empty()], [
        finds(0, 0.9),
        finds(2, 0.8),
        sv.Detections.empty(),
        finds(0, 0.6),
    ]


def full_report() -> Report:
    truths, predictions = small_set()
    present, scores = presence_of(truths, predictions, class_count=len(NAMES))
    return Report(
        title="exemplar & friends",
        metrics=evaluate_boxes(truths, predictions, NAMES, thresholds=0.5, bootstrap_rounds=20),
        predictions=predictions,
        image_names=["a.png", "b.png", "<i>c</i>.png", "stray-\udc80.png"],
        read_image=picture,
        views={"keys": {"front & back": picture(9)}},
        view_files={"front & back": "items/keys/front & back.png"},
        presence=presence_metrics(present, scores, NAMES, thresholds=0.5, bootstrap_rounds=20),
        thresholds_from="Thresholds were set on composed scenes.",
        training_scenes=[
            TrainingScene(picture(5), np.array([[1, 1, 20, 20]]), ["keys"]),
            TrainingScene(picture(6), np.zeros((0, 4)), []),
        ],
        learning=[
            LearningCurve("training loss", [0, 1, 2], [1.0, float("nan"), 0.5]),
            LearningCurve("never logged", [], []),
        ],
        problems=[Line("boxes.csv", 17, "box outside the picture", "warning")],
        config="task: exemplar  # <b>",
        versions={"visionkit": "0.1.0"},
        created="2026-11-23 21:30",
    )


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = write_report(tmp_path_factory.mktemp("report") / "report.html", full_report())
    return path.read_text(encoding="utf-8")


def test_a_report_of_nothing_says_none(tmp_path: Path) -> None:
    empty = Report(
        title="nothing",
        metrics=evaluate_boxes([], [], []),
        predictions=[],
        image_names=[],
        read_image=picture,
    )
    page = Page(write_report(tmp_path / "r.html", empty).read_text())
    assert page.open == []
    assert "No pictures were evaluated." in page.text
    assert page.text.count("None") >= 8
    assert "nan" not in page.text


def test_the_page_is_whole_and_loads_nothing(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert page.outside == []
    assert "url(" not in html
    assert page.tags.count("script") == 1
    assert "default-src 'none'" in html


def test_names_from_the_data_are_text_and_never_markup(html: str) -> None:
    page = Page(html)
    assert page.handlers == []
    assert "<script>alert(1)</script>" in page.text
    assert 'a"onload="alert(2)' in page.text
    assert "<i>c</i>.png" in page.text
    assert "# <b>" in page.text


def test_the_only_script_is_the_one_the_policy_names(html: str) -> None:
    script = re.search(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in html or f"'sha256-{digest}'" in html


def test_the_wall_shows_right_wrong_and_missed_with_their_evidence(html: str) -> None:
    text = Page(html).text
    assert "overlap IoU 1.00" in text  # picture 0, right
    assert f"this is {NAMES[1]}" in text  # picture 1, found as the third item
    assert "none of the items is here" in text  # picture 3
    assert "nothing was found here" in text  # picture 2
    assert "Missed: 2" in text
    assert "similarity 0.77 · 31 inliers · runner-up" in text
    assert "matched" in text
    assert "looked for" in text


def test_high_scores_and_thresholds_read_different(tmp_path: Path) -> None:
    truths, predictions = small_set()
    for found, score in zip(predictions, (0.9973, 0.9999, 0.0, 0.5), strict=True):
        found.confidence = np.full(len(found), score, np.float32)
    report = replace(
        full_report(),
        metrics=evaluate_boxes(truths, predictions, NAMES, thresholds=0.99734),
        predictions=predictions,
    )
    text = Page(write_report(tmp_path / "r.html", report).read_text("utf-8")).text
    assert "found at 0.99730, below the threshold" in text
    assert "px, threshold 0.99734" in text
    assert "score 0.99990 (threshold 0.99734)" in text
    assert not re.search(r"(score|threshold|found at) 1\.00", text)


def test_every_part_of_the_report_is_there(html: str) -> None:
    text = Page(html).text
    for words in (
        "exemplar & friends", "Thresholds were set on composed scenes.", "no item: an empty scene",
        "training loss", "box outside the picture", "visionkit", "0.1.0", "1 view",
        "front & back.png", "Is the item in the picture at all?", "2026-11-23 21:30",
    ):  # fmt: skip
        assert words in text


def test_pictures_are_read_only_where_they_are_shown(tmp_path: Path) -> None:
    read: list[int] = []
    box = np.array([[1, 1, 9, 9]], np.float32)
    truths = [Truth(box, np.array([0]))] + [Truth.empty()] * 50

    def reading(index: int) -> Image:
        read.append(index)
        return picture(index)

    predictions = [sv.Detections.empty()] * 51
    write_report(
        tmp_path / "r.html",
        Report(
            title="t",
            metrics=evaluate_boxes(truths, predictions, ["a"], bootstrap_rounds=5),
            predictions=predictions,
            image_names=[str(index) for index in range(51)],
            read_image=reading,
        ),
    )
    assert read == [0]


def test_a_thousand_items_stay_readable_and_small(tmp_path: Path) -> None:
    names = [f"item {index}" for index in range(1000)]
    truths = [Truth(np.array([[5, 5, 50, 50]]), np.array([index])) for index in range(60)]
    predictions = [
        sv.Detections(
            xyxy=np.array([[5, 5, 50, 50]], np.float32),
            class_id=np.array([index + index % 2]),
            confidence=np.array([0.9], np.float32),
        )
        for index in range(60)
    ]
    report = Report(
        title="many",
        metrics=evaluate_boxes(truths, predictions, names, bootstrap_rounds=5),
        predictions=predictions,
        image_names=[str(index) for index in range(60)],
        read_image=picture,
        views={name: {"1": picture(1)} for name in names},
    )
    path = write_report(tmp_path / "r.html", report)
    page = Page(path.read_text())
    assert path.stat().st_size < 5_000_000
    assert page.text.count("AP50 ") < 40  # curves of the weakest only
    assert "The 24 items with the lowest F1 of 1000." in page.text


@pytest.mark.parametrize("field", ["predictions", "image_names"])
def test_lists_that_do_not_match_the_pictures_are_refused(tmp_path: Path, field: str) -> None:
    report = full_report()
    with pytest.raises(ValueError, match=f"{field} must have one entry a picture"):
        write_report(
            tmp_path / "r.html",
            replace(report, **{field: getattr(report, field)[:-1]}),  # type: ignore[arg-type]
        )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def metrics() -> BoxMetrics:
    return full_report().metrics


def test_the_figures_in_words(metrics: BoxMetrics) -> None:
    words = headline(metrics).replace("\N{NO-BREAK SPACE}", " ")
    assert words == (
        "1 of 3 boxes of 2 items found (33 %), and 33 % of 3 finds right. "
        "1 false alarm on 1 picture without items (1.00 a picture)."
    )
    assert remarks(metrics)[0] == (
        f"Most often taken for another: {NAMES[1]} for {NAMES[2]}, 1 time."
    )


@pytest.mark.parametrize(
    ("truths", "predictions", "words"),
    [
        ([], [], "No pictures were evaluated."),
        ([Truth.empty()], [sv.Detections.empty()],
         "None of the pictures holds an item, so only false alarms can be judged. "
         "No false alarm on 1 picture without items."),
        ([Truth(np.array([[0, 0, 9, 9]]), np.array([0]))], [sv.Detections.empty()],
         "0 of 1 box of 1 item found (0 %): nothing reaches its threshold. "
         "No picture without items was evaluated, so nothing is known of false alarms on such."),
    ],
    ids=["nothing", "empty picture", "nothing found"],
)  # fmt: skip
def test_edge_cases_in_words(
    truths: list[Truth], predictions: list[sv.Detections], words: str
) -> None:
    made = evaluate_boxes(truths, predictions, ["a"], bootstrap_rounds=5)
    assert headline(made).replace("\N{NO-BREAK SPACE}", " ") == words
    assert remarks(made) == [] or truths


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([1], "The one wrong find lies on a box of another item."),
        ([0, 0], "The one wrong find is a second find of a box already found."),
        ([0, 0, 0], "All wrong finds are a second find of a box already found."),
        ([0, 0, 0, 1], "2 of 3 wrong finds are a second find of a box already found."),
        ([0, 0, 1], "1 of 2 wrong finds is a second find of a box already found."),
    ],
)
def test_wrong_finds_in_words(labels: list[int], words: str) -> None:
    box = np.array([[0, 0, 9, 9]], np.float32)
    count = len(labels)
    finds = sv.Detections(
        xyxy=np.repeat(box, count, axis=0),
        class_id=np.array(labels),
        confidence=np.linspace(0.9, 0.8, count, dtype=np.float32),
    )
    truths = [Truth(box, np.array([0]))]
    made = evaluate_boxes(truths, [finds], ["a", "b"], thresholds=0.5, bootstrap_rounds=5)
    assert words in remarks(made)


def test_json_holds_every_figure_and_no_nan(metrics: BoxMetrics) -> None:
    value = metrics_json(metrics)
    text = json.dumps(value, allow_nan=False)
    assert json.loads(text) == value
    assert value["recall"] == pytest.approx(1 / 3)
    assert value["per_class"][2]["ap50"] is None  # no true box
    assert value["confusion"] == metrics.confusion.tolist()
    assert "outcomes" not in value


def test_the_item_table_lines_up(metrics: BoxMetrics) -> None:
    lines = text_table(ITEM_COLUMNS, item_rows(metrics)).splitlines()
    assert len(lines) == 4
    end = lines[0].index("AP50") + 4
    assert lines[1][:end].endswith("0.50")
    assert all(line[end] == " " for line in lines)


def test_only_1_reads_as_1() -> None:
    assert [number(value) for value in (0.994, 0.996, 0.99999, 1.0, 1.004)] == [
        "0.99", "0.99", "0.99", "1.00", "1.00",
    ]  # fmt: skip
    assert number(0.9999, digits=3) == "0.999"
    assert interval_text(Interval(0.9, 0.998)) == "0.90–0.99"


def test_numbers_that_are_undefined_are_dashes() -> None:
    assert number(float("nan")) == "–"
    assert number(float("inf")) == "–"
    assert interval_text(None) == ""


def test_every_find_and_missed_box_is_a_row_marked_true_or_false(
    tmp_path: Path, metrics: BoxMetrics
) -> None:
    names = ["a", "b", "c", "stray-\udc80"]
    rows = list(outcome_records(metrics, names))
    assert [(row["image"], row["outcome"]) for row in rows] == [
        ("a", "true"),
        ("b", "wrong item"),
        ("stray-\udc80", "background"),
        ("b", "missed"),
        ("c", "missed"),
    ]
    assert rows[1]["truth_item"] == NAMES[1]
    assert rows[1]["truth_box"] == [10, 10, 40, 40]
    path = write_outcomes(tmp_path / "outcomes.jsonl", metrics, names)
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows
    with pytest.raises(ValueError, match="got 1 names for 4 pictures"):
        list(outcome_records(metrics, ["a"]))
