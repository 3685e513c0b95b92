"""The reference that a training leaves: what could not be read again is counted and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.conftest import write_broken, write_picture
from tests.worlds import classification_part, photo, whole_backbone
from visionkit.inference.predictor import Predictor
from visionkit.jobs.reference import Kept, keep_training_reference
from visionkit.monitoring.reference import read_reference
from visionkit.types import Sample


def kept(folder: Path, *, whole: int, broken: int) -> Kept:
    """Pictures of a training, of which some have been damaged since, and one has gone."""
    for number in range(whole):
        write_picture(folder / f"{number}.png", photo(number, 64, 96))
    for number in range(broken):
        write_broken(folder / f"broken{number}.jpg")
    paths = [*sorted(folder.iterdir()), folder / "gone.png"]
    return Kept([Sample(path.name, path.as_posix(), 96, 64, path.name) for path in paths])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    Predictor(whole_backbone(), classification=classification_part()).save(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_pictures_that_cannot_be_read_again_are_counted_and_listed(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_training_reference(bundle, kept(tmp_path / "p", whole=22, broken=2), device="cpu")
    said = " ".join(capsys.readouterr().out.split())
    assert "without 3 pictures that could not be read again" in said
    assert "a reference of 22 pictures" in said
    listed = (tmp_path / "reference_problems.csv").read_text("utf-8").splitlines()
    assert sorted(line.split(",")[0].split("/")[-1] for line in listed[1:]) == [
        "broken0.jpg",
        "broken1.jpg",
        "gone.png",
    ]
    words = read_reference(bundle).words
    assert words == ("22 pictures of the training, without 3 pictures that could not be read again")


def test_where_too_few_can_be_read_there_is_no_reference_and_that_is_said(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_training_reference(bundle, kept(tmp_path / "p", whole=19, broken=1), device="cpu")
    assert "20 pictures are needed, and there are 19" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(FileNotFoundError, match="must hold a reference"):
        read_reference(bundle)
