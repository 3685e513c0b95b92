"""Videos of which a stretch in the middle is destroyed, as `predict_video` tells of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.inference.test_gaps import SAID, destroyed
from tests.jobs.test_predict_video import config_of, problems_of, rows_of, stop_and_go_on
from visionkit.cli import main
from visionkit.jobs.predict_video import predict_video


@pytest.fixture(scope="module")
def bundle(trained_heads: Path) -> Path:
    return trained_heads


def test_a_destroyed_stretch_is_an_error_and_gives_the_exit_status(
    bundle: Path, tmp_path: Path
) -> None:
    video, run = destroyed(tmp_path / "damaged.mkv", 32, 58), tmp_path / "run"
    words = [f"bundle={bundle}", f"source={video}", "every=5", "accelerator=cpu", f"output={run}"]
    assert main(["predict_video", *words]) == 3
    ((level, reason),) = (each for each in problems_of(run) if each[1].startswith(SAID))
    assert level == "error"
    assert "the first between 3.20 s and" in reason
    assert json.loads((run / "run.json").read_text())["unread"] == 1


@pytest.mark.parametrize("stop_after", [4, 12])  # before and behind the gap
def test_a_stopped_run_tells_of_a_gap_once(
    stop_after: int, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(bundle, destroyed(tmp_path / "damaged.mkv", 32, 58))
    predict_video(config, tmp_path / "whole")
    assert sum(reason.startswith(SAID) for _, reason in problems_of(tmp_path / "whole")) == 1

    stop_and_go_on(config, tmp_path / "run", stop_after, monkeypatch)
    assert problems_of(tmp_path / "run") == problems_of(tmp_path / "whole")
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")
