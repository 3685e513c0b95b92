"""What is counted before a head is trained again, and what is waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from visionkit.cli.compose import compose
from visionkit.config.flywheel import RetrainConfig
from visionkit.flywheel.answers import Correction
from visionkit.flywheel.catalog import Catalog, Model, open_catalog
from visionkit.jobs.retrain import retrain
from visionkit.jobs.retrain_waits import waits_for
from visionkit.types import Sample


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Twenty labelled pictures, which need not be there, in version v1."""
    made = open_catalog(tmp_path / "catalog", create=True)
    names = [f"{number}.png" for number in range(20)]
    made.add_samples(
        [Sample(name, f"/none/{name}", 9, 9, name, labels=("a",)) for name in names], reviewed=True
    )
    made.merge(author="ann")
    return made


def learned(catalog: Catalog, name: str, version: str, task: str) -> None:
    """A model that was trained on a version."""
    catalog.add_model(Model(name, "/bundle", version=version, metrics={"task": task}))


def relabel(catalog: Catalog, count: int, label: str) -> None:
    """What a person says of so many pictures now."""
    for name in list(catalog.truths())[:count]:
        revision = catalog.truth(name).revision
        catalog.correct(
            Correction(f"{name}-{revision}", name, revision, "ann", "edit", labels=(label,))
        )


def words(catalog: Catalog, task: str, *given: str) -> str:
    given = (f"task={task}", f"catalog={catalog.uri}", "loop.least_corrections=15", *given)
    return waits_for(catalog, task, compose("retrain", RetrainConfig, list(given)).config.loop)


def test_each_head_waits_for_what_it_has_not_learned_itself(catalog: Catalog) -> None:
    learned(catalog, "boxes", "v1", "localization")
    assert words(catalog, "classification") == ""
    assert words(catalog, "localization").startswith(
        "Nothing is trained: 0 pictures are new or corrected. 15 are waited for"
    )
    learned(catalog, "classes", "v1", "classification")
    assert "0 pictures are new" in words(catalog, "classification")


def test_what_is_not_merged_does_not_train_the_same_version_again(catalog: Catalog) -> None:
    learned(catalog, "first", "v1", "classification")
    relabel(catalog, 16, "b")
    assert words(catalog, "classification") == ""
    assert words(catalog, "classification", "loop.merge=false") == (
        "Nothing is trained: 0 pictures are new or corrected. 15 are waited for "
        "(loop.least_corrections). Of 16 pictures the answers are in no version, which "
        "loop.merge=false leaves so; visionkit merge makes one."
    )
    catalog.merge(author="ann")
    assert words(catalog, "classification", "loop.merge=false") == ""


def test_a_picture_counts_once_and_only_as_far_as_it_differs(catalog: Catalog) -> None:
    learned(catalog, "first", "v1", "classification")
    relabel(catalog, 10, "b")
    catalog.merge(author="ann")
    relabel(catalog, 10, "c")
    assert "10 pictures are new or corrected" in words(catalog, "classification")
    relabel(catalog, 9, "a")  # as they were when they were learned
    assert "1 picture is new or corrected" in words(catalog, "classification")


def test_how_things_stand_is_told_where_nothing_shall_be_trained(catalog: Catalog) -> None:
    assert words(catalog, "exemplar", "loop.enabled=false") == (
        "Nothing is trained: loop.enabled is false. 20 pictures are new or corrected."
    )


def test_who_waits_needs_no_bundle_yet_nor_pictures_of_every_head(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog.add_model(Model("gone", str(tmp_path / "moved away"), status="champion"))
    given = [
        "task=localization",
        f"catalog={catalog.uri}",
        "move_backbone=true",
        f"output={tmp_path / 'run'}",
    ]
    for words, said in (
        ("loop.least_corrections=21", "21 are waited for"),
        ("loop.enabled=false", "loop.enabled is false"),
    ):
        retrain(compose("retrain", RetrainConfig, [*given, words]).config, tmp_path)
        assert said in " ".join(capsys.readouterr().out.split())
    with pytest.raises(FileNotFoundError, match="moved away"):
        retrain(
            compose("retrain", RetrainConfig, [*given, "loop.least_corrections=1"]).config,
            tmp_path,
        )


@pytest.mark.parametrize(
    ("task", "is_limited"),
    [
        (["task=localization"], True),
        (["task=classification", "task.finetune.enabled=true"], True),
        (["task=classification"], False),
        (["task=exemplar"], False),
    ],
)
def test_minutes_that_a_training_can_not_keep_to_are_refused(
    catalog: Catalog, tmp_path: Path, task: list[str], is_limited: bool
) -> None:
    given = [*task, f"catalog={catalog.uri}", "loop.minutes=5", "loop.enabled=false"]
    config = compose("retrain", RetrainConfig, given).config
    if is_limited:
        retrain(config, tmp_path)
    else:
        with pytest.raises(ValueError, match=f"loop.minutes must be null .* got 5 with {task[0]}"):
            retrain(config, tmp_path)
