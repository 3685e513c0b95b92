"""What the page's server answers: every route, as a page uses it."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image as PillowImage
from starlette.testclient import TestClient

from visionkit.flywheel.answers import Correction, Proposal
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.flywheel.queue.build import build_queue
from visionkit.flywheel.review.app import AppSettings, create_app
from visionkit.flywheel.review.assets import page_assets
from visionkit.flywheel.review.desk import Desk
from visionkit.flywheel.review.limits import LONGEST_LABEL, LONGEST_PERSON
from visionkit.types import ObjectBox, Sample

Take = Callable[..., dict[str, Any]]
Answer = Callable[..., dict[str, Any]]


def there(card: dict[str, Any]) -> list[dict[str, Any]]:
    """The boxes of a card that hold as they stand, as they are sent back."""
    return [
        {"label": claim["label"], "box": claim["box"]} for claim in card["claims"] if claim["there"]
    ]


def test_the_page_and_its_files_are_there_and_ask_for_nothing_from_outside(
    client: TestClient,
) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "<script src=" in page.text
    names = [part.split('"')[0] for part in page.text.split("/static/")[1:]]
    assert len(names) > 4
    for name in {*names, "supply.js", "stage.js", "annotorious.LICENSE.txt"}:
        file = client.get(f"/static/{name}")
        assert file.status_code == 200
        if not name.startswith("annotorious"):
            assert "http" not in file.text.replace("http://www.w3.org/2000/svg", "")
    assert "BSD 3-Clause License" in client.get("/static/annotorious.LICENSE.txt").text


def test_the_fields_of_the_page_hold_what_the_server_takes(client: TestClient) -> None:
    fields = dict(
        re.findall(r'<input id="([a-z]+)-text"[^>]* maxlength="(\d+)"', client.get("/").text)
    )
    assert fields == {"naming": str(LONGEST_LABEL), "person": str(LONGEST_PERSON)}


@pytest.mark.parametrize(("length", "status"), [(LONGEST_PERSON, 200), (LONGEST_PERSON + 1, 422)])
def test_a_person_s_name_has_one_limit(client: TestClient, length: int, status: int) -> None:
    person = {"reviewer": "x" * length, "session": "session-1"}
    answer = {"id": "answer-1", "sample_id": "s3", "revision": 0, "action": "reject"}
    assert client.post("/api/take", json=person).status_code == status
    assert client.get("/api/card", params={"id": "s3", **person}).status_code == status
    reply = client.post("/api/answers", json={**person, "answers": [answer]})
    assert reply.status_code == status


def test_every_module_that_the_page_asks_for_is_there(client: TestClient) -> None:
    asked, read = ["page.js"], set()
    while asked:
        name = asked.pop()
        file = client.get(f"/static/{name}")
        assert (name, file.status_code) == (name, 200)
        read.add(name)
        asked += {*re.findall(r'from "\./([^"]+)"', file.text)} - read
    served = {name for name in page_assets() if name.endswith(".js")}
    assert read == served - {"annotorious.js"}  # which page.html asks for


def test_a_file_that_a_browser_has_is_not_sent_again(client: TestClient) -> None:
    tag = client.get("/static/page.js").headers["etag"]
    again = client.get("/static/page.js", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")


LONG = "pepsi cola, can of 330 ml, " * 12 + "from the side"  # 337 characters


@pytest.mark.parametrize(
    ("label", "status"),
    [
        pytest.param(LONG, "saved", id="as a model says"),
        pytest.param(LONG + "!", "saved", id="its runner-up"),
        pytest.param("x" * 200, "saved", id="new"),
        pytest.param("x" * 201, "refused", id="new and too long"),
    ],
)
def test_names_of_the_catalog_are_taken_however_long(
    catalog: Catalog,
    client_for: Callable[..., TestClient],
    take: Take,
    label: str,
    status: str,
) -> None:
    box = [5.0, 5.0, 90.0, 90.0]
    catalog.add_proposals(
        [Proposal("n", "s3", "exemplar", LONG, 0.9, 0.5, tuple(box), "new", LONG + "!", 0.4)]
    )
    client = client_for(catalog)
    (card,) = take(client, wanted={"item": LONG}, alone=True)["cards"]
    assert (card["id"], [claim["label"] for claim in card["claims"]]) == ("s3", [LONG])
    person = {"reviewer": "ada", "session": "session-1"}
    answer = {"id": "answer-1", "sample_id": "s3", "revision": 0, "action": "edit"}
    objects = [{"label": label, "box": box}]
    reply = client.post(
        "/api/answers", json={**person, "answers": [{**answer, "objects": objects}]}
    )
    (result,) = reply.json()["results"]
    assert result["status"] == status
    if status == "saved":
        assert [entry.label for entry in catalog.truth("s3").objects] == [label]
    else:
        told = f"a name that is new must have at most 200 characters, got 201: '{'x' * 40}'"
        assert result["what"].startswith(told)
        assert catalog.truth("s3").revision == 0


def test_a_name_that_is_too_long_is_refused_alone(catalog: Catalog, client: TestClient) -> None:
    answers = [
        {"id": f"answer-{n}", "sample_id": f"s{n}", "revision": 0, "action": "edit"}
        | {"labels": [label]}
        for n, label in enumerate(["Pepsi", "x" * 201, "y" * 200])
    ]
    given = {"reviewer": "ada", "session": "session-1", "answers": answers}
    results = client.post("/api/answers", json=given).json()["results"]
    assert [result["status"] for result in results] == ["saved", "refused", "saved"]
    told = "a name that is new must have at most 200 characters, got 201: 'xxxx"
    assert results[1]["what"].startswith(told)
    assert results[1]["way_out"] == "write a shorter one"
    assert [catalog.truth(f"s{n}").labels for n in range(3)] == [("Pepsi",), (), ("y" * 200,)]


def test_an_empty_catalog_has_nothing_to_ask(
    tmp_path: Path, client_for: Callable[..., TestClient], take: Take
) -> None:
    client = client_for(open_catalog(tmp_path / "empty", create=True))
    assert take(client) == {"cards": [], "left": 0}
    facts = client.get("/api/overview").json()
    assert (facts["asked"], facts["left"], facts["answered"]) == (0, 0, 0)
    assert facts["agreement"] == {"pictures": 0, "same": 0, "share": None, "differing": []}


def test_the_nearest_to_the_threshold_comes_first_with_its_reason(
    client: TestClient, take: Take
) -> None:
    # Scores are 0.3 + (7 n mod 60) / 100: 0.51 for s3, 0.47 for s11, 0.44 for s2.
    cards = take(client, count=2)["cards"]
    assert [card["id"] for card in cards] == ["s3", "s11"]
    assert cards[0]["reasons"] == [
        {
            "kind": "margin",
            "words": "Sprite at 0.51 is 0.01 above its threshold of 0.50",
            "weight": pytest.approx(0.99),
        }
    ]
    assert (cards[0]["name"], cards[0]["width"], cards[0]["height"]) == ("shelf_3.jpg", 480, 360)


def test_what_is_below_its_threshold_is_offered_and_not_there(
    client: TestClient, take: Take, shelves: ModuleType
) -> None:
    card = take(client, count=2)["cards"][1]
    (claim,) = card["claims"]
    assert (claim["label"], claim["there"], claim["source"]) == ("Sprite", False, "ring-v1")
    assert claim["score"] == pytest.approx(0.47)
    assert claim["box"] == list(shelves.box_of(11))
    assert (claim["runner_up"], claim["inliers"]) == ("Pepsi", 12)


@pytest.mark.parametrize(
    ("asked", "said", "shown"),
    [
        pytest.param(["exemplar"], ("s4", "exemplar"), [], id="one that found some elsewhere"),
        pytest.param(["exemplar"], None, [], id="one that never found anything"),
        pytest.param(["classification"], ("s4", "exemplar"), ["Sprite"], id="for classes alone"),
        pytest.param(["localization"], None, ["Sprite"], id="one that finds otherwise"),
        pytest.param(["exemplar", "localization"], ("s3", "localization"), ["7UP"], id="for both"),
        pytest.param([], ("s4", "exemplar"), ["Sprite"], id="nobody knows for what"),
    ],
)
def test_a_find_that_a_model_asked_later_does_not_make_is_not_shown(
    catalog: Catalog,
    client_for: Callable[..., TestClient],
    take: Take,
    asked: list[str],
    said: tuple[str, str] | None,
    shown: list[str],
) -> None:
    box = (5.0, 5.0, 90.0, 90.0)
    finds = [Proposal("n", *said, "7UP", 0.9, 0.5, box, "ring-v2")] if said is not None else []
    if said is not None and said[0] == "s4":
        catalog.add_proposals(finds, asked=[("s4", "ring-v2")], tasks=["exemplar"])
        finds = []
    catalog.add_proposals(finds, asked=[("s3", "ring-v2")], tasks=asked)
    (card,) = [each for each in take(client_for(catalog), count=12)["cards"] if each["id"] == "s3"]
    assert [claim["label"] for claim in card["claims"]] == shown


def test_a_find_is_shown_again_where_its_model_was_asked_again(
    catalog: Catalog, client_for: Callable[..., TestClient], take: Take
) -> None:
    catalog.add_proposals([], asked=[("s3", "ring-v2")], tasks=["exemplar"])
    catalog.add_proposals(catalog.proposals(["s3"], model="ring-v1"))
    card = take(client_for(catalog), count=1)["cards"][0]
    assert [claim["label"] for claim in card["claims"]] == ["Sprite"]


def test_accepting_writes_the_boxes_with_the_model_as_their_source(
    client: TestClient, take: Take, answer: Answer, catalog: Catalog, shelves: ModuleType
) -> None:
    card = take(client)["cards"][0]
    result = answer(client, card, objects=there(card), seen=["p3"], milliseconds=1200)
    assert result["status"] == "saved"
    assert result["truth"]["revision"] == 1
    truth = catalog.truth("s3")
    assert truth.reviewed
    assert [(entry.label, entry.box, entry.source) for entry in truth.objects] == [
        ("Sprite", shelves.box_of(3), "ring-v1")
    ]
    (correction,) = catalog.corrections()
    assert (correction.reviewer, correction.action) == ("ada", "accept")
    assert (correction.seen, correction.milliseconds) == (("p3",), 1200)


def test_a_box_that_was_changed_is_signed_by_the_reviewer(
    client: TestClient, take: Take, answer: Answer, catalog: Catalog
) -> None:
    card = take(client)["cards"][0]
    drawn = [{"label": "Coke", "box": [-5, 10, 60.5, 90]}]  # reaches out of the picture
    answer(client, card, "edit", objects=drawn)
    (entry,) = catalog.truth("s3").objects
    assert (entry.label, entry.box, entry.source) == ("Coke", (0.0, 10.0, 60.5, 90.0), "human:ada")


def test_an_answer_that_is_sent_again_counts_once(
    client: TestClient, take: Take, answer: Answer, catalog: Catalog
) -> None:
    card = take(client)["cards"][0]
    first = answer(client, card, "reject")
    assert answer(client, card, "reject") == first
    assert len(catalog.corrections()) == 1


def test_the_second_writer_is_told_who_answered(
    client: TestClient, take: Take, answer: Answer, catalog: Catalog
) -> None:
    card = take(client)["cards"][0]
    answer(client, card, "reject")
    late = answer(
        client, card, objects=there(card), name="answer-0002", reviewer="bob", session="session-2"
    )
    assert (late["status"], late["reviewer"], late["truth"]["revision"]) == ("conflict", "ada", 1)
    assert len(catalog.corrections()) == 1


@pytest.fixture
def classed(tmp_path: Path) -> Catalog:
    """Three pictures, in each of which a head names bee and not ant: of one class each."""
    catalog = open_catalog(tmp_path / "classed", create=True)
    names = ["s1", "s2", "s3"]
    catalog.add_samples([Sample(name, f"{name}.jpg", 9, 9, name) for name in names])
    for name in names:
        catalog.add_proposals(
            [
                Proposal(f"{name}{label}", name, "classification", label, score, 0.5, None, "m1")
                for label, score in (("bee", 0.9), ("ant", 0.1))
            ]
        )
    return catalog


def several(*answers: tuple[str, str, list[str]]) -> dict[str, Any]:
    """A request with answers: of each the picture, the action and the labels."""
    entries = [
        {
            "id": f"several-{number}",
            "sample_id": name,
            "revision": 0,
            "action": action,
            "labels": labels,
        }
        for number, (name, action, labels) in enumerate(answers)
    ]
    return {"reviewer": "ada", "session": "session-1", "answers": entries}


def test_two_classes_of_a_picture_of_one_are_refused_and_the_other_answers_saved(
    classed: Catalog, client_for: Callable[..., TestClient]
) -> None:
    told = several(
        ("s1", "edit", ["bee", "ant"]), ("s2", "accept", ["bee"]), ("s3", "edit", ["ant", "ant"])
    )
    reply = client_for(classed).post("/api/answers", json=told).json()
    assert [entry["status"] for entry in reply["results"]] == ["refused", "saved", "saved"]
    first = reply["results"][0]
    assert first["what"] == (
        "a picture as a whole must be of one class at most where classes shut each other out, got 2"
    )
    assert "name the one that it shows" in first["way_out"]
    assert "one_class=false" in first["way_out"]
    truths = {name: (truth.labels, truth.reviewed) for name, truth in classed.truths().items()}
    assert truths == {"s1": ((), False), "s2": (("bee",), True), "s3": (("ant",), True)}
    # Nothing is lost: the same picture, with the class that it shows.
    again = several(("s1", "edit", ["ant"]))
    again["answers"][0]["id"] = "several-9"
    reply = client_for(classed).post("/api/answers", json=again).json()
    assert reply["results"][0]["status"] == "saved"


@pytest.mark.parametrize("way", ["told so", "a person has said two", "unsure"])
def test_two_classes_are_taken_where_pictures_may_have_several_or_nothing_is_said(
    classed: Catalog, client_for: Callable[..., TestClient], way: str
) -> None:
    if way == "a person has said two":
        classed.correct(Correction("else-0001", "s3", 0, "bob", "edit", ("ant", "bee")))
    client = client_for(classed, one_class=False if way == "told so" else None)
    action = "unsure" if way == "unsure" else "edit"
    reply = client.post("/api/answers", json=several(("s1", action, ["bee", "ant"]))).json()
    assert reply["results"][0]["status"] == "saved"


def test_two_classes_that_were_saved_before_are_saved_when_they_are_sent_again(
    classed: Catalog, client_for: Callable[..., TestClient]
) -> None:
    told = several(("s1", "edit", ["bee", "ant"]))
    first = client_for(classed, one_class=False).post("/api/answers", json=told).json()
    again = client_for(classed, one_class=True).post("/api/answers", json=told).json()
    assert again["results"] == first["results"]
    assert len(classed.corrections()) == 1


def test_undo_makes_the_picture_open_again(
    client: TestClient, take: Take, answer: Answer, catalog: Catalog
) -> None:
    card = take(client, count=1)["cards"][0]
    answer(client, card, "reject")
    assert take(client, count=1)["cards"][0]["id"] != card["id"]
    back = answer(client, {**card, "revision": 1}, "undo", name="answer-0002")
    assert back["status"] == "saved"
    assert not catalog.truth(card["id"]).reviewed
    again = take(client, count=1)["cards"][0]
    assert (again["id"], again["revision"]) == (card["id"], 2)


def test_what_one_cant_tell_goes_to_somebody_else(
    client: TestClient, take: Take, answer: Answer
) -> None:
    card = take(client, count=1)["cards"][0]
    answer(client, card, "unsure")
    assert card["id"] not in [c["id"] for c in take(client, count=100)["cards"]]
    take(client)  # gives the others back
    client.post("/api/take", json={"reviewer": "ada", "session": "session-1", "count": 0})
    others = take(client, "bob", "session-2", count=100)["cards"]
    assert others[0]["id"] == card["id"]


def test_two_people_are_given_different_pictures(client: TestClient, take: Take) -> None:
    first = {card["id"] for card in take(client, count=5)["cards"]}
    second = {card["id"] for card in take(client, "bob", "session-2", count=100)["cards"]}
    assert (len(first), len(second), first & second) == (5, 7, set())


def test_what_is_held_is_not_sent_again_and_what_is_not_goes_back(
    client: TestClient, take: Take
) -> None:
    first = [card["id"] for card in take(client, count=3)["cards"]]
    more = [card["id"] for card in take(client, count=2, held=first[1:])["cards"]]
    assert more[0] == first[0]
    assert not {*first[1:]} & {*more}
    others = take(client, "bob", "session-2", count=100, passed=["s7"])["cards"]
    assert not {"s7", *first, *more} & {card["id"] for card in others}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"item": "Pepsi"}, {"s0", "s4", "s8"}),
        ({"item": "Fanta"}, {"s0", "s1", "s5", "s9", "s10"}),
        ({"item": "Fanta", "least": 0.75}, {"s0", "s5", "s10"}),
        ({"least": 0.50, "most": 0.52}, {"s3"}),
        ({"reason": "margin", "item": "7UP"}, {"s2", "s6", "s10"}),
        ({"reason": "drift"}, set()),
        ({"model": "another"}, set()),
        ({"item": "<script>"}, set()),
    ],
)
def test_filters(
    client: TestClient, take: Take, wanted: dict[str, Any], expected: set[str]
) -> None:
    reply = take(client, count=100, wanted=wanted)
    assert {card["id"] for card in reply["cards"]} == expected
    assert reply["left"] == len(expected)


def test_the_pictures_of_a_version_can_be_looked_at_again(
    client: TestClient, take: Take, answer: Answer, catalog: Catalog
) -> None:
    for number, card in enumerate(take(client, count=2)["cards"]):
        answer(client, card, objects=there(card), name=f"answer-000{number}")
    catalog.merge(author="ada")
    again = take(client, count=100, wanted={"version": "v1"})["cards"]
    assert {card["id"] for card in again} == {"s3", "s11"}
    assert again[0]["reasons"][0]["words"] == "changed in v1"
    unknown = client.post(
        "/api/take",
        json={"reviewer": "ada", "session": "session-1", "wanted": {"version": "v9"}},
    )
    assert unknown.status_code == 404


def test_the_grid_has_only_pictures_of_which_nothing_else_is_said(
    client: TestClient, take: Take
) -> None:
    cards = take(client, count=40, alone=True, wanted={"item": "Fanta"})["cards"]
    # s0 shows a Pepsi beside it (0.30, below its threshold: only offered), s10 a 7UP at 0.40;
    # s5 is Fanta twice; s1 has 0.37, s9 0.33: not there.
    assert {card["id"] for card in cards} == {"s0", "s5", "s10"}
    nameless = client.post(
        "/api/take", json={"reviewer": "ada", "session": "session-1", "alone": True}
    )
    assert nameless.status_code == 422


def test_a_share_is_asked_of_two_people_who_do_not_see_each_other(
    catalog: Catalog, client_for: Callable[..., TestClient], take: Take, answer: Answer
) -> None:
    client = client_for(catalog, twice=1.0)
    card = take(client, count=1)["cards"][0]
    answer(client, card, "reject")
    assert card["id"] not in [c["id"] for c in take(client, count=100)["cards"]]
    take(client, count=0)
    second = take(client, "bob", "session-2", count=1)["cards"][0]
    assert (second["id"], second["second"], second["revision"]) == (card["id"], True, 1)
    assert second["claims"] == card["claims"]  # as the first one saw it, not the rejection
    told = answer(
        client,
        second,
        objects=there(second),
        name="answer-0002",
        reviewer="bob",
        session="session-2",
    )
    assert told["status"] == "saved"
    agreed = client.get("/api/overview").json()["agreement"]
    assert agreed == {"pictures": 1, "same": 0, "share": 0.0, "differing": [card["id"]]}
    third = take(client, "eve", "session-3", count=100)["cards"]
    assert card["id"] not in [c["id"] for c in third]


def test_restoring_and_importing_are_nobody_s_judgement(
    catalog: Catalog, client_for: Callable[..., TestClient], take: Take
) -> None:
    catalog.correct(Correction("a0000001", "s0", 0, "ann", "edit", ("x",)))
    catalog.merge(author="ann")
    catalog.correct(Correction("a0000002", "s0", 1, "ann", "edit", ("y",)))
    catalog.merge(author="ann")
    catalog.restore("v1", author="root")
    catalog.correct(Correction("import:1", "s1", 0, "root", "edit", ("z",)))
    client = client_for(catalog, twice=1.0)
    facts = client.get("/api/overview").json()
    assert [(each["name"], each["pictures"]) for each in facts["people"]] == [("ann", 1)]
    assert (facts["answered"], facts["agreement"]["pictures"]) == (1, 0)
    # What was imported is settled; of what ann judged a second person is asked, as of any.
    cards = {card["id"]: card for card in take(client, "bob", "session-2", count=20)["cards"]}
    assert "s1" not in cards
    assert (cards["s0"]["second"], cards["s0"]["revision"]) == (True, 3)
    catalog.correct(Correction("import:2", "s2", 0, "root", "edit", ("z",)))
    assert "s2" not in [card["id"] for card in take(client, count=20)["cards"]]


def test_two_who_differ_are_settled_by_a_third(
    catalog: Catalog, client_for: Callable[..., TestClient]
) -> None:
    for name, people in {"s0": ("ann", "bob", "eve"), "s1": ("ann", "bob")}.items():
        for number, (who, label) in enumerate(zip(people, "xyy", strict=False)):
            catalog.correct(Correction(f"{name} of {who}", name, number, who, "edit", (label,)))
    catalog.correct(Correction("s1 of eve", "s1", 2, "eve", "unsure"))
    agreed = client_for(catalog).get("/api/overview").json()["agreement"]
    assert agreed == {"pictures": 2, "same": 0, "share": 0.0, "differing": ["s1"]}


def test_what_was_known_and_is_kept_is_no_change(
    tmp_path: Path, client_for: Callable[..., TestClient], take: Take, answer: Answer
) -> None:
    pepsi, fanta = (5.0, 5.0, 90.0, 90.0), (200.0, 5.0, 290.0, 90.0)
    catalog = open_catalog(tmp_path / "known", create=True)
    known = ObjectBox("Pepsi", pepsi, "human:eve")
    catalog.add_samples(
        [
            Sample("s1", "/s1.jpg", 480, 360, "h1", labels=("shelf",), objects=(known,)),
            Sample("s2", "/s2.jpg", 480, 360, "h2", objects=(known,)),
            Sample("s3", "/s3.jpg", 480, 360, "h3", labels=("shelf",)),
        ],
        reviewed=[True, True, False],
    )
    catalog.add_proposals(
        [
            Proposal(f"{name}{label}", name, "localization", label, 0.9, 0.5, box, "m")
            for name in ("s1", "s2", "s3")
            for label, box in (("Pepsi", pepsi), ("Fanta", fanta))
        ]
    )
    client = client_for(catalog)
    seen = [("s1", ["s1Fanta"]), ("s2", ["s2Fanta"]), ("s3", ["s3Pepsi", "s3Fanta"])]
    cards = {card["id"]: card for card in take(client, count=3)["cards"]}
    for number, (name, shown) in enumerate(seen):
        boxes = there(cards[name]) if name != "s2" else [{"label": "Fanta", "box": fanta}]
        objects = [each for each in boxes if each["box"] is not None]
        labels = ["shelf"] if name != "s2" else []
        told = {"seen": shown, "objects": objects, "labels": labels}
        action = "edit" if name == "s2" else "accept"
        answer(client, cards[name], action, name=f"answer-000{number}", **told)
    facts = client.get("/api/overview").json()
    assert [change["words"] for change in facts["changes"]] == [
        "as the model said: shelf, Pepsi, Fanta",
        "Pepsi −1, Fanta +1",
        "as it was: shelf, Pepsi",
    ]
    expected = {"Fanta": (1, 1, 0), "Pepsi": (2, 0, 1), "shelf": (2, 0, 0)}
    found = {
        row["item"]: (row["kept"], row["added"], row["removed"]) for row in facts["changed_items"]
    }
    assert found == expected
    # Changed once more, an item counts against what was there when the picture was asked about.
    again = {**cards["s2"], "revision": 1}
    objects = [{"label": "Cola", "box": fanta}]
    answer(client, again, "edit", name="answer-0009", seen=["s2Fanta"], objects=objects)
    facts = client.get("/api/overview").json()
    assert facts["changes"][0]["words"] == "Fanta −1, Cola +1"
    found = {
        row["item"]: (row["kept"], row["added"], row["removed"]) for row in facts["changed_items"]
    }
    assert found == {**expected, "Cola": (0, 1, 0), "Fanta": (1, 0, 0)}


def test_nobody_is_the_second_person_about_their_own_answer(
    catalog: Catalog, client_for: Callable[..., TestClient], take: Take, answer: Answer
) -> None:
    first = client_for(catalog, twice=1.0)
    card = take(first, count=1)["cards"][0]
    answer(first, card, "reject")
    catalog.merge(author="ada")  # also where a version was made since
    later = client_for(catalog, twice=1.0)
    assert card["id"] not in [c["id"] for c in take(later, count=100)["cards"]]
    take(later, count=0)
    second = take(later, "bob", "session-2", count=1)["cards"][0]
    assert (second["id"], second["second"]) == (card["id"], True)


def test_the_overview_says_what_was_changed(client: TestClient, take: Take, answer: Answer) -> None:
    cards = {card["id"]: card for card in take(client, count=12)["cards"]}
    answer(client, cards["s3"], objects=there(cards["s3"]), seen=["p3"], milliseconds=2000)
    answer(
        client,
        cards["s4"],
        "edit",
        objects=[{"label": "Coke", "box": [10, 10, 90, 90]}],
        seen=["p4"],
        milliseconds=4000,
        name="answer-0002",
    )
    answer(client, cards["s6"], "unsure", name="answer-0003")
    facts = client.get("/api/overview").json()
    assert (facts["asked"], facts["left"], facts["answered"]) == (12, 10, 3)
    assert (facts["untouched"], facts["unmerged"]) == (1, 2)
    assert facts["people"] == [{"name": "ada", "pictures": 3, "seconds": 3.0}]
    assert [change["words"] for change in facts["changes"]] == [
        "could not tell",
        "Pepsi −1, Coke +1",
        "as the model said: Sprite",
    ]
    assert facts["changed_items"] == [
        {"item": "Coke", "kept": 0, "added": 1, "removed": 0},
        {"item": "Pepsi", "kept": 0, "added": 0, "removed": 1},
        {"item": "Sprite", "kept": 1, "added": 0, "removed": 0},
    ]
    assert "Coke" in facts["labels"]


def test_what_another_process_answered_is_seen(
    client: TestClient, take: Take, catalog: Catalog
) -> None:
    other = open_catalog(catalog.uri)
    box = ObjectBox("Sprite", (1.0, 2.0, 30.0, 40.0))
    other.correct(Correction("else-0001", "s3", 0, "bob", "edit", (), (box,)))
    card = client.get(
        "/api/card", params={"id": "s3", "reviewer": "ada", "session": "session-1"}
    ).json()
    assert (card["revision"], card["reviewed"]) == (1, True)
    assert card["claims"][0]["source"] == "human:bob"


def test_pictures_are_jpeg_of_the_size_that_is_shown(client: TestClient) -> None:
    whole = client.get("/picture", params={"id": "s3"})
    assert whole.headers["content-type"] == "image/jpeg"
    assert "private" in whole.headers["cache-control"]
    assert PillowImage.open(io.BytesIO(whole.content)).size == (480, 360)
    small = client.get("/thumbnail", params={"id": "s3"})
    assert PillowImage.open(io.BytesIO(small.content)).size == (256, 192)
    # 110 x 170 with 0.35 of 170 around: 229 x 289, but the picture ends 31 pixels left of it.
    crop = PillowImage.open(io.BytesIO(client.get("/crop", params={"id": "p3"}).content))
    assert crop.format == "JPEG"
    assert max(crop.size) <= 320


def test_a_large_picture_is_made_smaller(
    tmp_path: Path, shelves: ModuleType, client_for: Callable[..., TestClient]
) -> None:
    path = tmp_path / "wide.png"
    PillowImage.new("RGB", (4000, 1000), "red").save(path)
    catalog = open_catalog(tmp_path / "catalog", create=True)
    catalog.add_samples([shelves.sample_of("wide", path)])
    picture = client_for(catalog).get("/picture", params={"id": "wide"})
    assert PillowImage.open(io.BytesIO(picture.content)).size == (1600, 400)


def test_a_picture_whose_file_is_gone_or_damaged_is_told_without_its_path(
    tmp_path: Path, client_for: Callable[..., TestClient]
) -> None:
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"\xff\xd8\xff but no picture")
    catalog = open_catalog(tmp_path / "catalog", create=True)
    catalog.add_samples(
        [
            Sample("gone", (tmp_path / "gone.jpg").as_posix(), 10, 10, "a"),
            Sample("damaged", damaged.as_posix(), 10, 10, "b"),
        ]
    )
    client = client_for(catalog)
    for name in ("gone", "damaged"):
        reply = client.get("/picture", params={"id": name})
        assert reply.status_code == 404
        assert tmp_path.name not in reply.text
        assert reply.json()["error"]["way_out"]


@pytest.mark.parametrize(
    ("route", "name"), [("picture", "s3"), ("thumbnail", "s3"), ("crop", "p3")]
)
def test_a_picture_whose_file_shows_another_one_by_now_is_not_shown(
    catalog: Catalog,
    client_for: Callable[..., TestClient],
    shelves: ModuleType,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    route: str,
    name: str,
) -> None:
    file = tmp_path / "pictures" / "shelf_3.jpg"
    kept = file.read_bytes()
    shelves.draw(file, 40, ("Fanta", "7UP"))
    client = client_for(catalog)
    reply = client.get(f"/{route}", params={"id": name})
    assert reply.status_code == 404
    assert reply.json()["error"]["way_out"]
    (record,) = caplog.records
    assert f"{file.as_posix()} must" in record.getMessage()
    assert "shows another picture than when the catalog took it" in record.getMessage()
    file.write_bytes(kept)
    assert client.get(f"/{route}", params={"id": name}).status_code == 200


def test_a_picture_that_can_t_be_shown_is_named_in_the_log_once(
    catalog: Catalog,
    client_for: Callable[..., TestClient],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone = tmp_path / "pictures" / "shelf_3.jpg"
    gone.unlink()
    client = client_for(catalog)
    for _ in range(3):
        assert client.get("/picture", params={"id": "s3"}).status_code == 404
    assert [gone.as_posix() in record.getMessage() for record in caplog.records] == [True]


def test_a_catalog_that_can_t_be_written_is_told_in_the_log(
    catalog: Catalog,
    client_for: Callable[..., TestClient],
    take: Take,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = client_for(catalog)
    card = take(client)["cards"][0]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Catalog, "correct", full)
    message = {"id": "answer-0001", "sample_id": card["id"], "revision": 0, "action": "accept"}
    given = {"reviewer": "ada", "session": "session-1", "answers": [message]}
    assert client.post("/api/answers", json=given).status_code == 503
    assert "No space left on device" in caplog.text


def test_a_small_picture_is_enlarged_so_that_boxes_can_be_drawn(
    tmp_path: Path, shelves: ModuleType, client_for: Callable[..., TestClient]
) -> None:
    small = tmp_path / "digit.png"
    PillowImage.new("L", (28, 14), 90).save(small)
    catalog = open_catalog(tmp_path / "catalog", create=True)
    catalog.add_samples([shelves.sample_of("d", small)])
    reply = client_for(catalog).get("/picture", params={"id": "d"})
    assert PillowImage.open(io.BytesIO(reply.content)).size == (400, 200)


def test_requests_for_another_catalog_are_refused(
    catalog: Catalog,
    client_for: Callable[..., TestClient],
    take: Callable[..., Any],
    shelves: ModuleType,
    tmp_path: Path,
) -> None:
    client = client_for(catalog)
    name = client.get("/api/overview").json()["catalog"]
    assert client_for(catalog).get("/api/overview").json()["catalog"] == name  # after a restart
    other = client_for(shelves.shelf_catalog(tmp_path / "other", 3))
    assert other.get("/api/overview").json()["catalog"] != name
    (card,) = take(other, count=1)["cards"]
    person = {"reviewer": "ada", "session": "session-1", "catalog": name}
    answer = {"id": "answer-0001", "sample_id": card["id"], "revision": 0, "action": "accept"}
    for path, more in (("/api/take", {}), ("/api/answers", {"answers": [answer]})):
        response = other.post(path, json={**person, **more})
        assert response.status_code == 409
        assert response.json()["error"]["way_out"]
    assert take(client, catalog=name)["cards"]
    assert client.post("/api/answers", json={**person, "answers": [answer]}).status_code == 200


def test_what_comes_in_is_given_out_where_nothing_was_left(tmp_path: Path, take: Take) -> None:
    catalog = open_catalog(tmp_path / "catalog", create=True)
    app = create_app(Desk(catalog, build_queue), AppSettings(refresh_seconds=0.05))
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        assert take(client)["left"] == 0
        other = open_catalog(catalog.uri)
        other.add_samples([Sample("new", "/new.jpg", 64, 48, "new")])
        other.add_proposals([], asked=[("new", "m")])  # and a model finds nothing in it
        for _ in range(600):
            if cards := take(client)["cards"]:  # as a page asks that has none
                break
            time.sleep(0.1)
    assert [card["id"] for card in cards] == ["new"]


def test_the_queue_is_built_again_after_an_error(catalog: Catalog, shelves: ModuleType) -> None:
    builds: list[int] = []

    def build(of: Catalog) -> Any:
        builds.append(len(of.corrections()))
        if len(builds) == 2:
            raise OSError(5, "Input/output error")
        return shelves.build_order(of)

    app = create_app(Desk(catalog, build), AppSettings(refresh_seconds=0.05))
    with TestClient(app, base_url="http://127.0.0.1:8765"):
        catalog.correct(Correction("else-0001", "s1", 0, "bob", "accept"))
        for _ in range(600):
            if len(builds) > 2:
                break
            time.sleep(0.1)
    assert builds[:3] == [0, 1, 1]
