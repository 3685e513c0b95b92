"""Monitoring as cron calls it: a reference in the bundle, verdicts by exit status, the queue."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.clips import write_clip
from tests.jobs.conftest import write_broken, write_picture
from tests.worlds import classification_part, localization_part, photo, whole_backbone
from visionkit.cli import main
from visionkit.cli.compose import compose
from visionkit.config.monitoring import MonitorConfig
from visionkit.data.images import content_hash, read_image
from visionkit.flywheel.catalog import open_catalog
from visionkit.flywheel.queue.build import QueueSettings, build_queue
from visionkit.flywheel.queue.carriers import read_carriers, write_carriers
from visionkit.inference.predictor import Predictor
from visionkit.jobs import monitor as monitor_module
from visionkit.jobs.drift_files import write_drift_files
from visionkit.jobs.live import source_pictures
from visionkit.jobs.monitor import monitor
from visionkit.models.bundle import put_into_bundle
from visionkit.monitoring.page import DriftPage
from visionkit.monitoring.reference import read_reference
from visionkit.monitoring.windows import add_window, read_windows
from visionkit.types import Image

COUNT = 40


def pictures(
    folder: Path, first: int, count: int, change: Callable[[Image], Image] = lambda image: image
) -> Path:
    for number in range(first, first + count):
        write_picture(folder / f"{number}.png", change(photo(number, 64, 96)))
    return folder


def dark(image: Image) -> Image:
    return (image * 0.4).astype(np.uint8)


def config(bundle: Path, *words: str) -> MonitorConfig:
    given = [f"bundle={bundle}", "permutations=199", "accelerator=cpu", *words]
    return compose("monitor", MonitorConfig, given).config


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle with a reference, and the folder in which pictures lie."""
    folder = tmp_path_factory.mktemp("monitor")
    bundle = folder / "bundle"
    Predictor(whole_backbone(), classification=classification_part()).save(bundle)
    usual = pictures(folder / "usual", 0, COUNT)
    monitor(config(bundle, f"reference={usual}", "keep_pictures=true"), folder)
    pictures(folder / "same", 300, COUNT)
    pictures(folder / "dark", COUNT, COUNT, dark)
    return bundle, folder


def test_pictures_like_the_reference_are_fine_and_dark_ones_are_to_be_acted_on(
    world: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle, folder = world
    words = ["permutations=199", "accelerator=cpu", f"history={tmp_path / 'history.jsonl'}"]
    same, off = (
        main(["monitor", f"bundle={bundle}", f"source={folder / name}", *words,
              f"output={tmp_path / name}"])
        for name in ("same", "dark")
    )  # fmt: skip
    assert (same, off) == (0, 5)
    fine = json.loads((tmp_path / "same" / "drift.json").read_text("utf-8"))
    assert (fine["verdict"], fine["carriers"]) == ("fine", [])
    told = json.loads((tmp_path / "dark" / "drift.json").read_text("utf-8"))
    found = {test["name"]: test for test in told["tests"] if test["corrected"] < 0.05}
    assert found["picture.brightness"]["live"] < found["picture.brightness"]["reference"]
    assert len(told["carriers"]) == 24
    gauges = (tmp_path / "dark" / "drift.prom").read_text("utf-8").splitlines()
    assert f'visionkit_drift_verdict{{bundle="{bundle}"}} 2' in gauges
    page = (tmp_path / "dark" / "drift.html").read_text("utf-8")
    assert page.count("data:image/jpeg") == 24 + 8
    windows = read_windows(tmp_path / "history.jsonl")
    assert [window.verdict for window in windows] == ["fine", "act"]
    assert "Over time" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_carriers_are_asked_about_first(world: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, _ = world
    live = pictures(tmp_path / "live", COUNT, 30)
    for number in range(90, 104):
        write_picture(live / f"strange{number}.png", np.flipud(dark(photo(number, 64, 96))))
    place = tmp_path / "catalog"
    open_catalog(place, create=True)
    words = [f"source={live}", f"catalog={place}", "queue=true", "culprits=14"]
    monitor(config(bundle, *words), tmp_path)
    strange = {content_hash(read_image(path)) for path in live.glob("strange*.png")}
    assert {*read_carriers(place)} == strange
    catalog = open_catalog(place)
    assert {sample.id for sample in catalog.samples()} == strange
    asked = build_queue(catalog, QueueSettings(drift=read_carriers(place)))
    reasons = [reason for each in asked for reason in each.reasons if reason.kind == "drift"]
    assert len(reasons) == 14
    assert all("brightness" in reason.words for reason in reasons)


def test_the_newest_pictures_of_a_catalog_are_looked_at(
    world: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle, folder = world
    place = tmp_path / "catalog"
    main(["predict", f"bundle={bundle}", f"source={folder / 'dark'}", f"catalog={place}",
          "accelerator=cpu", "draw=false", f"output={tmp_path / 'predicted'}"])  # fmt: skip
    summary = monitor(config(bundle, f"catalog={place}"), tmp_path)
    assert (summary.metrics["pictures"], summary.exit_status) == (COUNT, 5)
    with pytest.raises(ValueError, match="in the last 0 days, got none"):
        monitor(config(bundle, f"catalog={place}", "days=0"), tmp_path)


def test_pictures_of_a_catalog_in_which_nothing_was_found_are_live_too(tmp_path: Path) -> None:
    bundle, place = tmp_path / "bundle", tmp_path / "catalog"
    blind = localization_part(threshold=1.0, size=(48, 64))
    Predictor(whole_backbone(), localization=blind).save(bundle)
    monitor(config(bundle, f"reference={pictures(tmp_path / 'usual', 0, COUNT)}"), tmp_path)
    live = pictures(tmp_path / "live", 300, COUNT)
    main(["predict", f"bundle={bundle}", f"source={live}", f"catalog={place}",
          "accelerator=cpu", "draw=false", f"output={tmp_path / 'predicted'}"])  # fmt: skip
    assert not open_catalog(place).proposals()
    assert monitor(config(bundle, f"catalog={place}"), tmp_path).metrics["pictures"] == COUNT
    with pytest.raises(ValueError, match="in the last 0 days, got none"):
        monitor(config(bundle, f"catalog={place}", "days=0"), tmp_path)


def test_broken_pictures_are_told_and_the_rest_goes_on(
    world: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle, _ = world
    live = pictures(tmp_path / "live", COUNT, 25)
    write_broken(live / "broken.jpg")
    (live / "lost.mp4").symlink_to(tmp_path / "nowhere.mp4")
    summary = monitor(config(bundle, f"source={live}"), tmp_path)
    assert (summary.metrics["pictures"], summary.unread) == (25, 2)
    problems = (tmp_path / "problems.csv").read_text("utf-8")
    assert "broken.jpg" in problems
    assert "lost.mp4" in problems


def test_a_picture_that_goes_before_it_joins_the_queue_is_told(
    world: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, _ = world
    live = pictures(tmp_path / "live", COUNT, 20, dark)
    place = tmp_path / "catalog"
    open_catalog(place, create=True)
    gone: list[Path] = []

    def write_and_delete(folder: Path, page: DriftPage) -> None:
        write_drift_files(folder, page)
        gone.append(Path(page.carriers[0].name))
        gone[0].unlink()

    monkeypatch.setattr(monitor_module, "write_drift_files", write_and_delete)
    words = [f"source={live}", f"catalog={place}", "queue=true"]
    summary = monitor(config(bundle, *words), tmp_path / "run")
    assert summary.unread == 1
    assert str(gone[0]) in (tmp_path / "run" / "problems.csv").read_text("utf-8")
    asked = {Path(sample.uri) for sample in open_catalog(place).samples()}
    assert 0 < len(asked) == len(read_carriers(place))
    assert gone[0] not in asked


def test_frames_of_a_video_are_like_others_of_it_and_unlike_those_of_another_camera(
    shared_data: Path, tmp_path: Path
) -> None:
    bundle, clips = tmp_path / "bundle", shared_data / "video"
    Predictor(whole_backbone(), classification=classification_part()).save(bundle)
    cars = clips / "car-detection.mp4"
    monitor(config(bundle, f"reference={cars}", "frame_seconds=0.4"), tmp_path)
    assert len(read_reference(bundle).observed) == 76  # 30.2 s
    same = monitor(config(bundle, f"source={cars}", "frame_seconds=0.9"), tmp_path)
    assert (same.metrics["pictures"], same.exit_status) == (34, 0)
    people = clips / "pedestrian_survaillance.mp4"
    other = monitor(config(bundle, f"source={people}", "frame_seconds=0.25"), tmp_path)
    assert (other.metrics["pictures"], other.exit_status) == (33, 5)
    page = (tmp_path / "drift.html").read_text("utf-8")
    assert "pedestrian_survaillance.mp4 at 2.5 s" in page
    assert page.count("data:image/jpeg") == 24  # frames that carry it; those of cars aren't kept


def test_few_frames_are_spread_over_the_whole_video(tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{name}.mp4", 60) for name in "ab"]  # 6 s each
    pictures = list(source_pictures(str(tmp_path), most=10, frame_seconds=0.1))
    # 12 s and 10 frames, each video's first among them: one in 1.5 s, up to its end.
    for clip in clips:
        own = [one.name for one in pictures if one.name.startswith(str(clip))]
        times = [float(name.split()[-2]) for name in own]
        assert times == pytest.approx([0.0, 1.5, 3.0, 4.5, 6.0], abs=0.11)
    near = list(source_pictures(str(tmp_path), most=1000, frame_seconds=2.0))
    assert len(near) == 2 * 4


def test_frames_that_lie_near_have_names_of_their_own(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "short.mp4", 30, rate=30)
    looked = source_pictures(str(clip), most=1000, frame_seconds=0.03)
    names = [one.name for one in looked]
    assert len(names) == len({*names}) == len(looked.small) == 30


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 pictures and a GIF of three in a folder, and clips of 6 s there and further below."""
    folder = tmp_path_factory.mktemp("mixed")
    pictures(folder / "photos", 0, 30)
    still = [PillowImage.fromarray(photo(number, 30, 40)) for number in range(3)]
    still[0].save(folder / "photos/moves.gif", save_all=True, append_images=still[1:])
    (folder / "clips/day 1").mkdir(parents=True)
    write_clip(folder / "clips/day 1/a.mp4", 60)
    shutil.copytree(folder / "photos", folder / "both")
    shutil.copy(folder / "clips/day 1/a.mp4", folder / "both/b.MP4")
    return folder


@pytest.mark.parametrize(
    ("source", "most", "expected"),
    [  # pictures, and frames of clips: at 0, 2, 4 and 6 s
        ("photos", 1000, (31, 0)),  # of a GIF the first, as elsewhere
        ("photos/*.gif", 1000, (1, 0)),
        ("both", 1000, (31, 4)),
        ("both/*", 1000, (31, 4)),
        ("both/*.png", 1000, (30, 0)),
        ("both/*.MP4", 1000, (0, 4)),
        ("clips", 1000, (0, 4)),
        ("clips/day 1/*", 1000, (0, 4)),
        ("clips/day 1/a.mp4", 1000, (0, 4)),
        (".", 1000, (62, 8)),
        (".", 35, (31, 4)),  # half of both
        ("both", 8, (7, 1)),
        ("both", 2, (1, 1)),  # none of the two is passed over
    ],
)
def test_pictures_and_videos_of_a_folder_are_looked_at_together(
    mixed: Path, source: str, most: int, expected: tuple[int, int]
) -> None:
    names = [one.name for one in source_pictures(str(mixed / source), most=most, frame_seconds=2.0)]
    frames = [name for name in names if name.endswith(" s")]
    assert (len(names) - len(frames), len(frames)) == expected


def test_a_count_that_is_far_off_what_earlier_runs_foresee_is_watched(
    world: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle, folder = world
    history = tmp_path / "history.jsonl"
    words = [f"source={folder / 'same'}", f"history={history}", "season=1"]
    first = monitor(config(bundle, *words), tmp_path)
    assert first.exit_status == 0
    assert "counts_off" not in first.metrics
    seen = read_windows(history)[0]
    for day in range(20):
        add_window(history, replace(seen, time=f"day {day}"))
    usual = monitor(config(bundle, *words), tmp_path)
    assert (usual.exit_status, usual.metrics["counts_off"]) == (0, 0.0)
    history.unlink()
    others = {name: 1 - share for name, share in seen.counts.items()}
    for day in range(20):
        add_window(history, replace(seen, time=f"day {day}", counts=others))
    off = monitor(config(bundle, *words), tmp_path)
    assert off.exit_status == 4
    told = json.loads((tmp_path / "drift.json").read_text("utf-8"))
    assert (told["verdict"], told["carriers"]) == ("watch", [])
    assert [one["is_off"] for one in told["counts"]].count(True) == off.metrics["counts_off"] > 0
    page = (tmp_path / "drift.html").read_text("utf-8")
    assert "was foreseen at" in page
    assert "far off" in page
    assert "visionkit_drift_count_off{" in (tmp_path / "drift.prom").read_text("utf-8")
    assert read_windows(history)[-1].verdict == "watch"


def test_a_week_of_a_run_each_quarter_of_an_hour_is_foreseen(
    world: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle, folder = world
    history = tmp_path / "history.jsonl"
    words = [f"source={folder / 'same'}", f"history={history}", "season=672"]
    monitor(config(bundle, *words), tmp_path)
    history.write_text(history.read_text("utf-8") * (2 * 672 + 10), "utf-8")
    foreseen = monitor(config(bundle, *words), tmp_path)
    assert (foreseen.exit_status, foreseen.metrics["counts_off"]) == (0, 0.0)
    assert len(read_windows(history)) == 2 * 672 + 11
    assert (tmp_path / "drift.html").stat().st_size < 3e6  # of the charts' last 500 runs


def test_hopeless_input_gets_a_clear_answer(world: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, folder = world
    with pytest.raises(ValueError, match="at least 20 pictures to be compared, got 3"):
        monitor(config(bundle, f"source={pictures(tmp_path / 'three', 0, 3)}"), tmp_path)
    write_broken(tmp_path / "broken" / "0.jpg")
    with pytest.raises(ValueError, match="got 0"):
        monitor(config(bundle, f"source={tmp_path / 'broken'}"), tmp_path)
    with pytest.raises(ValueError, match="source or catalog must say"):
        monitor(config(bundle), tmp_path)
    with pytest.raises(ValueError, match="catalog must be given"):
        monitor(config(bundle, f"source={folder / 'same'}", "queue=true"), tmp_path)
    with pytest.raises(ValueError, match="must have at least 20 pictures that can be read, got 3"):
        monitor(config(bundle, f"reference={tmp_path / 'three'}"), tmp_path)
    empty = tmp_path / "bundle"
    Predictor(whole_backbone(), classification=classification_part()).save(empty)
    with pytest.raises(FileNotFoundError, match=r"none .*; make one .*reference=FOLDER"):
        monitor(config(empty, f"source={folder / 'same'}"), tmp_path)
    other = Predictor(whole_backbone(), classification=classification_part(size=(64, 64)))
    other.save(empty, overwrite=True)
    source = bundle / "drift"
    put_into_bundle(
        empty, "drift", lambda to: shutil.copytree(source, to, dirs_exist_ok=True) and None
    )
    with pytest.raises(ValueError, match="own backbone and framing"):
        monitor(config(empty, f"source={folder / 'same'}"), tmp_path)


def test_a_reference_comes_back_as_it_was_kept_and_travels_with_the_bundle(
    world: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle, folder = world
    kept = read_reference(bundle)
    assert len(kept.observed) == len(kept.pictures) == COUNT
    assert kept.observed.embeddings.shape == (COUNT, whole_backbone().pooled_channels)
    assert kept.names == {"classification": ["cat", "dog", "none of both"]}
    assert kept.observed.names[0] == (folder / "usual" / "0.png").as_posix()
    Predictor.load(bundle, device="cpu").save(tmp_path / "again")
    again = read_reference(tmp_path / "again")
    assert again.pictures == kept.pictures
    for name, values in kept.observed.numbers.items():
        np.testing.assert_array_equal(again.observed.numbers[name], values)


def test_carriers_of_a_damaged_file_are_an_error(tmp_path: Path) -> None:
    assert read_carriers(tmp_path) == {}
    write_carriers(tmp_path, {"a": "why"})
    assert read_carriers(tmp_path) == {"a": "why"}
    (tmp_path / "drift.json").write_text("[", "utf-8")
    with pytest.raises(ValueError, match="delete it"):
        read_carriers(tmp_path)
    with pytest.raises(ValueError, match="must be a folder"):
        write_carriers("s3://bucket/catalog", {})


def test_two_files_of_one_picture_are_asked_about_once(
    world: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, _ = world
    live = pictures(tmp_path / "live", COUNT, 20, dark)
    for path in [*live.glob("*.png")]:
        shutil.copy(path, path.with_name(f"again{path.name}"))
    place = tmp_path / "catalog"
    open_catalog(place, create=True)
    monitor(config(bundle, f"source={live}", f"catalog={place}", "queue=true"), tmp_path)
    samples = open_catalog(place).samples()
    assert 0 < len(samples) <= 20
    assert {*read_carriers(place)} == {sample.id for sample in samples}
    assert "Frames of videos" not in capsys.readouterr().out
