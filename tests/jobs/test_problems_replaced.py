"""The list of problems of an output that was replaced: it goes where the new one has none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.clips import write_clip
from tests.inference.test_gaps import destroyed
from tests.jobs.conftest import (
    Scenes,
    evaluate_config,
    gallery_config,
    predict_config,
    write_broken,
    write_picture,
)
from tests.jobs.test_predict_video import config_of
from tests.jobs.test_reference import kept
from tests.worlds import classification_part, mark, photo, whole_backbone
from visionkit.cli import main
from visionkit.data.images import content_hash
from visionkit.flywheel.catalog import open_catalog
from visionkit.inference.predictor import Predictor
from visionkit.jobs.evaluate import evaluate
from visionkit.jobs.gallery import gallery
from visionkit.jobs.predict import predict
from visionkit.jobs.predict_video import predict_video
from visionkit.jobs.reference import keep_training_reference
from visionkit.types import Sample


def check_replaced(words: list[str], picture: Path, folder: Path) -> None:
    """Checks what lies beside an output that is written once without a picture, then with it.

    Args:
        words: of the command that writes `out` into the folder.
        picture: which the catalog took as `photo(0)`.
        folder: of the output.
    """
    problems, other = folder / "out_problems.csv", folder / "other_problems.csv"
    other.write_text("not of this output")
    write_picture(picture, photo(7))
    assert main(words) == 0
    assert problems.is_file()
    write_picture(picture, photo(0))
    assert main(words) != 0
    assert problems.is_file(), "the output stays, with what was wrong with it"
    assert main([*words, "overwrite=true"]) == 0
    assert not problems.exists()
    assert other.is_file()


def test_of_an_export(tmp_path: Path) -> None:
    place = f"catalog={tmp_path / 'catalog'}"
    for number in range(3):
        write_picture(tmp_path / "in" / "cat" / f"{number}.png", photo(number))
    words = [place, f"source={tmp_path / 'in'}", "source_format=folders"]
    assert main(["versions", "import", *words]) == 0
    assert main(["merge", place]) == 0
    words = ["versions", "export", place, f"output={tmp_path / 'out'}"]
    check_replaced(words, tmp_path / "in" / "cat" / "0.png", tmp_path)


def test_of_questions(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path / "catalog", create=True)
    for number in range(3):
        image = photo(number)
        path = write_picture(tmp_path / f"{number}.png", image)
        height, width = image.shape[:2]
        sample = Sample(f"p{number}", path.as_posix(), width, height, content_hash(image))
        catalog.add_samples([sample])
    words = ["versions", "ask", f"catalog={catalog.uri}", f"output={tmp_path / 'out'}"]
    check_replaced(words, tmp_path / "0.png", tmp_path)


def test_of_an_import(tmp_path: Path) -> None:
    write_picture(tmp_path / "in" / "cat" / "0.png", photo(0))
    broken = write_broken(tmp_path / "in" / "cat" / "1.jpg")
    words = [f"catalog={tmp_path / 'catalog'}", f"source={tmp_path / 'in'}"]
    words += ["source_format=folders"]
    assert main(["versions", "import", *words]) == 0
    assert (tmp_path / "catalog_problems.csv").is_file()
    Path(broken).unlink()
    assert main(["versions", "import", *words]) == 0
    assert not (tmp_path / "catalog_problems.csv").exists()


def test_of_pictures_that_are_added_to_a_gallery(bundle: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "new" / "1.png", mark(7))
    broken = write_broken(tmp_path / "new" / "2.jpg")
    config = gallery_config(bundle, "add", item="soda", images=[str(tmp_path / "new")])
    gallery(config, bundle)
    assert (bundle.parent / "bundle_problems.csv").is_file()
    Path(broken).unlink()
    write_picture(tmp_path / "new" / "3.png", mark(8))
    gallery(config, bundle)
    assert not (bundle.parent / "bundle_problems.csv").exists()


def test_of_a_data_set_of_finds(bundle: Path, scenes: Scenes, tmp_path: Path) -> None:
    run, problems = tmp_path / "measured", bundle.parent / "set_problems.csv"
    run.mkdir()
    evaluate(evaluate_config(bundle, scenes.folder), run)
    away = tmp_path / "away.png"

    def promote(**changes: object) -> None:
        target = str(bundle.parent / "set")
        changes = {"finds": [str(run)], "output": target, "least": 1} | changes
        gallery(gallery_config(bundle, "promote", **changes), bundle)

    shutil.move(scenes.folder / "0.png", away)
    promote()
    assert problems.is_file()
    shutil.move(away, scenes.folder / "0.png")
    with pytest.raises(FileExistsError):
        promote()
    assert problems.is_file(), "the set stays, with what was wrong with it"
    promote(overwrite=True)
    assert not problems.exists()


def test_of_a_training_s_reference(tmp_path: Path) -> None:
    bundle, pictures = tmp_path / "bundle", kept(tmp_path / "p", whole=22, broken=2)
    Predictor(whole_backbone(), classification=classification_part()).save(bundle)
    keep_training_reference(bundle, pictures, device="cpu")
    assert (tmp_path / "reference_problems.csv").is_file()
    for sample in pictures.held:
        write_picture(Path(sample.uri).with_suffix(".png"), photo(1, 64, 96)).replace(sample.uri)
    keep_training_reference(bundle, pictures, device="cpu")
    assert not (tmp_path / "reference_problems.csv").exists()


def test_of_predictions_that_could_not_be_made_at_first(
    finished_bundle: Path, scenes: Scenes, tmp_path: Path
) -> None:
    broken = write_broken(tmp_path / "in" / "0.png")
    config = predict_config(finished_bundle, tmp_path / "in")
    with pytest.raises(ValueError, match="at least one picture must be readable"):
        predict(config, tmp_path / "run")
    assert (tmp_path / "run" / "problems.csv").is_file()
    shutil.copy(scenes.folder / "0.png", broken)
    predict(config, tmp_path / "run")
    assert not (tmp_path / "run" / "problems.csv").exists()


def test_of_predictions_of_a_video(trained_heads: Path, tmp_path: Path) -> None:
    video, run = destroyed(tmp_path / "video.mkv", 32, 58), tmp_path / "run"
    predict_video(config_of(trained_heads, video, every=5), run)
    assert (run / "problems.csv").is_file()
    write_clip(video, 30)
    predict_video(config_of(trained_heads, video, every=5), run)
    assert (run / "problems.csv").is_file(), "what is finished is left as it is"
    predict_video(config_of(trained_heads, video, every=5, overwrite=True), run)
    assert not (run / "problems.csv").exists()
