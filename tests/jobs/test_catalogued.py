from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from tests.clips import write_clip
from tests.jobs.conftest import Scenes, predict_config, write_picture
from tests.jobs.test_predict_video import config_of
from tests.worlds import (
    classification_part,
    localization_part,
    new_finder,
    photo,
    three_items,
    whole_backbone,
)
from visionkit.data.images import content_hash, read_image
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.flywheel.exclusive import one_class
from visionkit.inference.outputs import write_jpeg
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.crops import still_name
from visionkit.inference.video.stills import read_stills
from visionkit.jobs.catalogued import model_name, proposals_of
from visionkit.jobs.predict import predict
from visionkit.jobs.predict_video import predict_video
from visionkit.models.build_backbone import build_backbone
from visionkit.types import Sample


@pytest.fixture(scope="module")
def three_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with all heads; not to be changed."""
    bundle = tmp_path_factory.mktemp("heads") / "bundle"
    Predictor(
        whole_backbone(),
        new_finder(three_items()),
        classification_part(threshold=0.4),
        localization_part(threshold=0.05),
    ).save(bundle)
    return bundle


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the trained heads, which are quick; not to be changed."""
    bundle = tmp_path_factory.mktemp("heads") / "bundle"
    boxes = localization_part(threshold=0.05, size=(48, 64))
    classes = classification_part(threshold=0.4, size=(48, 64))
    Predictor(whole_backbone(), None, classes, boxes).save(bundle)
    return bundle


def predicted(bundle: Path, scenes: Scenes, folder: Path, **changes: object) -> Catalog:
    place = folder / "catalog"
    predict(predict_config(bundle, scenes.folder, catalog=str(place), **changes), folder / "run")
    return open_catalog(place)


def test_pictures_come_with_thumbnail_embedding_and_what_is_said(
    three_heads: Path, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = predicted(three_heads, scenes, tmp_path)
    found = {Path(sample.uri).name: sample for sample in catalog.samples()}
    assert sorted(found) == ["0.png", "1.png", "2.png", "nothing.png"]
    for name, sample in found.items():
        image = read_image(scenes.folder / name)
        assert sample.content_hash == content_hash(image)
        assert (sample.height, sample.width) == image.shape[:2]
        thumbnail = PillowImage.open(io.BytesIO(catalog.thumbnail(sample.id)))
        assert max(thumbnail.size) <= 256
        assert not catalog.truth(sample.id).reviewed
    names, vectors = catalog.embeddings()
    assert sorted(names) == sorted(sample.id for sample in found.values())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    model = model_name(three_heads)
    for number in range(3):
        said = catalog.proposals([found[f"{number}.png"].id])
        assert {entry.model for entry in said} == {model}
        best = next(entry for entry in said if entry.task == "exemplar")
        assert best.label == f"item {number}"
        assert best.box == pytest.approx(scenes.boxes[f"{number}.png"], abs=8)
        assert best.threshold == pytest.approx(
            Predictor.load(three_heads, device="cpu").thresholds[best.label]
        )
        classes = [entry for entry in said if entry.task == "classification"]
        assert [entry.box for entry in classes] == [None] * 3
        assert classes[0].runner_up == classes[1].label
        assert classes[1].runner_up == classes[0].label
        assert {entry.threshold for entry in classes} == {np.float32(0.4)}
    champion = catalog.champion()
    assert champion is not None
    assert (champion.name, champion.bundle) == (model, three_heads.as_posix())
    assert "4 pictures new in the catalog" in capsys.readouterr().out


def test_the_files_of_a_run_are_the_same_with_a_catalog(
    two_heads: Path, scenes: Scenes, tmp_path: Path
) -> None:
    predict(predict_config(two_heads, scenes.folder), tmp_path / "plain")
    predicted(two_heads, scenes, tmp_path)
    for name in ("predictions.jsonl", "predictions.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_predicting_again_adds_no_picture_and_a_copy_is_known(
    two_heads: Path, scenes: Scenes, tmp_path: Path
) -> None:
    shutil.copyfile(scenes.folder / "0.png", scenes.folder / "copy.png")
    catalog = predicted(two_heads, scenes, tmp_path)
    before = catalog.proposals()
    assert len(catalog.samples()) == 4
    shutil.rmtree(tmp_path / "run")
    again = predicted(two_heads, scenes, tmp_path)
    assert len(again.samples()) == 4
    assert sorted(entry.id for entry in again.proposals()) == sorted(entry.id for entry in before)


def test_a_picture_of_a_data_set_keeps_its_name_and_labels(
    two_heads: Path, scenes: Scenes, tmp_path: Path
) -> None:
    path = scenes.folder / "1.png"
    image = read_image(path)
    height, width = image.shape[:2]
    known = Sample("mine", path.as_posix(), width, height, content_hash(image), labels=("a",))
    open_catalog(tmp_path / "catalog", create=True).add_samples([known])
    catalog = predicted(two_heads, scenes, tmp_path)
    assert len(catalog.samples()) == 4
    assert catalog.samples(["mine"]) == [known]
    assert catalog.thumbnail("mine")
    assert catalog.embeddings(["mine"])[0] == ["mine"]
    assert catalog.proposals(["mine"])


def test_a_file_that_was_replaced_is_another_picture(
    two_heads: Path, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = predicted(two_heads, scenes, tmp_path)
    before, said = first.samples(), first.proposals()
    shutil.rmtree(tmp_path / "run")
    large = photo(5, 288, 384)
    write_picture(scenes.folder / "1.png", large)
    catalog = predicted(two_heads, scenes, tmp_path)
    *old, new = catalog.samples()
    assert old == before
    assert (new.height, new.width) == large.shape[:2]
    assert new.content_hash == content_hash(large)
    assert catalog.thumbnail(new.id)
    assert catalog.embeddings([new.id])[0] == [new.id]
    assert "1 file showed another picture when the catalog took it" in capsys.readouterr().out
    assert catalog.proposals([new.id])
    (gone,) = (sample for sample in before if Path(sample.uri).name == "1.png")
    kept = [entry.created for entry in said if entry.sample_id == gone.id]
    assert kept
    assert [entry.created for entry in catalog.proposals([gone.id])] == kept


def test_pictures_that_were_moved_are_found_by_predicting_again(
    two_heads: Path, scenes: Scenes, tmp_path: Path
) -> None:
    before = predicted(two_heads, scenes, tmp_path).samples()
    shutil.rmtree(tmp_path / "run")
    moved = Scenes(scenes.folder.rename(tmp_path / "moved"), scenes.boxes)
    after = predicted(two_heads, moved, tmp_path).samples()
    assert [sample.id for sample in after] == [sample.id for sample in before]
    assert {Path(sample.uri).parent for sample in after} == {moved.folder}
    for sample in after:
        assert content_hash(read_image(sample.uri)) == sample.content_hash


def test_a_place_is_written_once_however_many_pictures_were_moved(
    two_heads: Path, tmp_path: Path
) -> None:
    world = Scenes(tmp_path / "many", {})
    for number in range(300):  # more than two times as many as are written at once
        write_picture(
            world.folder / f"{number}.png",
            np.full((8, 8, 3), number % 256, np.uint8)
            + (np.arange(3, dtype=np.uint8) * (number // 256)),
        )
    predicted(two_heads, world, tmp_path, draw=False)
    shutil.rmtree(tmp_path / "run")
    moved = Scenes(world.folder.rename(tmp_path / "moved"), {})
    assert len(predicted(two_heads, moved, tmp_path, draw=False).samples()) == 300
    places = lancedb.connect(str(tmp_path / "catalog")).open_table("places")
    assert places.count_rows() == 300


def test_a_stopped_run_leaves_no_picture_out(
    two_heads: Path, scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    original = Predictor.predict

    def stop_at_the_third(self: Predictor, images: Any, *args: Any, **options: Any) -> Any:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(images)
        return original(self, images, *args, **options)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Predictor, "predict", stop_at_the_third)
        predicted(two_heads, scenes, tmp_path, batch_size=1)
    assert len(open_catalog(tmp_path / "catalog").samples()) == 2
    assert len(predicted(two_heads, scenes, tmp_path, batch_size=1).samples()) == 4


def test_pictures_that_the_catalog_could_not_take_are_seen_again(
    two_heads: Path, scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("no space left")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="no space left"):
        patched.setattr(Catalog, "add_proposals", full)
        predicted(two_heads, scenes, tmp_path)
    catalog = predicted(two_heads, scenes, tmp_path)
    assert catalog.asked().keys() == {sample.id for sample in catalog.samples()}
    whole = predicted(two_heads, scenes, tmp_path / "whole")
    said, expected = (
        [(entry.sample_id, entry.label, entry.score) for entry in each.proposals()]
        for each in (catalog, whole)
    )
    assert sorted(said) == sorted(expected) != []
    assert len((tmp_path / "run" / "predictions.jsonl").read_text("utf-8").splitlines()) == 4


@pytest.mark.parametrize(("before", "other"), [(None, "late"), ("first", "late"), ("first", None)])
def test_a_stopped_run_goes_on_with_its_own_catalog_only(
    two_heads: Path,
    scenes: Scenes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: str | None,
    other: str | None,
) -> None:
    def run(catalog: str | None) -> None:
        config = predict_config(two_heads, scenes.folder, draw=False, catalog=catalog)
        predict(config, tmp_path / "run")

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Predictor, "predict", stop)
        run(before)
    with pytest.raises(ValueError, match=r"another catalog .*choose another folder"):
        run(other)
    run(before and str(tmp_path / before))  # in another spelling
    assert (tmp_path / "run" / "predictions.jsonl").is_file()


def test_who_was_asked_last_is_known_for_each_task(
    two_heads: Path, scenes: Scenes, tmp_path: Path
) -> None:
    first = predicted(two_heads, scenes, tmp_path).models()[0].name
    later = tmp_path / "later"
    parts = (classification_part(size=(48, 64)), localization_part(threshold=0.05, size=(48, 64)))
    Predictor(whole_backbone(), None, *parts).save(later)
    catalog = str(tmp_path / "catalog")
    config = predict_config(later, scenes.folder, catalog=catalog, tasks=["classification"])
    predict(config, tmp_path / "again")
    second = open_catalog(catalog).models()[1].name
    asked = open_catalog(catalog).last_asked()
    assert len(asked) == 4
    assert first != second
    for models in asked.values():
        assert models == {"classification": second, "localization": first}


def test_embeddings_of_another_backbone_stay(
    two_heads: Path, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = Sample("old", "/old.png", 8, 8, "old")
    vectors = np.ones((1, 3), np.float32)
    open_catalog(tmp_path / "catalog", create=True).add_samples([old], embeddings=vectors)
    catalog = predicted(two_heads, scenes, tmp_path)
    assert len(catalog.samples()) == 5
    assert catalog.embeddings()[0] == ["old"]
    assert "another backbone" in capsys.readouterr().out


def test_finds_somewhat_below_their_thresholds_are_asked_about() -> None:
    scores = [0.9, 0.5, 0.4, 0.2, *([0.3] * 30)]
    records = [
        {"task": "localization", "label": "dog", "score": score, "box": [0, 0, 5, 5]}
        for score in scores
    ]
    said = proposals_of("p", records, {"localization": {"dog": 0.5}}, "m")
    assert [entry.score for entry in said] == [0.9, 0.5, 0.4, *([0.3] * 18)]
    assert {entry.threshold for entry in said} == {0.5}
    assert len({entry.id for entry in said}) == len(said)
    assert proposals_of("p", [], {}, "m") == []


def test_frames_of_videos_are_kept_as_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    boxes = localization_part(threshold=0.05, size=(48, 64))
    Predictor(whole_backbone(), None, None, boxes).save(bundle)
    write_clip(tmp_path / "clips" / "a.mp4", 8)
    changes = {"catalog": str(tmp_path / "catalog"), "unsure": 2}
    predict_video(config_of(bundle, tmp_path / "clips", **changes), tmp_path / "run")
    catalog = open_catalog(tmp_path / "catalog")
    samples = catalog.samples()
    assert 2 <= len(samples) <= 4
    for sample in samples:
        assert Path(sample.uri).parent == tmp_path / "catalog" / "frames"
        assert read_image(sample.uri).shape[:2] == (sample.height, sample.width) == (96, 128)
        assert catalog.thumbnail(sample.id)
    said = catalog.proposals()
    assert said
    assert {entry.task for entry in said} == {"localization"}
    times = {round(entry.seconds * 10) for entry in said}
    assert times <= set(range(8))
    assert len(times) > 1
    told = capsys.readouterr().out
    assert f"{len(samples)} frames new in the catalog" in told
    assert f"review catalog={tmp_path / 'catalog'}" in told
    predict_video(config_of(bundle, tmp_path / "clips", **changes), tmp_path / "again")
    assert len(open_catalog(tmp_path / "catalog").samples()) == len(samples)


def test_frames_of_other_videos_of_the_same_name_are_other_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, place = tmp_path / "bundle", tmp_path / "catalog"
    boxes = localization_part(threshold=0.05, size=(48, 64))
    Predictor(whole_backbone(), None, None, boxes).save(bundle)

    def watch(folder: str, run: str) -> list[Sample]:
        monkeypatch.chdir(tmp_path / folder)
        predict_video(config_of(bundle, "clips", catalog=str(place), unsure=2), tmp_path / run)
        return open_catalog(place).samples()

    write_clip(tmp_path / "monday" / "clips" / "a.mp4", 8)
    write_clip(tmp_path / "tuesday" / "clips" / "a.mp4", 8, size=(64, 96))
    first = watch("monday", "1")
    second = watch("tuesday", "2")
    write_clip(tmp_path / "monday" / "clips" / "a.mp4", 8, size=(80, 64))
    third = watch("monday", "3")
    assert len(first) < len(second) < len(third)
    assert {(sample.height, sample.width) for sample in third} == {(96, 128), (64, 96), (80, 64)}
    for sample in third:
        assert content_hash(read_image(sample.uri)) == sample.content_hash
        size = (sample.width, sample.height)
        for entry in open_catalog(place).proposals([sample.id]):
            assert entry.box is not None
            assert (np.asarray(entry.box) <= [*size, *size]).all()
    files = sorted((place / "frames").iterdir())
    assert len(files) == len(third)
    assert watch("tuesday", "4") == third
    assert sorted((place / "frames").iterdir()) == files


def test_frames_of_a_catalog_that_named_them_by_video_and_time_are_known(tmp_path: Path) -> None:
    bundle, place = tmp_path / "bundle", tmp_path / "catalog"
    boxes = localization_part(threshold=0.05, size=(48, 64))
    Predictor(whole_backbone(), None, None, boxes).save(bundle)
    clip = write_clip(tmp_path / "clips" / "a.mp4", 1)
    picture = place / "frames" / still_name(clip.as_posix(), 0.0)
    [(_, image)] = read_stills(clip.as_posix(), [0.0])
    write_jpeg(picture, image)
    height, width = image.shape[:2]
    digest = content_hash(read_image(picture))
    known = Sample(digest, picture.as_posix(), width, height, digest)
    open_catalog(place, create=True).add_samples([known])
    predict_video(config_of(bundle, clip, catalog=str(place)), tmp_path / "run")
    assert open_catalog(place).samples() == [known]


def test_of_classes_that_shut_each_other_out_one_is_there() -> None:
    scores = {"3": 0.28, "0": 0.26, "8": 0.26}
    records = [
        {"task": "classification", "label": label, "score": score, "assumed": label == "3"}
        for label, score in scores.items()
    ]
    limits = {"classification": dict.fromkeys(scores, 0.0)}
    said = proposals_of("a.png", records, limits, "model")
    assert [one.label for one in said] == ["3", "0", "8"]
    assert [np.float32(one.score) >= np.float32(one.threshold) for one in said] == [
        True,
        False,
        False,
    ]
    assert (said[0].threshold, said[1].threshold) == (0.0, 0.28)
    assert one_class([said], [])  # so the review page lets one be ticked


def test_embeddings_of_a_backbone_that_has_learned_since_are_not_mixed_in(
    two_heads: Path, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = predicted(two_heads, scenes, tmp_path)
    assert len(catalog.embedded()) == 4
    torch.manual_seed(7)
    moved = build_backbone("mobilenetv4_conv_small_035", weights="random").freeze().eval()
    Predictor(moved, None, classification_part(threshold=0.4, size=(48, 64))).save(tmp_path / "b")
    write_picture(tmp_path / "more" / "new.png", photo(9))
    place = tmp_path / "catalog"
    config = predict_config(tmp_path / "b", tmp_path / "more", catalog=str(place))
    predict(config, tmp_path / "run2")
    again = open_catalog(place)
    assert (len(again.samples()), len(again.embedded())) == (5, 4)
    assert "another backbone" in capsys.readouterr().out
    # The first one's still come.
    config = predict_config(two_heads, tmp_path / "more", catalog=str(place))
    predict(config, tmp_path / "run3")
    assert len(open_catalog(place).embedded()) == 5
