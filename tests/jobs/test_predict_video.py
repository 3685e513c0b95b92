from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import pyarrow.parquet as pq
import pytest

from tests.clips import write_clip
from visionkit.cli import main
from visionkit.config import PredictVideoConfig
from visionkit.inference import part_files
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.many import Asking
from visionkit.inference.video.pieces import Piece, Seen, watch
from visionkit.inference.video.pipeline import predict_batches
from visionkit.inference.video.records import VIDEO_SCHEMA, VideoWriter
from visionkit.jobs import predict_video as job
from visionkit.jobs.predict_video import predict_video
from visionkit.jobs.sightings import Sightings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bundle(trained_heads: Path) -> Path:
    """A bundle with the two trained heads; not to be changed."""
    return trained_heads


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two clips of 24 and 17 frames."""
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "a.mp4", 24)
    write_clip(folder / "b.mkv", 17)
    return folder


def config_of(bundle: Path, source: Path | str, **changes: object) -> PredictVideoConfig:
    values: dict[str, object] = {"bundle": str(bundle), "source": str(source), "tasks": None}
    values |= {"every": 1, "fps": None, "keyframes": False, "start": None, "end": None}
    values |= {"batch_size": 4, "score_threshold": None, "decoder_threads": 1, "timeout": 30.0}
    values |= {"track": False, "gap_seconds": 1.0, "timeline": False, "annotate": False}
    values |= {"crops": False, "unsure": 0, "catalog": None}
    values |= {"compute": "local", "workers": None, "piece_seconds": 60.0, "address": None}
    values |= {"engine": "auto", "reuse": 0.0}
    values |= {"accelerator": "cpu", "output": None, "overwrite": False, "resume": None}
    return PredictVideoConfig(**({**values, "debug": False} | changes))  # type: ignore[arg-type]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "predictions.parquet").to_pylist()
    lines = (folder / "predictions.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == len(rows)
    for line, row in zip(map(json.loads, lines), rows, strict=True):
        assert (line["video"], line["frame"]) == (row["video"], row["frame"])
    return rows


def frames_of(folder: Path) -> list[tuple[str, int]]:
    """Video and index of the frames with a row, in the order of the rows, each once."""
    return list(dict.fromkeys((Path(r["video"]).name, r["frame"]) for r in rows_of(folder)))


def test_screen_time_of_key_frames_ends_with_the_video(bundle: Path, tmp_path: Path) -> None:
    # Key frames at 0, 5 and 10 of 12.5 seconds, and one alone in 6 seconds.
    write_clip(tmp_path / "in" / "long.mp4", 125, key_every=50)
    write_clip(tmp_path / "in" / "short.mp4", 60, key_every=250)
    for end, expected in ((None, [12.5, 6.0]), (11.0, [11.0, 6.0]), (4.0, [4.0, 4.0])):
        run = tmp_path / f"run_{end}"
        predict_video(config_of(bundle, tmp_path / "in", keyframes=True, end=end), run)
        with (run / "intervals.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["task"] == "classification"]
        ends = {row["video"]: float(row["end"]) for row in rows if row["name"] == "cat"}
        assert [ends[video] for video in sorted(ends)] == pytest.approx(expected, abs=2e-3)


def test_a_row_a_find_with_frame_and_time(
    bundle: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = predict_video(config_of(bundle, clips), tmp_path / "run")
    rows = rows_of(tmp_path / "run")
    schema = pq.read_schema(tmp_path / "run" / "predictions.parquet")
    assert schema.remove_metadata() == VIDEO_SCHEMA
    expected = [("a.mp4", n) for n in range(24)] + [("b.mkv", n) for n in range(17)]
    assert frames_of(tmp_path / "run") == expected
    for row in rows:
        assert row["time"] == pytest.approx(row["frame"] / 10)
        assert (row["width"], row["height"]) == (128, 96)
        assert (row["box"] is None) == (row["task"] == "classification")
        assert row["track"] is None
    assert len({row["model"] for row in rows}) == 1
    predictor = Predictor.load(bundle, device="cpu")
    for answer in predictor.video(clips / "a.mp4", batch_size=4):
        mine = [r for r in rows if r["frame"] == answer.index and r["video"].endswith("a.mp4")]
        boxes = [r["box"] for r in mine if r["task"] == "localization"]
        assert answer.prediction.localization is not None
        assert len(boxes) == len(answer.prediction.localization)
    assert summary.metrics["frames"] == 41
    assert summary.metrics["finds"] == sum(row["assumed"] is not False for row in rows)
    assert summary.unread == 0
    assert not (tmp_path / "run" / "parts").exists()
    said = capsys.readouterr().out
    assert "in 41 frames" in said
    assert "Objects located" in said


def test_what_is_made_of_the_frames_when_all_are_seen(
    bundle: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trackers", reason="tracks need the package trackers")
    plain, folder = tmp_path / "plain", tmp_path / "run"
    predict_video(config_of(bundle, clips), plain)
    made = {"track": None, "timeline": True, "annotate": True, "crops": True, "unsure": 3}
    predict_video(config_of(bundle, clips, **made), folder)
    assert frames_of(folder) == frames_of(plain)
    rows = rows_of(folder)
    assert {row["task"] for row in rows if row["track"] is not None} == {"localization"}
    assert all(row["track"] is not None for row in rows if row["task"] == "localization")
    intervals = list(csv.DictReader((folder / "intervals.csv").read_text("utf-8").splitlines()))
    assert {Path(one["video"]).name for one in intervals} == {"a.mp4", "b.mkv"}
    seen = {row["label"] for row in rows if row["assumed"] is not False}
    assert {one["name"] for one in intervals} == seen
    page = (folder / "timeline.html").read_text("utf-8")
    assert "a.mp4" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    drawn = sorted(path.name[:2] for path in (folder / "annotated").iterdir())
    assert drawn == ["a_", "b_"]
    assert len(list((folder / "unsure").glob("*.jpg"))) == 3
    assert list((folder / "crops").glob("*.jpg"))
    said = capsys.readouterr().out
    assert f"timeline: {folder / 'timeline.html'}" in said


def test_without_the_package_finds_are_not_tracked_and_that_is_said(
    bundle: Path,
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    predict_video(config_of(bundle, clips / "b.mkv", track=None), tmp_path / "run")
    assert "pip install --no-deps trackers" in capsys.readouterr().out
    assert {row["track"] for row in rows_of(tmp_path / "run")} == {None}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"every": 6}, [0, 6, 12, 18]),
        ({"fps": 2.0}, [0, 5, 10, 15, 20]),
        ({"keyframes": True}, [0, 10, 20]),
        ({"start": 0.95, "end": 1.2}, [10, 11]),
        ({"start": 99.0}, []),
    ],
)
def test_sampling(
    options: dict[str, Any], expected: list[int], bundle: Path, clips: Path, tmp_path: Path
) -> None:
    predict_video(config_of(bundle, clips / "a.mp4", **options), tmp_path / "run")
    assert [frame for _, frame in frames_of(tmp_path / "run")] == expected


def test_two_ways_to_choose_frames(bundle: Path, clips: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one way, got every=2 and fps=1"):
        predict_video(config_of(bundle, clips, every=2, fps=1.0), tmp_path / "run")


def test_what_cannot_be_read_is_said_and_the_rest_goes_on(
    bundle: Path, clips: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.mp4").write_bytes((clips / "a.mp4").read_bytes())
    (folder / "readme.txt").write_text("not a video")
    (folder / "text.mp4").write_text("not a video")
    (folder / "zero.mp4").touch()
    whole = write_clip(folder / "cut.mp4", 40, options={"movflags": "faststart"})
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    summary = predict_video(config_of(bundle, folder), tmp_path / "run")
    frames = frames_of(tmp_path / "run")
    assert [frame for name, frame in frames if name == "a.mp4"] == list(range(24))
    assert 5 < sum(name == "cut.mp4" for name, _ in frames) < 40
    with (tmp_path / "run" / "problems.csv").open(encoding="utf-8") as file:
        said = {(Path(row["file"]).name, row["level"]) for row in csv.DictReader(file)}
    assert {("cut.mp4", "error"), ("text.mp4", "error"), ("zero.mp4", "error")} <= said
    assert ("readme.txt", "warning") in said
    assert summary.unread == 3


def test_nothing_that_can_be_read(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(ValueError, match="at least one video must be readable, got none of 1"):
        predict_video(config_of(bundle, tmp_path / "text.mp4"), tmp_path / "run")
    assert (tmp_path / "run" / "problems.csv").is_file()
    assert not (tmp_path / "run" / "predictions.jsonl").exists()


def eager_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the job write a part file for every batch."""

    class Eager(VideoWriter):
        def __init__(self, *args: Any, **own: Any) -> None:
            super().__init__(*args, **own, part_frames=1)

    monkeypatch.setattr(job, "VideoWriter", Eager)


@pytest.mark.parametrize("options", [{}, {"fps": 4.0}, {"every": 3, "start": 0.3}])
@pytest.mark.parametrize("stop_after", [1, 5])
def test_a_stopped_run_goes_on_behind_the_last_frame(
    options: dict[str, Any],
    stop_after: int,
    bundle: Path,
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = config_of(bundle, clips, batch_size=2, **options)
    predict_video(config, tmp_path / "whole")
    batches = 0

    def stopping(*args: Any, **own: Any) -> Any:
        nonlocal batches
        for batch in predict_batches(*args, **own):
            yield batch
            batches += 1
            if batches == stop_after:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        eager_writer(patched)
        patched.setattr(job, "predict_batches", stopping)
        predict_video(config, tmp_path / "run")
    assert not (tmp_path / "run" / "predictions.jsonl").exists()
    predict_video(config, tmp_path / "run")
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")


def damaged_clip(path: Path) -> Path:
    """A video of 60 frames, of which 12, 13 and 35 hold nothing that could be decoded."""
    write_clip(path, 60, codec="mpeg4", key_every=10)
    with av.open(str(path)) as container:
        packets = [(each.pos, each.size) for each in container.demux(video=0) if each.size]
    content = bytearray(path.read_bytes())
    for number in (12, 13, 35):
        place, size = packets[number]
        content[place : place + size] = bytes(size)
    path.write_bytes(content)
    return path


def problems_of(folder: Path) -> list[tuple[str, str]]:
    with (folder / "problems.csv").open(encoding="utf-8", newline="") as file:
        return [(row["level"], row["reason"]) for row in csv.DictReader(file)]


def stop_and_go_on(
    config: PredictVideoConfig, run: Path, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs over one damaged video, stopped after so many batches, then to its end."""

    def stopping(*args: Any, **own: Any) -> Any:
        for number, batch in enumerate(predict_batches(*args, **own)):
            if number == stop_after:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(job, "predict_batches", stopping)
        predict_video(config, run)
    assert predict_video(config, run).unread == 1


def test_what_was_lost_is_told_once_where_the_video_is_drawn_too(
    bundle: Path, tmp_path: Path
) -> None:
    config = config_of(bundle, damaged_clip(tmp_path / "damaged.mp4"), annotate=True)
    predict_video(config, tmp_path / "run")
    assert len(problems_of(tmp_path / "run")) == 1


@pytest.mark.parametrize("stop_after", [2, 4, 9])  # before, between and behind the damage
def test_a_stopped_run_tells_what_it_lost_before_it_was_stopped(
    stop_after: int, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(bundle, damaged_clip(tmp_path / "damaged.mp4"))
    assert predict_video(config, tmp_path / "whole").unread == 1
    ((level, reason),) = problems_of(tmp_path / "whole")
    assert (level, "3, the first at 1.20 s" in reason) == ("error", True)

    stop_and_go_on(config, tmp_path / "run", stop_after, monkeypatch)
    assert problems_of(tmp_path / "run") == problems_of(tmp_path / "whole")
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")


def test_a_stopped_run_of_many_processes_tells_what_it_lost(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(
        bundle, damaged_clip(tmp_path / "damaged.mp4"), compute="ray", piece_seconds=1.0
    )
    predictor = Predictor.load(bundle, device="cpu")

    def here(pieces: Sequence[Piece], asking: Asking, **_: object) -> Iterator[Seen]:
        """As many processes would answer, one after the other."""
        return (watch(predictor, piece, asking.tasks, batch_size=4) for piece in pieces)

    def stopping(*args: Any, **own: Any) -> Iterator[Seen]:
        yield from itertools.islice(here(*args, **own), 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "watch_many", here)
    assert predict_video(config, tmp_path / "whole").unread == 1
    assert [reason.split(";")[0] for _, reason in problems_of(tmp_path / "whole")] == [
        "frames must be decodable, got damaged data: 2, the first at 1.20 s",
        "frames must be decodable, got damaged data: 1, the first at 3.50 s",
    ]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(job, "watch_many", stopping)
        predict_video(config, tmp_path / "run")
    assert predict_video(config, tmp_path / "run").unread == 1
    assert problems_of(tmp_path / "run") == problems_of(tmp_path / "whole")
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")


def test_a_killed_run_goes_on(bundle: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mp4", 120, rate=30, key_every=30)
    words = [f"bundle={bundle}", f"source={source}", "batch_size=2", "accelerator=cpu"]
    code = (
        "import sys; from visionkit.inference.video.records import VideoWriter;"
        "VideoWriter.__init__.__kwdefaults__['part_frames'] = 8;"
        "from visionkit.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    run = tmp_path / "run"
    command = [sys.executable, "-c", code, "predict_video", *words, f"output={run}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(list(run.glob("parts/0*.jsonl"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (run / "predictions.jsonl").exists()
    assert main(["predict_video", *words, f"output={run}"]) == 0  # the same words go on with it
    assert main(["predict_video", *words, f"output={tmp_path / 'whole'}"]) == 0
    assert rows_of(run) == rows_of(tmp_path / "whole")
    assert [frame for _, frame in frames_of(run)] == list(range(120))


def test_a_finished_run_is_left_as_it_is(
    bundle: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["predict_video", f"bundle={bundle}", f"source={clips / 'a.mp4'}", f"output={run}"]
    words += ["keyframes=true", "accelerator=cpu"]
    assert main(words) == 0
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
    capsys.readouterr()
    for again in (words, ["predict_video", f"resume={run}"]):
        assert main(again) == 0
        assert "finished; overwrite=true" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*")} == before
    assert main([*words, "tasks=[classification]"]) == 2  # another run is no repetition
    assert "holds a run already" in capsys.readouterr().err
    assert main([*words, "overwrite=true"]) == 0
    assert (run / "predictions.jsonl").stat().st_mtime_ns > before[run / "predictions.jsonl"]
    # Killed after the last row, before the record of the run was closed: it is finished, too.
    record = json.loads((run / "run.json").read_text()) | {"status": "running"}
    (run / "run.json").write_text(json.dumps(record))
    assert main(words) == 0
    assert "holds finished predictions" in capsys.readouterr().out


def test_the_exit_status_tells_that_something_could_not_be_read(
    bundle: Path, clips: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes((clips / "a.mp4").read_bytes())
    (tmp_path / "in" / "zero.mp4").touch()
    words = [f"bundle={bundle}", f"source={tmp_path / 'in'}", "keyframes=true", "accelerator=cpu"]
    assert main(["predict_video", *words, f"output={tmp_path / 'run'}"]) == 3
    assert json.loads((tmp_path / "run" / "run.json").read_text())["unread"] == 1


def test_a_stopped_run_is_not_gone_on_with_in_another_way(
    bundle: Path, clips: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    VideoWriter(run, settings={"sampling": "Every(count=2)"}, model="m")
    with pytest.raises(ValueError, match="its own settings, got another"):
        predict_video(config_of(bundle, clips), run)


def test_a_full_disk_is_said_and_the_run_can_go_on(
    bundle: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(bundle, clips / "a.mp4")

    def full(*args: Any, **own: Any) -> Any:
        raise RuntimeError("the disk is full: free some space")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="disk is full"):
        patched.setattr(part_files, "atomic_path", full)
        predict_video(config, tmp_path / "run")
    predict_video(config, tmp_path / "run")
    assert frames_of(tmp_path / "run") == [("a.mp4", n) for n in range(24)]


def test_sightings_count_frames_once_and_leave_out_what_is_not_assumed() -> None:
    sightings = Sightings()
    for time_, name, assumed in ((0.0, "a", None), (0.0, "a", None), (1.5, "a", None)):
        sightings.see({"video": "v", "time": time_, "task": "exemplar", "item": name})
        sightings.see(
            {
                "video": "v",
                "time": time_,
                "task": "classification",
                "label": "c",
                "assumed": assumed,
            }
            | {"assumed": False}
        )
    ((key, found),) = sightings.found.items()
    assert key == ("exemplar", "a")
    assert (found.finds, found.frames, found.videos) == (3, 2, 1)
    assert (found.first, found.last) == (("v", 0.0), ("v", 1.5))
