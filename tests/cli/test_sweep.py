from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Job, record
from visionkit.cli import main

SWEEP = ["train", "-m", "task=exemplar", "seed=1,2,3"]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def only_sweep() -> Path:
    (folder,) = Path("runs/exemplar/sweeps").iterdir()
    return folder


def test_every_combination_has_a_folder_and_a_row(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SWEEP, "trainer.patience=4,5"]) == 0
    sweep = only_sweep()
    assert [call[0].seed for call in job.calls] == [1, 1, 2, 2, 3, 3]
    assert [call[0].trainer.patience for call in job.calls] == [4, 5, 4, 5, 4, 5]
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == [
        f"{n}_seed={n // 2 + 1},patience={4 + n % 2}" for n in range(6)
    ]
    table = rows(sweep)
    assert [row["seed"] for row in table] == ["1", "1", "2", "2", "3", "3"]
    assert list(table[0]) == [
        "run",
        "seed",
        "trainer.patience",
        "status",
        "seconds",
        "ap50",
        "false_alarms",
    ]
    assert [(row["ap50"], row["false_alarms"]) for row in table] == [("0.5", "")] * 6
    out = capsys.readouterr().out
    assert "ap50" in out
    assert str(sweep / "sweep.csv") in out


def test_nothing_runs_where_one_combination_can_not(job: Job, capsys: Any) -> None:
    assert main(["train", "-m", "task=exemplar", "seed=1,-1"]) == 2
    assert "seed must be at least 0, got -1" in capsys.readouterr().err
    assert job.calls == []
    assert not Path("runs").exists()


def test_one_failing_run_does_not_end_the_others(job: Job, capsys: Any) -> None:
    def fail(config: Any, folder: Path) -> None:
        if config.seed == 2:
            raise ValueError("no picture left")

    job.action = fail
    assert main(SWEEP) == 1
    assert [row["status"] for row in rows(only_sweep())] == ["finished", "failed", "finished"]
    assert "failed: no picture left" in capsys.readouterr().out


def test_a_stopped_sweep_goes_on_where_it_stopped(job: Job, capsys: Any) -> None:
    def stop(config: Any, folder: Path) -> None:
        (folder / "half").touch()
        if config.seed == 2:
            raise KeyboardInterrupt

    job.action = stop
    assert main(SWEEP) == 130
    sweep = only_sweep()
    assert f"go on with: visionkit train -m resume={sweep}" in capsys.readouterr().err
    job.action = lambda config, folder: None
    assert main(["train", "-m", f"resume={sweep}"]) == 0
    assert [call[0].seed for call in job.calls] == [1, 2, 2, 3]
    assert "run 1 of 3: task=exemplar seed=1: finished earlier, skipped" in capsys.readouterr().out
    again, folder = job.calls[2]
    assert again.resume == str(folder)
    assert (folder / "half").exists()
    assert [row["status"] for row in rows(sweep)] == ["finished"] * 3


def test_a_sweep_into_the_same_folder_runs_only_what_is_new(job: Job) -> None:
    assert main(["train", "-m", "task=exemplar", "seed=1,2", "output=out"]) == 0
    assert main(["train", "-m", "task=exemplar", "seed=2,1,5", "output=out"]) == 0
    assert [call[0].seed for call in job.calls] == [1, 2, 5]
    assert [row["seed"] for row in rows(Path("out"))] == ["2", "1", "5"]
    assert main(["train", "-m", "task=exemplar", "seed=1,2", "output=out", "overwrite=true"]) == 0
    assert [call[0].seed for call in job.calls] == [1, 2, 5, 1, 2]
    assert main(["train", "-m", "task=exemplar", "seed=1,2", "output=out", "overwrite=True"]) == 0
    assert [call[0].seed for call in job.calls] == [1, 2, 5, 1, 2, 1, 2]


def test_a_run_of_a_sweep_is_not_replaced_where_another_uses_it(job: Job, capsys: Any) -> None:
    job.action = lambda config, folder: (folder / "1.jpg").touch()
    Path("first").symlink_to("out/0_source=s")
    words = ["predict", "-m", "bundle=b", "source=s,first/1.jpg", "output=out"]
    assert main(words) == 0
    first, second = (path for path in sorted(Path("out").iterdir()) if path.is_dir())
    (second / "mine").touch()
    assert main([*words, "overwrite=true"]) == 2
    said = capsys.readouterr().err
    assert f"but source=first/1.jpg lies in {first} and overwrite=true would" in said
    assert (first / "1.jpg").exists()
    assert (second / "mine").exists()
    assert len(job.calls) == 2
    # What is only added to the sweep deletes nothing.
    assert main(["predict", "-m", f"bundle={first}", "source=t", "output=out"]) == 0


def test_the_folder_of_something_else_is_not_taken_for_a_sweep(job: Job, capsys: Any) -> None:
    Path("photos").mkdir()
    Path("photos/cat.jpg").touch()
    assert main([*SWEEP, "output=photos"]) == 2
    assert "output=photos must be the folder of a sweep" in capsys.readouterr().err
    assert main(["train", "-m", "resume=photos"]) == 2
    assert job.calls == []


def test_a_sweep_needs_its_flag_to_be_resumed(job: Job, capsys: Any) -> None:
    assert main([*SWEEP, "output=out"]) == 0
    assert main(["train", "resume=out"]) == 2
    assert "it is a sweep: add -m" in capsys.readouterr().err


def test_each_run_of_a_sweep_is_a_run(job: Job) -> None:
    assert main(SWEEP) == 0
    for config, folder in job.calls:
        assert record(folder)["overrides"] == ["task=exemplar", f"seed={config.seed}"]
        assert (folder / "config.yaml").is_file()
