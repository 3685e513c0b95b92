"""`engine=auto` in jobs that see enough pictures for a conversion to pay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clips import write_clip
from tests.jobs.conftest import Scenes, evaluate_config, predict_config
from tests.jobs.test_predict_video import config_of, eager_writer, rows_of
from visionkit.inference.converted import NAME
from visionkit.inference.engines.choice import is_installed
from visionkit.inference.video.many import Asking, Watcher
from visionkit.inference.video.pieces import cut
from visionkit.inference.video.pipeline import predict_batches
from visionkit.inference.video.reader import Reading
from visionkit.inference.video.sampling import Every, KeyFrames, Rate, Sampling
from visionkit.jobs import predict_video as job
from visionkit.jobs import quickest
from visionkit.jobs.evaluate import evaluate
from visionkit.jobs.predict import predict
from visionkit.jobs.predict_video import _frames, predict_video

pytestmark = pytest.mark.skipif(
    not is_installed("openvino"), reason="needs the extra: pip install 'visionkit[openvino]'"
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames, ten a second."""
    return write_clip(tmp_path_factory.mktemp("clips") / "a.mp4", 24)


def pays_from(count: int, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(quickest, "WORTH_PICTURES", count)
    patch.setattr(job, "WORTH_PICTURES", count)


def engine_of(folder: Path) -> str:
    """The engine that the rows of a run were made with."""
    import pyarrow.parquet as pq

    metadata = pq.read_schema(folder / "predictions.parquet").metadata
    return str(json.loads(metadata[b"visionkit.settings"])["engine"])


@pytest.mark.parametrize(
    ("changes", "engine"),
    [({}, NAME), ({"every": 3}, "torch"), ({"engine": "torch"}, "torch")],
)
def test_enough_frames_are_seen_by_openvino(
    changes: dict[str, Any],
    engine: str,
    trained_heads: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pays_from(20, monkeypatch)
    predict_video(config_of(trained_heads, clip, **changes), tmp_path / "run")
    assert engine_of(tmp_path / "run") == engine
    assert ("agree with torch's" in capsys.readouterr().out) == (engine == NAME)
    assert not list(trained_heads.glob("engines*"))


@pytest.mark.parametrize(("first", "then"), [(20, 300), (300, 20)])
def test_a_run_that_goes_on_stays_with_its_engine(
    first: int,
    then: int,
    trained_heads: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopping(*args: Any, **own: Any) -> Any:
        for count, batch in enumerate(predict_batches(*args, **own)):
            yield batch
            if count == 2:
                raise KeyboardInterrupt

    config = config_of(trained_heads, clip, batch_size=2)
    pays_from(first, monkeypatch)
    predict_video(config, tmp_path / "whole")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        eager_writer(patched)
        patched.setattr(job, "predict_batches", stopping)
        predict_video(config, tmp_path / "run")
    pays_from(then, monkeypatch)
    predict_video(config, tmp_path / "run")
    assert engine_of(tmp_path / "run") == (NAME if first == 20 else "torch")
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")


def test_what_can_not_be_converted_stays_with_torch_and_that_is_said(
    trained_heads: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pays_from(20, monkeypatch)
    (tmp_path / "file").touch()
    monkeypatch.setenv("VISIONKIT_CACHE", str(tmp_path / "file"))
    predict_video(config_of(trained_heads, clip), tmp_path / "run")
    assert engine_of(tmp_path / "run") == "torch"
    assert "is run by torch, not by OpenVINO: " in capsys.readouterr().out


def test_pictures_are_counted(
    finished_bundle: Path, scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count, engine in ((4, NAME), (5, "torch")):
        pays_from(count, monkeypatch)
        run = tmp_path / str(count)
        predict(predict_config(finished_bundle, scenes.folder / "*.png", draw=False), run)
        assert engine_of(run) == engine


def test_an_evaluation_says_its_engine(
    finished_bundle: Path, scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for count in (1, 300):
        pays_from(count, monkeypatch)
        run = tmp_path / str(count)
        run.mkdir()
        found.append(evaluate(evaluate_config(finished_bundle, scenes.folder), run).metrics)
        engine = NAME if count == 1 else "torch"
        assert f"engine: {engine}" in (run / "report.html").read_text("utf-8")
    first, second = ({key: value for key, value in one.items() if "ap" in key} for one in found)
    assert first
    assert first == pytest.approx(second, abs=0.02)


def test_a_process_of_many_takes_the_conversion(trained_heads: Path, clip: Path) -> None:
    pieces = cut(str(clip), Reading(), 60)
    told = []
    for is_converted in (True, False):
        engine = NAME if is_converted else "torch"
        asking = Asking(str(trained_heads), device="cpu", engine=engine, is_converted=is_converted)
        watcher = Watcher(pieces, asking)
        assert watcher._predictor.engine == engine
        (text,) = watcher({"place": [0]})["text"]
        told.append(json.loads(text)["lines"])
    assert [len(line["finds"]) for line in told[0]] == [len(line["finds"]) for line in told[1]]


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [(Every(1), 24), (Every(4), 6), (Rate(5), 12), (Rate(99), 24), (KeyFrames(), 1)],
)
def test_frames_are_counted_beforehand(sampling: Sampling, expected: float, clip: Path) -> None:
    found = _frames([str(clip)], Reading(sampling), 1e9)
    assert found == pytest.approx(expected, abs=0.5)
    assert _frames([str(clip), "gone.mp4"], Reading(sampling), 1e9) == found
    assert _frames(["rtsp://camera/1"], Reading(sampling), 1e9) > 1e9
