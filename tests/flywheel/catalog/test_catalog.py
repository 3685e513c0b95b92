from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from visionkit.flywheel.answers import Conflict, Correction, Proposal, Truth
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.types import ObjectBox, Sample

DOG = ObjectBox("dog", (1.0, 2.0, 30.0, 40.0), "coco", "2026-01-01")


def picture(number: int, **values: object) -> Sample:
    return replace(Sample(f"p{number}", f"/pictures/{number}.jpg", 64, 48, f"h{number}"), **values)


def answer(
    sample_id: str, *, revision: int = 0, name: str = "", by: str = "ann", **values: object
) -> Correction:
    name = name or f"{sample_id}-{revision}-{by}"
    return replace(Correction(name, sample_id, revision, by, "edit"), **values)


def proposal(name: str, sample_id: str, *, model: str = "m1", **values: object) -> Proposal:
    fresh = Proposal(name, sample_id, "exemplar", "dog", 0.75, 0.5, (1.0, 2.0, 3.0, 4.0), model)
    return replace(fresh, **values)


def again(catalog: Catalog) -> Catalog:
    """The catalog as another process sees it."""
    return open_catalog(catalog.uri)


def test_an_empty_catalog_answers_with_nothing(catalog: Catalog) -> None:
    assert catalog.samples() == catalog.proposals() == catalog.corrections() == []
    assert catalog.truths() == {}
    assert catalog.unmerged() == 0
    assert catalog.versions() == []
    assert catalog.champion() is None
    names, vectors = catalog.embeddings()
    assert names == []
    assert len(vectors) == 0


def test_a_missing_catalog_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"visionkit predict .* catalog="):
        open_catalog(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_samples_come_back_as_they_were_and_a_known_one_stays(catalog: Catalog) -> None:
    samples = [picture(0), picture(1, split="test", labels=("a", "b"), objects=(DOG,))]
    assert catalog.add_samples(samples) == 2
    assert catalog.add_samples([picture(1, uri="/elsewhere.jpg"), picture(2)]) == 1
    assert again(catalog).samples() == [*samples, picture(2)]
    assert catalog.samples(["p2", "p0"]) == [picture(2), picture(0)]
    assert catalog.uri_of("p1") == "/pictures/1.jpg"
    with pytest.raises(KeyError, match="'p9'"):
        catalog.samples(["p9"])


def test_the_id_of_another_picture_is_refused_and_nothing_is_written(catalog: Catalog) -> None:
    catalog.add_samples([picture(0)])
    samples = [picture(1), picture(0, content_hash="other", uri="/new.jpg")]
    with pytest.raises(ValueError, match=r"'p0' is that of /pictures/0\.jpg.*/new\.jpg"):
        catalog.add_samples(samples, thumbnails=[b"one", b"other"])
    assert again(catalog).samples() == [picture(0)]
    assert catalog.thumbnailed() == set()


def test_nobody_writes_while_one_does(catalog: Catalog) -> None:
    catalog.add_samples([picture(0)])
    other = again(catalog)
    with ThreadPoolExecutor(1) as pool:
        with catalog.writing():
            waiting = pool.submit(other.add_samples, [picture(1)])
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.2)
            assert catalog.add_samples([picture(2)]) == 1
        assert waiting.result() == 1
    assert catalog.samples() == [picture(0), picture(2), picture(1)]


def test_a_picture_lies_where_it_was_last_said_to(catalog: Catalog) -> None:
    catalog.add_samples([picture(0, labels=("a",)), picture(1)])
    catalog.merge(author="ann")
    other = again(catalog)
    assert other.uri_of("p0") == "/pictures/0.jpg"
    catalog.move({})
    assert not (Path(catalog.uri) / "places.lance").exists()
    for uri in ("/first/0.jpg", "/second/0.jpg"):
        catalog.move({"p0": uri})
        for each in (catalog, other, again(catalog)):
            assert each.uri_of("p0") == uri
            assert each.samples() == [picture(0, labels=("a",), uri=uri), picture(1)]
            assert each.at("v1") == [picture(0, labels=("a",), uri=uri)]
    other.move({"p1": "/1.jpg"})
    catalog.correct(answer("p0", labels=("b",)))
    assert [sample.uri for sample in again(catalog).samples()] == ["/second/0.jpg", "/1.jpg"]
    assert catalog.samples(["p0"]) == [picture(0, labels=("b",), uri="/second/0.jpg")]
    assert catalog.unmerged() == 1
    with pytest.raises(KeyError, match="'p9'"):
        catalog.move({"p1": "/elsewhere.jpg", "p9": "/9.jpg"})
    assert catalog.uri_of("p1") == "/1.jpg"


def test_frames_move_with_the_catalog_that_keeps_them(catalog: Catalog) -> None:
    place = Path(catalog.uri)
    frame, gone = place / "frames" / "a.jpg", place / "frames" / "b.jpg"
    frame.parent.mkdir()
    frame.write_bytes(b"frame")
    uris = [frame.as_posix(), gone.as_posix(), "/pictures/frames/c.jpg"]
    catalog.add_samples([picture(number, uri=uri) for number, uri in enumerate(uris)])
    moved = place.rename(place.parent / "elsewhere")
    found = [sample.uri for sample in open_catalog(moved).samples()]
    assert found == [(moved / "frames" / "a.jpg").as_posix(), *uris[1:]]


def test_thumbnails_and_embeddings_belong_to_their_pictures(catalog: Catalog) -> None:
    vectors = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    catalog.add_samples([picture(0), picture(1)], thumbnails=[b"", b"one"], embeddings=vectors)
    catalog.add_samples(
        [picture(0), picture(1), picture(2)],
        thumbnails=[b"zero", b"other", b"two"],
        embeddings=np.full((3, 3), 7, np.float32),
    )
    assert [catalog.thumbnail(f"p{n}") for n in (0, 1, 2, 9)] == [b"zero", b"one", b"two", b""]
    names, found = again(catalog).embeddings()
    assert names == ["p0", "p1", "p2"]
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 1, 0], [7, 7, 7]])
    names, found = catalog.embeddings(["p2", "p9"])
    assert names == ["p2"]
    np.testing.assert_array_equal(found, [[7, 7, 7]])


def test_embeddings_of_another_backbone_are_refused(catalog: Catalog) -> None:
    catalog.add_samples([picture(0)], embeddings=np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match=r"must have 3 numbers .* got 4"):
        catalog.add_samples([picture(1)], embeddings=np.ones((1, 4), np.float32))


@pytest.mark.parametrize(
    ("sample", "reviewed"),
    [
        (picture(0), False),
        (picture(0, labels=("a",)), True),
        (picture(0, objects=(replace(DOG, source="human:ann"),)), True),
        (picture(0, objects=(replace(DOG, source="model 3"),)), False),
    ],
)
def test_what_people_said_before_counts_as_reviewed(
    catalog: Catalog, sample: Sample, reviewed: bool
) -> None:
    catalog.add_samples([sample])
    assert catalog.truth("p0") == Truth(sample.labels, sample.objects, 0, reviewed)


def test_newer_answers_of_a_model_take_the_place_of_its_older_ones(catalog: Catalog) -> None:
    catalog.add_samples([picture(0), picture(1)])
    old = [proposal("a", "p0"), proposal("b", "p0"), proposal("c", "p1")]
    other = proposal("d", "p0", model="m2", box=None, task="classification")
    catalog.add_proposals(old)
    catalog.add_proposals([other])
    catalog.add_proposals([proposal("e", "p0", seconds=1.5, created="2026-01-01")])
    found = again(catalog).proposals()
    assert [entry.id for entry in found] == ["e", "d", "c"]
    assert (found[0].seconds, found[0].created, found[0].box) == (1.5, "2026-01-01", (1, 2, 3, 4))
    assert found[1].box is None
    assert [entry.id for entry in catalog.proposals(["p0"], model="m1")] == ["e"]
    catalog.add_proposals([], asked=[("p0", "m1"), ("p1", "m2")])
    assert [entry.id for entry in catalog.proposals()] == ["d", "c"]
    with pytest.raises(KeyError, match="'p9'"):
        catalog.add_proposals([proposal("f", "p9")])


def test_which_models_were_asked_is_known_though_they_said_nothing(catalog: Catalog) -> None:
    catalog.add_samples([picture(0), picture(1), picture(2)])
    assert catalog.asked() == {}
    catalog.add_proposals([proposal("a", "p0")], asked=[("p0", "m1"), ("p1", "m1")])
    catalog.add_proposals([proposal("b", "p0", model="m2")])
    assert catalog.asked() == {"p0": ("m1", "m2"), "p1": ("m1",)}
    catalog.add_proposals([], asked=[("p0", "m1")])
    for each in (catalog, again(catalog)):
        assert each.asked() == {"p0": ("m2", "m1"), "p1": ("m1",)}


def test_an_answer_changes_the_truth_and_says_who_and_when(catalog: Catalog) -> None:
    catalog.add_samples([picture(0), picture(1, objects=(DOG,))])
    drawn = ObjectBox("cat", (0.0, 0.0, 5.0, 5.0))
    truth = catalog.correct(answer("p1", objects=(DOG, drawn), labels=("x",)))
    (entry,) = catalog.corrections()
    signed = replace(drawn, source="human:ann", created=entry.created)
    assert entry.created
    assert truth == Truth(("x",), (DOG, signed), 1, reviewed=True)
    for each in (catalog, again(catalog)):
        assert each.truth("p1") == truth
        assert each.truths() == {"p0": Truth((), (), 0, False), "p1": truth}
        assert each.samples(["p1"])[0].objects == (DOG, signed)


def test_the_second_writer_is_told_and_nothing_is_written(catalog: Catalog) -> None:
    catalog.add_samples([picture(0)])
    other = again(catalog)
    first = other.correct(answer("p0", by="ben", labels=("x",)))
    with pytest.raises(Conflict, match="ben has answered") as told:
        catalog.correct(answer("p0", labels=("y",)))
    assert (told.value.truth, told.value.reviewer) == (first, "ben")
    assert len(catalog.corrections()) == 1
    assert catalog.correct(answer("p0", revision=1, labels=("y",))).revision == 2


def test_an_answer_sent_twice_counts_once(catalog: Catalog) -> None:
    catalog.add_samples([picture(0)])
    first = catalog.correct(answer("p0", labels=("x",)))
    assert again(catalog).correct(answer("p0", labels=("x",))) == first
    assert len(catalog.corrections()) == 1


def test_unsure_leaves_what_is_said(catalog: Catalog) -> None:
    catalog.add_samples([picture(0)])
    truth = catalog.correct(answer("p0", action="unsure", labels=("maybe",)))
    assert truth == Truth((), (), 1, reviewed=False)
    assert catalog.corrections()[0].labels == ("maybe",)
    assert again(catalog).truth("p0") == truth


def test_undo_takes_back_one_answer_after_the_other(catalog: Catalog) -> None:
    catalog.add_samples([picture(0, objects=(replace(DOG, source="human"),))])
    imported = catalog.truth("p0")
    one = catalog.correct(answer("p0", labels=("x",)))
    catalog.correct(answer("p0", revision=1, action="reject"))
    undo = answer("p0", revision=2, action="undo")
    assert catalog.correct(undo) == replace(one, revision=3)
    assert again(catalog).correct(replace(undo, id="u", revision=3)) == replace(
        imported, revision=4
    )
    with pytest.raises(ValueError, match="got none of this picture"):
        catalog.correct(replace(undo, id="w", revision=4))
    assert [entry.action for entry in catalog.corrections()] == ["edit", "reject", "undo", "undo"]


def test_only_ones_own_answer_is_taken_back(catalog: Catalog) -> None:
    catalog.add_samples([picture(0)])
    catalog.correct(answer("p0", by="ben"))
    with pytest.raises(ValueError, match="got one of ben"):
        catalog.correct(answer("p0", revision=1, action="undo"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"action": "destroy"}, "action must be one of accept"),
        ({"reviewer": " "}, "reviewer of a correction must not be empty"),
        ({"labels": ("a\nb",)}, "no control characters"),
        ({"objects": (replace(DOG, box=(0, 0, float("nan"), 1)),)}, "4 finite numbers"),
    ],
)
def test_a_wrong_answer_is_refused(
    catalog: Catalog, values: dict[str, object], message: str
) -> None:
    catalog.add_samples([picture(0)])
    with pytest.raises(ValueError, match=message):
        catalog.correct(answer("p0", **values))
    assert catalog.corrections() == []


def test_corrections_since_one_are_those_after_it(catalog: Catalog) -> None:
    catalog.add_samples([picture(0), picture(1)])
    for name in ("p0", "p1"):
        catalog.correct(answer(name, name=name))
    assert [entry.id for entry in catalog.corrections(since="p0")] == ["p1"]
    with pytest.raises(KeyError, match="'p9'"):
        catalog.corrections(since="p9")


def test_a_catalog_may_lie_elsewhere_than_in_a_folder() -> None:
    catalog = open_catalog("memory://shop", create=True)
    catalog.add_samples([picture(0)], thumbnails=[b"zero"])
    assert catalog.correct(answer("p0", labels=("x",))).revision == 1
    with pytest.raises(Conflict):
        catalog.correct(answer("p0", name="other"))
    assert catalog.merge(author="ann").samples == 1
    assert catalog.thumbnail("p0") == b"zero"
    assert not Path("memory:").exists()


def test_a_catalog_of_another_visionkit_is_refused(catalog: Catalog) -> None:
    database = lancedb.connect(catalog.uri)
    database.drop_table("models")
    database.create_table("models", schema=pa.schema([pa.field("name", pa.string())]))
    with pytest.raises(ValueError, match=r"the table models of .* differs in bundle, code"):
        again(catalog)


def test_the_catalog_needs_no_torch() -> None:
    code = "import sys, visionkit.flywheel.catalog; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_folder_of_other_things_becomes_no_catalog(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(FileExistsError, match=r"a new or empty folder, got photo\.jpg"):
        open_catalog(tmp_path, create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    begun = tmp_path / "begun"
    (begun / "frames").mkdir(parents=True)
    (begun / ".lock").touch()
    assert open_catalog(begun, create=True).samples() == []
    (begun / "notes.txt").touch()
    assert open_catalog(begun, create=True).samples() == []  # it is one by now
