"""The parts of the page's server that know of no HTTP."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from visionkit.flywheel.answers import Asked, Correction, Proposal, Reason, Truth, newest
from visionkit.flywheel.boxes import overlap
from visionkit.flywheel.catalog import open_catalog
from visionkit.flywheel.exclusive import one_class
from visionkit.flywheel.review.agreement import (
    Standing,
    agreement,
    is_asked_twice,
    same_answer,
)
from visionkit.flywheel.review.cards import make_card
from visionkit.flywheel.review.changes import last_changes
from visionkit.flywheel.review.desk import Desk, DeskSettings
from visionkit.flywheel.review.filters import FilterIndex, Wanted
from visionkit.flywheel.review.leases import Leases
from visionkit.flywheel.review.rate import RateLimit
from visionkit.types import ObjectBox, Sample


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def answer(name: str, reviewer: str, action: str = "accept", *labels: str) -> Correction:
    return Correction(name, "s1", 0, reviewer, action, labels)  # type: ignore[arg-type]


def said(label: str, score: float, model: str = "m1", **more: object) -> Proposal:
    values = {"box": (0.0, 0.0, 10.0, 10.0), "created": "2026-01-01", **more}
    name = f"{label}{score}{model}"
    return Proposal(name, "s1", "exemplar", label, score, 0.5, model=model, **values)  # type: ignore[arg-type]


def classes(*scores: float, model: str = "m1", threshold: float = 0.5) -> list[Proposal]:
    """What a classification head says of a picture: classes a, b, ... with these scores."""
    return [
        Proposal(f"{model}{k}", "s1", "classification", "abc"[k], score, threshold, None, model)
        for k, score in enumerate(scores)
    ]


def truth_of(*labels: str, revision: int = 0) -> Truth:
    return Truth(labels, (), revision, reviewed=True)


@pytest.mark.parametrize(
    ("proposals", "truths", "expected"),
    [
        pytest.param([], [], False, id="nothing is said"),
        pytest.param([], [truth_of(), truth_of("a")], True, id="pictures came with one class"),
        pytest.param([], [truth_of("a", revision=1)], False, id="a person added a class"),
        pytest.param([classes(0.9, 0.1)], [truth_of()], True, id="a head names one"),
        pytest.param([classes(0.9, 0.6)], [truth_of()], False, id="a head names two"),
        pytest.param([classes(0.9), classes(0.1)], [], False, id="a head names none"),
        pytest.param([classes(0.9, 0.1)], [truth_of("a", "b")], False, id="a picture has two"),
        pytest.param(
            [classes(0.9) + classes(0.1, 0.8, model="m2")], [], True, id="two heads name another"
        ),
        pytest.param([[said("a", 0.9), said("b", 0.9)]], [], False, id="boxes say nothing"),
    ],
)
def test_when_classes_shut_each_other_out(
    proposals: list[list[Proposal]], truths: list[Truth], expected: bool
) -> None:
    assert one_class(proposals, truths) is expected


def test_what_two_heads_find_is_shown_once() -> None:
    box, beside = (0.0, 0.0, 10.0, 10.0), (30.0, 0.0, 40.0, 10.0)
    exemplar = said("can", 0.9)
    located = replace(exemplar, id="l", task="localization", score=0.7, box=(0.0, 0.0, 10.0, 9.0))
    other = replace(located, id="o", box=beside)
    another = replace(located, id="b", label="box")
    card = make_card(
        Sample("s1", "/s1.jpg", 90, 60, "h"),
        Truth((), (), 0, False),
        [located, exemplar, other, another],
        Asked("s1", 1.0, ()),
    )
    shown = [(claim.label, claim.box, claim.proposal.task) for claim in card.claims]
    assert shown == [
        ("can", box, "exemplar"),
        ("can", beside, "localization"),
        ("box", located.box, "localization"),
    ]


def test_of_a_picture_of_one_class_another_is_only_offered() -> None:
    sample, asked = Sample("s1", "p", 9, 9, "h"), Asked("s1", 1.0, (Reason("margin", "", 1.0),))
    known = Truth(("b",), (), 0, reviewed=False)
    proposals = [*classes(0.9, 0.1), said("can", 0.9)]
    for exclusive, there in ((False, ["b", "a", "can"]), (True, ["b", "can"])):
        card = make_card(sample, known, proposals, asked, one_class=exclusive)
        assert card.one_class is exclusive
        assert [claim.label for claim in card.claims if claim.there] == there
        assert {claim.label for claim in card.claims} == {"a", "b", "can"}


def test_of_two_classes_that_a_head_names_the_likelier_one_is_there_where_pictures_have_one() -> (
    None
):
    sample, asked = Sample("s1", "p", 9, 9, "h"), Asked("s1", 1.0, (Reason("margin", "", 1.0),))
    for exclusive, there in ((False, ["b", "a"]), (True, ["b"])):
        card = make_card(
            sample, Truth((), (), 0, reviewed=False), classes(0.6, 0.9), asked, one_class=exclusive
        )
        assert [claim.label for claim in card.claims if claim.there] == there
        assert {claim.label for claim in card.claims} == {"a", "b"}


def test_the_desk_is_told_or_finds_out(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path / "catalog", create=True)
    catalog.add_samples([Sample("s1", "p", 9, 9, "h")])
    catalog.add_proposals(classes(0.9, 0.1))
    for setting, expected in ((None, True), (False, False), (True, True)):
        desk = Desk(catalog, lambda _: [], DeskSettings(one_class=setting))
        assert desk.card("s1", "ada", "session").one_class is expected


def test_a_lease_ends_by_itself_and_is_renewed_by_holding() -> None:
    clock = Clock()
    leases = Leases(10, clock=clock)
    assert leases.take("a", "one")
    assert not leases.take("a", "two")
    clock.now += 6
    leases.keep_only("one", ["a"])
    clock.now += 6
    assert leases.holder("a") == "one"
    clock.now += 5
    assert leases.take("a", "two")
    leases.give_back("a", "one")  # not theirs any more
    assert leases.holder("a") == "two"
    leases.keep_only("two", [])
    assert leases.holder("a") is None


def test_a_bucket_fills_again() -> None:
    clock = Clock()
    limit = RateLimit(2.0, 3, clock=clock)
    assert [limit.wait("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limit.wait("b") == 0
    assert limit.is_spent("a")
    clock.now += 0.5
    assert not limit.is_spent("a")
    assert limit.wait("a") == 0
    assert limit.wait("a") > 0


def test_addresses_without_end_don_t_fill_the_memory() -> None:
    limit = RateLimit(1.0, 1, remembered=10)
    for number in range(1000):
        limit.wait(str(number))
    assert len(limit._buckets) == 10


def test_what_was_taken_back_does_not_stand() -> None:
    standing = Standing(
        [
            answer("1", "ada", "accept", "x"),
            answer("2", "ada", "edit", "y"),
            answer("3", "ada", "undo"),
            answer("4", "bob", "reject"),
            answer("5", "bob", "undo"),
        ]
    )
    assert {name: entry.id for name, entry in standing.people("s1").items()} == {"ada": "1"}
    assert standing.lengths["s1"] == 5
    assert not standing.add(answer("5", "bob", "undo"))  # told twice
    assert standing.people("nothing") == {}


def test_what_sets_and_restored_versions_say_is_no_answer_of_a_person() -> None:
    standing = Standing(
        [
            answer("1", "ada", "accept", "x"),
            answer("import:a", "ada", "edit", "y"),
            answer("restore:s1:2", "root", "edit", "x"),
        ]
    )
    assert {name: entry.id for name, entry in standing.people("s1").items()} == {"ada": "1"}
    assert {name: entry.id for name, entry in standing.stated["s1"].items()} == {
        "ada": "import:a",
        "root": "restore:s1:2",
    }
    assert standing.lengths["s1"] == 3
    standing.add(answer("4", "root", "undo"))  # of the restored one, which was theirs
    assert [entry.id for entry in standing.stated["s1"].values()] == ["import:a"]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ((), (), True),
        ((("a", (0, 0, 10, 10)),), (), False),
        ((("a", (0, 0, 10, 10)),), (("a", (0, 0, 10, 8)),), True),  # 80 of 100
        ((("a", (0, 0, 10, 10)),), (("b", (0, 0, 10, 10)),), False),
        ((("a", (0, 0, 10, 10)),), (("a", (0, 6, 10, 16)),), False),  # 40 of 160
        (
            (("a", (0, 0, 10, 10)), ("a", (20, 0, 30, 10))),
            (("a", (20, 0, 30, 10)), ("a", (0, 0, 10, 10))),
            True,
        ),
        (
            (("a", (0, 0, 10, 10)), ("a", (0, 0, 10, 10))),
            (("a", (0, 0, 10, 10)), ("a", (20, 0, 30, 10))),
            False,
        ),
    ],
)
def test_same_answers(
    first: tuple[tuple[str, tuple[float, float, float, float]], ...],
    second: tuple[tuple[str, tuple[float, float, float, float]], ...],
    same: bool,
) -> None:
    one, other = (
        replace(answer("1", "ada"), objects=tuple(ObjectBox(*entry) for entry in entries))
        for entries in (first, second)
    )
    assert same_answer(one, other) is same
    assert same_answer(other, one) is same


def test_agreement_counts_pictures_that_two_could_tell() -> None:
    assert agreement([]).share is None
    told = [
        answer("1", "ada", "accept", "x"),
        answer("2", "bob", "accept", "x"),
        replace(answer("3", "ada", "accept", "x"), sample_id="s2"),
        replace(answer("4", "bob", "accept", "y"), sample_id="s2"),
        replace(answer("5", "ada", "accept", "x"), sample_id="s3"),
        replace(answer("6", "bob", "unsure"), sample_id="s3"),
    ]
    result = agreement(told)
    assert (result.pictures, result.same, result.share) == (2, 1, 0.5)
    assert result.differing == ("s2",)


def test_the_share_asked_twice_is_the_share_that_was_wished() -> None:
    names = [f"picture {number}" for number in range(20_000)]
    assert sum(is_asked_twice(name, 0.05) for name in names) == pytest.approx(1000, abs=150)
    assert not any(is_asked_twice(name, 0.0) for name in names)
    assert all(is_asked_twice(name, 1.0) for name in names)


def test_overlap_of_boxes_without_area_is_none() -> None:
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    assert overlap((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)


def test_of_each_task_the_newest_model_is_shown() -> None:
    old, new = said("a", 0.9), said("b", 0.9, "m2", created="2026-02-01")
    assert newest([old, new]) == [new]
    assert newest([old, new], model="m1") == [old]
    assert newest([old, replace(new, task="classification")]) == [
        old,
        replace(new, task="classification"),
    ]


def test_what_is_there_already_is_not_offered_again() -> None:
    sample, asked = Sample("s1", "a/b.jpg", 100, 100, "h"), Asked("s1", 1.0, ())
    truth = Truth(("whole",), (ObjectBox("a", (0.0, 0.0, 10.0, 9.0)),), 0, False)
    card = make_card(sample, truth, [said("a", 0.9), said("b", 0.6), said("c", 0.4)], asked)
    assert [(claim.label, claim.there) for claim in card.claims] == [
        ("a", True),
        ("whole", True),
        ("b", True),
        ("c", False),
    ]
    settled = make_card(sample, replace(truth, reviewed=True), [said("b", 0.6)], asked)
    assert [(claim.label, claim.there) for claim in settled.claims][-1] == ("b", False)


def test_changes_in_words() -> None:
    known = {"p": said("a", 0.9), "q": said("b", 0.2)}
    log = [
        replace(answer("1", "ada", "accept"), objects=(ObjectBox("a", (0, 0, 5, 5)),), seen=("p",)),
        replace(answer("2", "ada", "reject"), seen=("p", "q")),
        replace(answer("3", "ada", "edit", "b"), seen=("q", "gone")),
        answer("4", "ada", "undo"),
    ]

    def nothing(sample_id: str, revision: int) -> Truth:
        return Truth((), (), revision, reviewed=False)

    words = [change.words for change in last_changes(log, known.get, nothing, count=3)]
    assert words == ["took the last answer back", "b +1", "a −1"]
    assert last_changes(log, known.get, nothing, count=0) == []


def test_filters_equal_plain_loops_and_take_milliseconds() -> None:
    generator = np.random.default_rng(0)
    size = 100_000
    queue, proposals = [], {}
    labels = [f"item {k}" for k in range(40)]
    picks = generator.integers(0, 40, (size, 2))
    scores = generator.uniform(0, 1, (size, 2))
    for row in range(size):
        kind = "margin" if row % 3 else "audit"
        queue.append(Asked(f"s{row}", 0.0, (Reason(kind, "", 1.0),)))
        proposals[f"s{row}"] = [
            said(labels[picks[row, k]], float(scores[row, k]), f"m{k}") for k in range(2)
        ]
    index = FilterIndex(queue, proposals, {})
    start = time.perf_counter()
    mask = index.mask(Wanted(item="item 7", model="m1", reason="audit", least=0.25, most=0.5))
    seconds = time.perf_counter() - start
    expected = [
        row
        for row in range(size)
        if row % 3 == 0 and picks[row, 1] == 7 and 0.25 <= scores[row, 1] <= 0.5
    ]
    assert np.flatnonzero(mask).tolist() == expected
    assert seconds < 0.2
    facets = index.facets(mask)
    assert facets["reasons"] == {"audit": len(expected)}
    assert facets["items"]["item 7"] == len(expected)


def test_eight_people_at_once_never_get_or_judge_the_same_picture(
    tmp_path: Path, shelves: ModuleType
) -> None:
    catalog = shelves.shelf_catalog(tmp_path, 64)
    desk = Desk(catalog, shelves.build_order, DeskSettings(twice_share=0.0))
    given: list[str] = []

    def work(person: str) -> None:
        while True:
            cards, _ = desk.take(person, f"session-{person}", count=2)
            if not cards:
                return
            for card in cards:
                given.append(card.sample.id)
                correction = Correction(
                    f"{person}-{card.sample.id}", card.sample.id, 0, person, "reject"
                )
                desk.answer(correction, f"session-{person}")

    threads = [threading.Thread(target=work, args=(f"p{k}",)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(given) == {f"s{number}": 1 for number in range(64)}
    assert len(open_catalog(catalog.uri).corrections()) == 64


def test_the_queue_is_built_anew_where_something_is_new(
    tmp_path: Path, shelves: ModuleType
) -> None:
    catalog = shelves.shelf_catalog(tmp_path, 4)
    desk = Desk(catalog, shelves.build_order, DeskSettings(twice_share=0.0))
    desk._next_build = 0.0
    assert not desk.refresh_if_changed()
    catalog.add_samples([Sample("new", "new.jpg", 10, 10, "h")])
    catalog.add_proposals([replace(said("a", 0.5), sample_id="new")])
    assert desk.counts() == (4, 4)
    assert desk.refresh_if_changed()
    assert desk.counts() == (5, 5)
