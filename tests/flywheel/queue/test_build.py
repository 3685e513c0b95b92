"""The queue of a catalog: who is asked, in which order, and why."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from visionkit.flywheel.answers import Correction, Proposal, Truth
from visionkit.flywheel.catalog import Catalog, Model, open_catalog
from visionkit.flywheel.frozen import frozen_set
from visionkit.flywheel.queue.audit import audit_draws, with_audit
from visionkit.flywheel.queue.build import QueueSettings, build_queue, queue_of
from visionkit.types import ObjectBox, Sample


def sample(name: str, *labels: str, split: str = "") -> Sample:
    return Sample(name, f"/{name}.jpg", 64, 48, name, split, tuple(labels))  # type: ignore[arg-type]


BOX = (1.0, 1.0, 20.0, 20.0)


def said(name: str, score: float, *, model: str = "m", label: str = "cup") -> Proposal:
    return Proposal(f"{name}:{model}", name, "localization", label, score, 0.5, BOX, model)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return open_catalog(tmp_path / "catalog", create=True)


PLAIN = QueueSettings(audit=0.0)


def test_an_empty_catalog_asks_nothing(catalog: Catalog) -> None:
    assert build_queue(catalog) == []


def test_the_doubtful_come_first_and_the_labelled_and_tested_not_at_all(catalog: Catalog) -> None:
    catalog.add_samples(
        [sample("sure"), sample("unsure"), sample("known", "cup"), sample("test", split="test")]
    )
    catalog.add_proposals([said("sure", 0.95), said("unsure", 0.52), said("test", 0.5)])
    queue = build_queue(catalog, PLAIN)
    assert [asked.sample_id for asked in queue] == ["unsure", "sure"]
    assert queue[0].priority > queue[1].priority
    assert queue[0].reasons[0].kind == "margin"
    assert "0.52" in queue[0].reasons[0].words
    everything = build_queue(catalog, QueueSettings(audit=0.0, test=True))
    assert {asked.sample_id for asked in everything} == {"sure", "unsure", "test"}


def test_frozen_pictures_are_asked_as_those_of_the_test_split_are(catalog: Catalog) -> None:
    catalog.add_samples([sample("open"), sample("frozen")])
    settings = QueueSettings(audit=0.0, frozen={"frozen", "gone"})
    assert [asked.sample_id for asked in build_queue(catalog, settings)] == ["open"]
    everything = build_queue(catalog, replace(settings, test=True))
    assert {asked.sample_id for asked in everything} == {"open", "frozen"}


def test_what_is_answered_is_asked_no_more(catalog: Catalog) -> None:
    catalog.add_samples([sample("a"), sample("b")])
    catalog.correct(Correction("1", "a", 0, "ann", "reject"))
    assert [asked.sample_id for asked in build_queue(catalog, PLAIN)] == ["b"]


def test_every_picture_has_a_reason_and_each_comes_once(catalog: Catalog) -> None:
    names = [f"p{number}" for number in range(60)]
    rng = np.random.default_rng(0)
    catalog.add_samples([sample(n) for n in names], embeddings=rng.random((60, 4), np.float32))
    catalog.add_proposals([said(n, float(rng.random())) for n in names[:40]])
    queue = build_queue(catalog)
    assert sorted(asked.sample_id for asked in queue) == sorted(names)
    assert all(asked.reasons for asked in queue)
    priorities = [asked.priority for asked in queue]
    assert priorities == sorted(priorities, reverse=True)
    for asked in queue:
        weights = [reason.weight for reason in asked.reasons]
        assert weights == sorted(weights, reverse=True)
        assert all(0 <= weight <= 1 for weight in weights)
    assert [asked.sample_id for asked in build_queue(catalog)] == [a.sample_id for a in queue]


def test_pictures_unlike_what_is_labelled_come_before_those_alike(catalog: Catalog) -> None:
    catalog.add_samples(
        [sample("known", "cup"), sample("alike"), sample("other")],
        embeddings=np.array([[1, 0.02], [1, 0], [0, 1]], np.float32),
    )
    queue = build_queue(catalog, PLAIN)
    assert [asked.sample_id for asked in queue] == ["other", "alike"]
    assert queue[0].reasons[0].kind == "coverage"


def test_pictures_without_an_embedding_come_by_their_doubt(catalog: Catalog) -> None:
    rng = np.random.default_rng(0)
    names = [f"sure{number}" for number in range(40)]
    catalog.add_samples(
        [*map(sample, names), sample("known", "cup")],
        embeddings=rng.standard_normal((41, 8)).astype(np.float32),
    )
    catalog.add_samples([sample("doubtful"), sample("drifting"), sample("surest")])
    catalog.add_proposals([said(name, 0.9) for name in names])
    catalog.add_proposals([said("doubtful", 0.6), said("drifting", 1.0), said("surest", 1.0)])
    settings = QueueSettings(audit=0.0, drift={"drifting": "Darker than 99 of 100."})
    queue = build_queue(catalog, settings)
    order = [asked.sample_id for asked in queue]
    assert order[:2] == ["drifting", "doubtful"]
    assert order[-1] == "surest"
    assert sorted(order) == sorted([*names, "doubtful", "drifting", "surest"])
    kinds = {asked.sample_id: [reason.kind for reason in asked.reasons] for asked in queue}
    assert kinds["doubtful"] == ["margin"]  # that it is unlike the labelled nobody knows


def test_where_nothing_is_labelled_nothing_is_unlike_it(catalog: Catalog) -> None:
    vectors = np.eye(3, dtype=np.float32)
    catalog.add_samples([sample("a"), sample("b"), sample("c")], embeddings=vectors)
    catalog.add_proposals([said("a", 0.45)], asked=[("b", "m")])
    queue = {entry.sample_id: entry.reasons for entry in build_queue(catalog)}
    assert queue["a"][0].kind == "margin"
    assert queue["b"][0].words == "Nobody has looked at it yet, and no model doubts it."
    assert queue["c"][0].words == "Nobody has looked at it yet, and no model either."


def test_the_models_proposals_that_count_are_the_champions(catalog: Catalog) -> None:
    catalog.add_samples([sample("a"), sample("b")])
    catalog.add_proposals([said("a", 0.5, model="old"), said("b", 0.99, model="old")])
    catalog.add_proposals([said("a", 0.99, model="new"), said("b", 0.5, model="new")])
    newest = [asked.sample_id for asked in build_queue(catalog, PLAIN)]
    assert newest == ["b", "a"]
    catalog.add_model(Model("old", "/old", status="champion"))
    assert [asked.sample_id for asked in build_queue(catalog, PLAIN)] == ["a", "b"]
    named = build_queue(catalog, QueueSettings(audit=0.0, model="new"))
    assert [asked.sample_id for asked in named] == ["b", "a"]


def test_a_picture_in_which_a_model_found_nothing_is_not_one_that_none_has_seen(
    catalog: Catalog,
) -> None:
    catalog.add_samples([sample("empty"), sample("doubted"), sample("unseen"), sample("unsure")])
    # Doubts of 0.4 and 0.6; a picture that no model has seen counts as 0.5, an empty one as 0.
    catalog.add_proposals([said("doubted", 0.8), said("unsure", 0.7)], asked=[("empty", "m")])
    queue = build_queue(catalog, PLAIN)
    assert [asked.sample_id for asked in queue] == ["unsure", "unseen", "doubted", "empty"]
    assert queue[1].reasons[0].weight == 0.5
    assert queue[3].reasons[0].words == "Nobody has looked at it yet, and no model doubts it."
    another = build_queue(catalog, QueueSettings(audit=0.0, model="other"))
    assert {each.reasons[0].words for each in another} == {queue[1].reasons[0].words}


def test_where_the_champion_was_not_asked_yet_the_model_counts_that_was_asked_last(
    catalog: Catalog,
) -> None:
    catalog.add_samples([sample(name) for name in ("a", "b", "c", "d")])
    names = [("first", (0.9, 0.9, 0.9, 0.9)), ("old", (0.55, 0.6, 0.99, 0.5))]
    for model, scores in names:
        catalog.add_model(Model(model, f"/{model}"))
        catalog.add_proposals(
            [said(n, s, model=model) for n, s in zip("abcd", scores, strict=True)]
        )
    catalog.add_model(Model("new", "/new", status="champion"))
    assert [asked.sample_id for asked in build_queue(catalog, PLAIN)] == ["d", "a", "b", "c"]
    # It finds nothing in "d" and doubts "c", and says nothing of "a" and "b".
    catalog.add_proposals([said("c", 0.5, model="new")], asked=[("d", "new")])
    assert [asked.sample_id for asked in build_queue(catalog, PLAIN)] == ["c", "a", "b", "d"]
    # What was asked last is newer, whichever model came first.
    catalog.add_proposals([said("b", 0.51, model="first")])
    assert [asked.sample_id for asked in build_queue(catalog, PLAIN)] == ["c", "b", "a", "d"]


def test_a_steady_share_is_audited_whatever_the_score_at_even_distances(catalog: Catalog) -> None:
    names = [f"p{number}" for number in range(1000)]
    samples = [sample(name) for name in names]
    truths = {name: Truth((), (), 0, False) for name in names}
    settings = QueueSettings(audit=0.05)

    def audited(scores: dict[str, float]) -> list[int]:
        proposals = [said(name, score) for name, score in scores.items()]
        queue = queue_of(samples, truths, proposals, lambda _: ([], np.zeros((0, 1))), settings)
        kinds = [{reason.kind for reason in asked.reasons} for asked in queue]
        places.append([queue[at].sample_id for at, kind in enumerate(kinds) if "audit" in kind])
        return [at for at, kind in enumerate(kinds) if "audit" in kind]

    places: list[list[str]] = []
    first = audited(dict.fromkeys(names, 0.5))
    second = audited(dict.fromkeys(names, 0.99))
    assert sorted(places[0]) == sorted(places[1])  # whatever the score
    assert 30 <= len(first) <= 70
    gaps = np.diff(second)
    assert gaps.max() - gaps.min() <= 2


def test_an_urgent_picture_keeps_its_place_though_it_is_audited(catalog: Catalog) -> None:
    names = [f"p{number}" for number in range(300)]
    catalog.add_samples([sample(name) for name in names])
    rng = np.random.default_rng(0)
    catalog.add_proposals([said(name, rng.uniform(0.55, 1.0)) for name in names])
    draws = audit_draws(names)
    audited = sorted((name for name in names if draws[names.index(name)] < 0.1), key=names.index)
    last = max(audited, key=lambda name: draws[names.index(name)])
    plain = QueueSettings(audit=0.0, drift={last: "Darker than 99 of 100 in the reference."})
    before = [asked.sample_id for asked in build_queue(catalog, plain)]
    after = [asked.sample_id for asked in build_queue(catalog, replace(plain, audit=0.1))]
    assert before[0] == after[0] == last
    assert all(after.index(name) <= before.index(name) for name in audited)
    assert sorted(after) == sorted(before)
    assert len({*after[:150]} & {*audited}) >= len(audited) // 2  # no fewer than the even share
    few = build_queue(catalog, replace(plain, audit=0.1, most=1))
    assert [asked.sample_id for asked in few] == [last]


@pytest.mark.parametrize(
    ("audited", "expected"),
    [
        ([], [0, 1, 2, 3, 4, 5, 6, 7]),
        ([7], [0, 1, 2, 3, 7, 4, 5, 6]),  # the middle
        ([1], [0, 1, 2, 3, 4, 5, 6, 7]),  # comes sooner anyway
        ([6, 7], [0, 1, 6, 2, 3, 4, 7, 5]),  # a quarter and three quarters
        ([4, 7], [0, 1, 4, 2, 3, 5, 7, 6]),
        ([0, 1, 2], [0, 1, 2, 3, 4, 5, 6, 7]),
        (list(range(8)), [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_audited_pictures_move_to_even_places_but_never_back(
    audited: list[int], expected: list[int]
) -> None:
    order, draws = np.arange(8), np.linspace(0, 1, 8)
    assert with_audit(order, draws, np.isin(order, audited)).tolist() == expected


def test_no_audited_picture_comes_later_than_without_the_audit() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(1, 40))
        order, draws = rng.permutation(count), rng.random(count)
        audited = rng.random(count) < rng.choice([0.05, 0.3, 0.7, 1.0])
        found = with_audit(order, draws, audited)
        assert sorted(found.tolist()) == list(range(count))
        places = {int(picture): place for place, picture in enumerate(found)}
        before = {int(picture): place for place, picture in enumerate(order)}
        assert all(places[picture] <= before[picture] for picture in np.flatnonzero(audited))
        others = [picture for picture in found if not audited[picture]]
        assert others == [picture for picture in order if not audited[picture]]


def test_what_is_asked_first_or_audited_is_frozen_no_more_often_than_the_rest(
    catalog: Catalog, tmp_path: Path
) -> None:
    catalog.add_samples([sample(f"{number:064x}") for number in range(3000)])
    queue = build_queue(catalog)
    asked = [each.sample_id for each in queue]
    audited = [each.sample_id for each in queue if each.reasons[0].kind == "audit"]
    samples = catalog.samples()
    frozen = {each.id for each in frozen_set(tmp_path / "f.json", samples, share=0.2).samples}
    # Five standard deviations of so many draws of which each is frozen with a chance of 0.2.
    for names in (asked[:500], audited):
        expected = 0.2 * len(names)
        assert abs(len(frozen & {*names}) - expected) < 5 * np.sqrt(0.8 * expected)
    unfrozen = [each for each in samples if each.id in asked[:100] and each.id not in frozen]
    assert 50 < len(unfrozen) < 100  # of the first hundred there is something to learn from


def test_draws_are_even_and_follow_from_the_id() -> None:
    draws = audit_draws([f"picture {number}" for number in range(20_000)])
    counts = np.histogram(draws, bins=10, range=(0, 1))[0]
    assert np.abs(counts - 2000).max() < 5 * np.sqrt(2000)
    assert audit_draws(["picture 7"])[0] == draws[7]
    assert audit_draws(["picture 7"], seed=1)[0] != draws[7]
    others = audit_draws([f"picture {number}" for number in range(20_000)], purpose="frozen")
    assert abs(np.corrcoef(draws, others)[0, 1]) < 5 / np.sqrt(20_000)


def test_drift_comes_first_with_its_sentence(catalog: Catalog) -> None:
    catalog.add_samples([sample("a"), sample("b")])
    catalog.add_proposals([said("a", 0.55), said("b", 0.99)])
    settings = QueueSettings(audit=0.0, drift={"b": "Darker than 99 of 100 in the reference."})
    queue = build_queue(catalog, settings)
    assert queue[0].sample_id == "b"
    assert queue[0].reasons[0].words == "Darker than 99 of 100 in the reference."


def test_tracks_vote_in_their_own_video_wherever_the_frames_lie(catalog: Catalog) -> None:
    def frame(video: str, seconds: str, label: str) -> None:
        file = f"/take_2.5s/frames/{video}_{seconds}s.jpg"
        catalog.add_samples([Sample(file, file, 64, 48, file)])
        catalog.add_proposals([replace(said(file, 0.9, label=label), track=1)])

    for seconds in ("000000.500", "000001.000", "000001.500"):
        frame("hunt", seconds, "fox")
        frame("clip_1.5s_cut", seconds, "dog")  # its track 1 is another one
    assert all(
        reason.kind != "frames" for asked in build_queue(catalog, PLAIN) for reason in asked.reasons
    )
    frame("hunt", "000002.000", "dog")
    found = [
        (asked.sample_id, reason.words)
        for asked in build_queue(catalog, PLAIN)
        for reason in asked.reasons
        if reason.kind == "frames"
    ]
    words = "It says 'dog' where 3 of the 4 frames of the track say 'fox'."
    assert found == [("/take_2.5s/frames/hunt_000002.000s.jpg", words)]


def test_a_label_that_a_model_contradicts_is_asked_until_somebody_answers(
    catalog: Catalog,
) -> None:
    def named(name: str, label: str, score: float, second: str) -> Proposal:
        task, rest = "classification", 1 - score
        return Proposal(f"{name}:m", name, task, label, score, 0.0, None, "m", second, rest)

    cats, dogs = [f"c{n}" for n in range(5)], [f"d{n}" for n in range(5)]
    catalog.add_samples(
        [*(sample(n, "cat") for n in cats), *(sample(n, "dog") for n in dogs), sample("odd", "cat")]
    )
    catalog.add_proposals(
        [
            *(named(n, "cat", 0.9, "dog") for n in cats),
            *(named(n, "dog", 0.9, "cat") for n in dogs),
            named("odd", "dog", 0.95, "cat"),
        ]
    )
    queue = build_queue(catalog, PLAIN)
    assert [asked.sample_id for asked in queue] == ["odd"]
    assert queue[0].reasons[0].kind == "label"
    assert queue[0].reasons[0].words == "Labelled 'cat' (0.05), but looks like 'dog' (0.95)."
    assert build_queue(catalog, QueueSettings(audit=0.0, suspects=False)) == []
    catalog.correct(Correction("1", "odd", 0, "ann", "edit", labels=("cat",)))
    assert build_queue(catalog, PLAIN) == []


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (
            [("mug", (1.0, 1.0, 20.0, 20.0))],
            "A box is labelled 'mug', but looks like 'cup' (0.90).",
        ),
        ([], "No box is drawn where 'cup' is found (0.90)."),
        ([("cup", (1.0, 1.0, 20.0, 20.0))], ""),
    ],
)
def test_boxes_that_a_sure_find_contradicts_are_asked(
    catalog: Catalog, drawn: list[tuple[str, tuple[float, float, float, float]]], words: str
) -> None:
    objects = tuple(ObjectBox(label, box) for label, box in drawn)
    picture = Sample("a", "/a.jpg", 64, 48, "a", "train", (), objects)
    other = replace(picture, id="b", content_hash="b", objects=(ObjectBox("mug", BOX),))
    catalog.add_samples([picture, other], reviewed=True)
    # By its word about the other picture the model knows mugs, too.
    catalog.add_proposals([said("a", 0.9), said("b", 0.9, label="mug")])
    found = [asked.reasons[0].words for asked in build_queue(catalog, PLAIN)]
    assert found == ([words] if words else [])


def test_a_label_of_a_class_that_the_model_does_not_know_is_not_doubted(catalog: Catalog) -> None:
    scores = (0.9, 0.92, 0.94, 0.96, 0.98)
    new, old = [f"new{n}" for n in range(5)], [f"old{n}" for n in range(5)]
    catalog.add_samples([*(sample(n, "new") for n in new), *(sample(n, "old") for n in old)])
    both = [sample("both", "old", "new"), sample("wrong", "other")]
    catalog.add_samples(both)
    catalog.add_samples([Sample("box", "/b", 64, 48, "b", "", (), (ObjectBox("new", BOX),))])
    catalog.add_proposals(
        [
            Proposal(n, n, "classification", "old", score, 0.0, None, "m", "other", 0.01)
            for n, score in zip(
                [*new, *old, "both", "wrong"], [*scores, *scores, 0.97, 0.97], strict=True
            )
        ]
    )
    catalog.add_proposals([said("box", 0.95, label="old")])
    asked = [each.sample_id for each in build_queue(catalog, PLAIN)]
    assert asked == ["wrong"]
    # Where another model has named the class, that model alone knows it.
    catalog.add_samples([sample("late")])
    named = Proposal("late", "late", "classification", "new", 0.9, 0.0, None, "m2", "old", 0.1)
    catalog.add_proposals([named, said("late", 0.9, model="m2", label="new")])
    asked = [each.sample_id for each in build_queue(catalog, PLAIN)]
    assert sorted(asked) == ["late", "wrong"]


def test_the_queue_needs_no_torch() -> None:
    code = "import sys, visionkit.flywheel.queue.build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
