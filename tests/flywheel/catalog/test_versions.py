from __future__ import annotations

from dataclasses import replace

import pytest

from visionkit.flywheel.answers import Action, Correction
from visionkit.flywheel.catalog import Catalog, Change, open_catalog
from visionkit.types import Sample


def picture(number: int, *labels: str) -> Sample:
    return Sample(f"p{number}", f"/{number}.jpg", 64, 48, f"h{number}", labels=labels)


def say(catalog: Catalog, number: int, *labels: str, action: Action = "edit") -> None:
    name = f"p{number}"
    revision = catalog.truth(name).revision
    catalog.correct(Correction(f"{name}-{revision}", name, revision, "ann", action, labels=labels))


def test_nothing_to_merge_is_an_error(catalog: Catalog) -> None:
    catalog.add_samples([picture(0)])
    with pytest.raises(ValueError, match="got none; review some"):
        catalog.merge(author="ann")
    assert catalog.versions() == []


def test_a_version_holds_what_somebody_has_vouched_for(catalog: Catalog) -> None:
    catalog.add_samples([picture(0, "a"), picture(1), picture(2), picture(3)])
    say(catalog, 1, "b")
    say(catalog, 2, action="reject")
    say(catalog, 3, "c", action="unsure")
    version = catalog.merge(author="ann", note="first")
    assert (version.name, version.number, version.author, version.note) == ("v1", 1, "ann", "first")
    assert (version.samples, version.boxes, version.corrections) == (3, 0, 3)
    assert catalog.at("v1") == [picture(0, "a"), picture(1, "b"), picture(2)]
    assert catalog.versions() == open_catalog(catalog.uri).versions() == [version]


def test_versions_stay_as_they_were(catalog: Catalog) -> None:
    catalog.add_samples([picture(0, "a"), picture(1)])
    catalog.merge(author="ann")
    say(catalog, 0, "b")
    catalog.add_samples([picture(2, "c")])
    assert catalog.at("v1") == [picture(0, "a")]
    assert catalog.merge(author="ann").corrections == 1
    say(catalog, 0, "z")
    say(catalog, 2, "z")
    for each in (catalog, open_catalog(catalog.uri)):
        assert each.at("v1") == [picture(0, "a")]
        assert each.at("v2") == [picture(0, "b"), picture(2, "c")]
    assert catalog.diff("v1", "v2") == [
        Change("p0", picture(0, "a"), picture(0, "b")),
        Change("p2", None, picture(2, "c")),
    ]
    assert catalog.diff("v2", "v2") == []
    # One answer about p0 came before v2, and one about each after it.
    assert catalog.revisions("v1") == {"p0": 0}
    assert catalog.revisions("v2") == {"p0": 1, "p2": 0}


def test_unmerged_counts_pictures_whose_truth_changed(catalog: Catalog) -> None:
    catalog.add_samples([picture(number) for number in range(4)])
    say(catalog, 0, "a")
    say(catalog, 0, "b")
    say(catalog, 1, action="unsure")
    say(catalog, 2, "c")
    say(catalog, 2, action="undo")
    assert catalog.unmerged() == 1
    catalog.merge(author="ann")
    assert catalog.unmerged() == 0
    say(catalog, 0, "b", action="accept")
    assert catalog.unmerged() == 0
    say(catalog, 0, action="undo")
    say(catalog, 0, action="undo")  # of what v1 holds
    assert catalog.unmerged() == 1


def test_unmerged_counts_labelled_pictures_that_came_since_the_last_version(
    catalog: Catalog,
) -> None:
    catalog.add_samples([picture(0, "a"), picture(1)])
    assert catalog.unmerged() == 1
    catalog.merge(author="ann")
    assert catalog.unmerged() == 0
    catalog.add_samples([picture(2, "b"), picture(3, "c"), picture(4)])
    assert catalog.unmerged() == 2
    say(catalog, 3, "d")  # counts once
    say(catalog, 4, "d")
    assert catalog.unmerged() == 3
    catalog.merge(author="ann")
    assert catalog.unmerged() == 0


def test_a_restored_version_is_a_new_one_equal_to_the_old(catalog: Catalog) -> None:
    catalog.add_samples([picture(0, "a"), picture(1)])
    catalog.merge(author="ann")
    say(catalog, 0, "b")
    say(catalog, 1, "c")
    catalog.add_samples([picture(2, "d"), picture(3)])
    catalog.merge(author="ann")
    version = catalog.restore("v1", author="ben")
    assert (version.name, version.restored, version.author) == ("v3", "v1", "ben")
    for each in (catalog, open_catalog(catalog.uri)):
        assert each.at("v3") == each.at("v1") == [picture(0, "a")]
        assert len(each.at("v2")) == 3
        assert {name: truth.reviewed for name, truth in each.truths().items()} == {
            "p0": True,
            "p1": False,
            "p2": False,
            "p3": False,
        }
    assert catalog.unmerged() == 0
    say(catalog, 2, "d", action="accept")
    assert catalog.merge(author="ann").samples == 2


def test_an_unknown_version_names_those_there_are(catalog: Catalog) -> None:
    catalog.add_samples([picture(0, "a")])
    with pytest.raises(KeyError, match="none yet; merge makes the first"):
        catalog.at("v1")
    catalog.merge(author="ann")
    with pytest.raises(KeyError, match=r"\(v1\), got 'v2'"):
        catalog.restore("v2", author="ann")


def test_a_version_is_made_of_what_other_processes_wrote(catalog: Catalog) -> None:
    other = open_catalog(catalog.uri)
    catalog.add_samples([picture(0)])
    say(other, 0, "a")
    assert catalog.unmerged() == 1
    assert catalog.merge(author="ann").samples == 1
    say(catalog, 0, "b")
    assert [version.name for version in (other.merge(author="ben"), *other.versions())] == [
        "v2",
        "v1",
        "v2",
    ]
    assert other.at("v2") == [replace(picture(0), labels=("b",))]
