"""Where the review page is served, and to whom."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from visionkit.cli import main
from visionkit.cli.compose import compose
from visionkit.config.flywheel import ReviewConfig
from visionkit.flywheel.answers import Correction, Proposal
from visionkit.flywheel.catalog import Catalog, Model, open_catalog
from visionkit.flywheel.frozen import frozen_set
from visionkit.flywheel.queue.carriers import write_carriers
from visionkit.flywheel.review.filters import Wanted
from visionkit.flywheel.review.guard import Rules
from visionkit.jobs.author import author_of
from visionkit.jobs.review import _desk, _queue, _rules
from visionkit.types import Sample


def rules(**changes: Any) -> Rules:
    words = [f"{key}={value}" for key, value in {"catalog": "c", **changes}.items()]
    return _rules(compose("review", ReviewConfig, words).config)


def test_this_machine_alone_needs_no_token() -> None:
    made = rules()
    assert (made.token, made.any_address) == ("", False)
    assert made.names == {"127.0.0.1", "localhost", "::1"}
    assert rules(token="a" * 16).token == "a" * 16


def test_other_machines_need_one() -> None:
    first, second = rules(host="0.0.0.0"), rules(host="0.0.0.0")
    assert len(first.token) >= 32
    assert first.token != second.token
    assert first.any_address
    assert "review.example" in rules(host="192.168.1.5", hosts="[Review.example]").names


@pytest.mark.parametrize("token", ["short", "'" + "é" * 20 + "'"])
def test_a_token_that_can_be_guessed_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="at least 16 plain characters"):
        rules(token=token)


@pytest.mark.parametrize("named", [False, True])
def test_the_frozen_set_that_retrain_drew_is_not_asked_about(tmp_path: Path, named: bool) -> None:
    place = tmp_path / "catalog"
    catalog = open_catalog(place, create=True)
    pictures = [
        Sample(f"p{number}", f"/p{number}.jpg", 64, 48, f"p{number}", labels=("cat",))
        for number in range(20)
    ]
    catalog.add_samples([*pictures, Sample("new", "/new.jpg", 64, 48, "new")])
    # A model takes each of them for a dog, and knows cats, too.
    catalog.add_proposals(
        [
            Proposal(each.id, each.id, "classification", "dog", 0.9, 0.0, None, "m", "cat", 0.1)
            for each in pictures
        ]
        + [Proposal("new", "new", "classification", "cat", 0.9, 0.0, None, "m", "dog", 0.1)]
    )
    catalog.add_samples([replace(pictures[0], id="dog", content_hash="dog", labels=("dog",))])
    catalog.add_proposals(
        [Proposal("dog", "dog", "classification", "dog", 0.9, 0.0, None, "m", "cat", 0.1)]
    )
    words = [f"catalog={place}", "audit=0"]
    file = tmp_path / "elsewhere.json" if named else place / "frozen_test.json"
    before = _queue(catalog, compose("review", ReviewConfig, words).config)
    assert {each.sample_id for each in before} == {"new", *(each.id for each in pictures)}
    frozen = {each.id for each in frozen_set(file, pictures, share=0.4).samples}
    assert 0 < len(frozen) < 20
    config = compose("review", ReviewConfig, [*words, f"frozen={file if named else 'null'}"])
    after = {each.sample_id for each in _queue(catalog, config.config)}
    assert after == {each.sample_id for each in before} - frozen


def test_pictures_that_models_are_compared_on_are_not_asked_of_a_second_person(
    tmp_path: Path,
) -> None:
    place = tmp_path / "catalog"
    catalog = open_catalog(place, create=True)
    splits = ["test", *[""] * 11]
    pictures = [
        Sample(f"p{number}", f"/p{number}.jpg", 64, 48, f"p{number}", split=split)
        for number, split in enumerate(splits)
    ]
    catalog.add_samples(pictures)
    for each in pictures:
        catalog.correct(Correction(f"a{each.id}", each.id, 0, "ann", "edit", labels=("cat",)))
    catalog.merge(author="ann")
    config = compose("review", ReviewConfig, [f"catalog={place}", "twice_share=1"]).config
    desk = _desk(catalog, config)
    without_test = {each.id for each in pictures[1:]}
    assert {card.sample.id for card in desk.take("bob", "b", count=20)[0]} == without_test
    drawn = [sample for sample in catalog.at("v1") if not sample.split]
    frozen = {each.id for each in frozen_set(place / "frozen_test.json", drawn, share=0.5).samples}
    assert 0 < len(frozen) < len(drawn)
    desk.refresh()  # as it does by itself, with what retrain has written meanwhile
    cards, left = desk.take("bob", "b", count=20)
    assert {card.sample.id for card in cards} == without_test - frozen
    assert left == len(without_test - frozen)
    changed, _ = desk.take("bob", "b", count=20, wanted=Wanted(version="v1"))
    assert {card.sample.id for card in changed} == without_test - frozen
    # Looked up, each shows what was said of it: nobody is asked to judge it without seeing that.
    for name in ("p0", min(frozen)):
        card = desk.card(name, "bob", "b")
        assert (card.second, [claim.label for claim in card.claims]) == (False, ["cat"])


def _finds_nothing(catalog: Catalog) -> None:
    catalog.add_samples([Sample("new", "/new.jpg", 64, 48, "new")])
    catalog.add_proposals([], asked=[("new", "m")])


def _finds_otherwise(catalog: Catalog) -> None:
    (old,) = catalog.proposals(["p0"])
    catalog.add_proposals([replace(old, label="dog", created="")])


def _drifts(catalog: Catalog) -> None:
    write_carriers(catalog.uri, {"p1": "It carries the drift."})


def _freezes(catalog: Catalog) -> None:
    frozen_set(Path(catalog.uri) / "frozen_test.json", catalog.samples()[2:], share=1)


@pytest.mark.parametrize(
    ("change", "first", "reason", "asked"),
    [
        pytest.param(_finds_nothing, "p0", "margin", 6, id="a picture without finds"),
        pytest.param(_finds_otherwise, "p0", "margin", 5, id="other finds, as many"),
        pytest.param(_drifts, "p1", "drift", 5, id="what monitor found"),
        pytest.param(_freezes, "p0", "margin", 2, id="what retrain has frozen"),
    ],
)
def test_a_running_page_sees_what_is_written_beside_it(
    tmp_path: Path, change: Callable[[Catalog], None], first: str, reason: str, asked: int
) -> None:
    place = tmp_path / "catalog"
    catalog = open_catalog(place, create=True)
    names = [f"p{number}" for number in range(5)]
    catalog.add_samples([Sample(name, f"/{name}.jpg", 64, 48, name) for name in names])
    catalog.add_proposals(
        [
            Proposal(name, name, "exemplar", "cat", score, 0.5, (1.0, 1.0, 9.0, 9.0), "m")
            for name, score in zip(names, (0.51, 0.9, 0.9, 0.9, 0.9), strict=True)
        ]
    )
    config = compose("review", ReviewConfig, [f"catalog={place}", "audit=0"]).config
    desk = _desk(open_catalog(place), config)
    desk._next_build = 0.0
    assert not desk.refresh_if_changed()
    change(catalog)
    assert desk.refresh_if_changed()
    card = desk.take("ada", "a", count=1)[0][0]
    assert (card.sample.id, card.asked.reasons[0].kind) == (first, reason)
    assert desk.counts() == (asked, asked)
    shown = {entry.label for entry in desk.proposals_of("p0")}
    assert shown == ({"dog"} if change is _finds_otherwise else {"cat"})
    desk._next_build = 0.0
    assert not desk.refresh_if_changed()


def test_a_running_page_sees_another_champion(tmp_path: Path) -> None:
    place = tmp_path / "catalog"
    catalog = open_catalog(place, create=True)
    catalog.add_samples([Sample(name, f"/{name}.jpg", 64, 48, name) for name in "ab"])
    for model, scores in (("old", (0.51, 0.9)), ("new", (0.9, 0.51))):
        catalog.add_model(Model(model, f"/{model}"))
        box = (1.0, 1.0, 9.0, 9.0)
        catalog.add_proposals(
            [
                Proposal(f"{model}{name}", name, "exemplar", "cat", score, 0.5, box, model)
                for name, score in zip("ab", scores, strict=True)
            ]
        )
    catalog.promote("old")
    desk = _desk(catalog, compose("review", ReviewConfig, [f"catalog={place}", "audit=0"]).config)
    assert desk.take("ada", "a", count=1)[0][0].sample.id == "a"
    catalog.promote("new")
    desk._next_build = 0.0
    assert desk.refresh_if_changed()
    assert desk.take("ada", "a", count=1)[0][0].sample.id == "b"


def test_a_file_of_frozen_pictures_that_cannot_be_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "catalog"
    open_catalog(place, create=True)
    file = tmp_path / "frozen.json"
    assert main(["review", f"catalog={place}", "port=0", f"frozen={file}"]) == 2
    assert "leave it out until something is frozen" in capsys.readouterr().err
    (place / "frozen_test.json").write_text("[1]", "utf-8")
    assert main(["review", f"catalog={place}", "port=0"]) == 2
    assert "loop.refreeze=true" in capsys.readouterr().err


def test_a_catalog_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["review", f"catalog={tmp_path / 'none'}"]) == 2
    assert "there is none" in capsys.readouterr().err


def test_a_taken_port_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_catalog(tmp_path / "catalog", create=True)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["review", f"catalog={tmp_path / 'catalog'}", f"port={port}"]) == 2
    assert "port=0 for one that is free" in capsys.readouterr().err


def test_a_name_that_the_page_can_t_take_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_catalog(tmp_path / "catalog", create=True)
    assert main(["review", f"catalog={tmp_path / 'catalog'}", f"reviewer={'x' * 61}"]) == 2
    assert "reviewer must have at most 60 characters, got 61" in capsys.readouterr().err
    assert author_of(" ada ") == "ada"


def test_the_page_needs_no_torch() -> None:
    code = (
        "import sys, visionkit.jobs.review, visionkit.flywheel.review.app, "
        "visionkit.flywheel.queue.build; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
