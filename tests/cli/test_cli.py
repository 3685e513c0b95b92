"""What a user sees of the command line, with a job that only writes a file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Job, record
from visionkit.cli import main
from visionkit.cli.commands import COMMANDS
from visionkit.cli.describe import conf_folder
from visionkit.config import GalleryConfig, TrainConfig

ROOT = conf_folder().parent


def test_no_words_list_the_commands_and_are_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out = capsys.readouterr().out
    for name in (
        "train",
        "evaluate",
        "predict",
        "predict_video",
        "export",
        "gallery",
        "merge",
        "versions",
        "check",
    ):
        assert f"\n  {name} " in out


@pytest.mark.parametrize(
    "name",
    ["train", "evaluate", "predict", "predict_video", "export", "gallery", "merge", "versions"],
)
def test_help_lists_every_key_with_its_sentence(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: visionkit {name}" in out
    assert "Whether an error shows where in the code it came from." in out
    assert max(len(line) for line in out.splitlines()) <= 120


def test_help_of_retrain_leaves_out_what_it_refuses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["retrain", "task=exemplar", "--help"]) == 0
    text = capsys.readouterr().out
    words = text.split()
    assert {"exemplar", "classification", "localization", "data.items=null"} <= set(words)
    assert "all" not in words[words.index("task") : words.index("classification")]
    refused = ("data.scenes", "data.root", "data.labels", "data.boxes", "data.val", "data.test")
    assert not [
        word for word in words if word.startswith((*(f"{k}=" for k in refused), "data.demo"))
    ]
    assert "demo_large" not in words
    assert main(["retrain", "task=all", "--help"]) == 2
    assert "there is: classification, exemplar, localization" in capsys.readouterr().err


def test_help_lists_groups_and_options_and_the_keys_of_the_option_chosen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    assert "task (must be chosen)" in out
    assert "resnet50" in out
    assert "trainer.max_epochs=null" in out
    assert "task.learned" not in out
    assert main(["train", "task=exemplar", "--help"]) == 0
    out = capsys.readouterr().out
    assert "task.learned.learning_rate=0.01 " in out
    assert "task.learned.max_epochs=12" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "trian is not a command; did you mean train?"),
        (["train", "--halp"], "--halp is not a flag of train; did you mean --help?"),
        (["train", "task=exemplar", "sed=1"], "sed is not an option of train; did you mean seed?"),
        (["train", "task=exmplar", "--help"], "did you mean exemplar?"),
        (["gallery", "lst", "bundle=b"], "action must be one of add, remove, list, audit, promote"),
        (["gallery", "list", "bundle=b", "-m"], "gallery makes no runs to compare"),
        (["train", "task=exemplar", "--config-dir"], "--config-dir must be followed by"),
        (["train", "resume=nowhere"], "resume=nowhere must be the folder of a run"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], message: str, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith(f"visionkit {words[0]}: ")
    assert len(err.splitlines()) == 1
    assert job.calls == []


def test_a_run_has_a_folder_with_its_config_and_record(job: Job, tmp_path: Path) -> None:
    assert main(["train", "task=exemplar", "seed=3"]) == 0
    ((config, folder),) = job.calls
    assert isinstance(config, TrainConfig)
    assert folder.parent == Path("runs/exemplar")
    written = yaml.safe_load((folder / "config.yaml").read_text())
    assert (written["seed"], written["task"]["name"]) == (3, "exemplar")
    found = record(folder)
    assert found["status"] == "finished"
    assert found["metrics"] == {"ap50": 0.5, "false_alarms": None}
    assert found["overrides"] == ["task=exemplar", "seed=3"]
    assert main(["train", "task=exemplar", "seed=3"]) == 0
    assert len({call[1] for call in job.calls}) == 2


def test_gallery_takes_its_action_as_first_word_and_makes_no_run(job: Job, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert main(["gallery", "add", "bundle=b", "item=milk", "images=a b.png"]) == 0
    ((config, folder),) = job.calls
    values = ("add", "b", "milk", ["a b.png"], "auto", None, [], False, 20, None, False, False)
    assert config == GalleryConfig(*values)
    assert folder == Path("b")
    assert not (tmp_path / "runs").exists()


def test_an_output_folder_is_never_overwritten_unless_asked_to(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "task=exemplar", "output=out"]
    assert main(words) == 0
    (tmp_path / "out" / "mine").touch()
    assert main(words) == 2
    assert "out holds a run already" in capsys.readouterr().err
    assert (tmp_path / "out" / "mine").exists()
    assert main([*words, "overwrite=true"]) == 0
    assert not (tmp_path / "out" / "mine").exists()


def test_a_folder_that_is_not_a_run_is_never_deleted(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    assert main(["train", "task=exemplar", "output=photos", "overwrite=true"]) == 2
    assert "holds files that are not a run" in capsys.readouterr().err
    assert (tmp_path / "photos" / "cat.jpg").exists()


def everything(folder: Path) -> list[str]:
    """Names of all that lies below a folder, and what files hold."""
    paths = sorted(folder.rglob("*"))
    return [f"{path}: {path.read_text() if path.is_file() else ''}" for path in paths]


@pytest.fixture
def used_run(job: Job) -> Job:
    """A finished run in `out` with pictures, a bundle and a catalog, and links to and from it."""

    def make(config: Any, folder: Path) -> None:
        for name in ("bundle/bundle.json", "pictures/1.jpg", "catalog/rows", "demo/1.png"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(name)

    job.action = make
    assert main(["predict", "bundle=b", "source=s", "output=out"]) == 0
    Path("link").symlink_to("out/pictures")
    Path("other_out").symlink_to("out")
    Path("elsewhere").mkdir()
    Path("out/from_elsewhere").symlink_to(Path("elsewhere").absolute())
    return job


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["predict", "bundle=out/bundle", "source=s"], "bundle=out/bundle"),
        (["predict", "bundle=b", "source=out"], "source=out"),
        (["predict", "bundle=b", "source=out/pictures"], "source=out/pictures"),
        (["predict", "bundle=b", "source=elsewhere/../out/pictures"], "source=elsewhere/../out"),
        (["predict", "bundle=b", "source=link/1.jpg"], "source=link/1.jpg"),
        (["predict", "bundle=b", "source=other_out/pictures"], "source=other_out/pictures"),
        (["predict", "bundle=b", "source=out/from_elsewhere"], "source=out/from_elsewhere"),
        (["predict", "bundle=b", "source=other_out/from_elsewhere"], "source=other_out/from"),
        (["predict", "bundle=b", "source=*/pictures/*.jpg"], "source=*/pictures/*.jpg"),
        (["predict", "bundle=b", "source=s", "catalog=out/catalog"], "catalog=out/catalog"),
        (["predict_video", "bundle=b", "source=out/%04d.png"], "source=out/%04d.png"),
        (["train", "task=exemplar", "bundle=out/bundle"], "bundle=out/bundle"),
        (["train", "task=localization", "data.root=out/pictures"], "data.root=out/pictures"),
        (["train", "task=localization", "task.boxes=out/bundle/b"], "task.boxes=out/bundle/b"),
        (["monitor", "bundle=b", "source=s", "history=out/history.jsonl"], "history=out/history"),
    ],
)
@pytest.mark.parametrize("output", ["out", "other_out"])
def test_a_run_is_not_replaced_by_one_that_uses_it(
    words: list[str], named: str, output: str, used_run: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(Path("out"))
    assert main([*words, f"output={output}", "overwrite=true"]) == 2
    said = capsys.readouterr().err
    assert f"but {named}" in said
    assert f"lies in {output} and overwrite=true would delete it; choose another" in said
    assert everything(Path("out")) == before
    assert len(used_run.calls) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "bundle=b", "source=."],
        ["predict", "bundle=b", "source=out/../s"],
        ["predict", "bundle=b", "source=output"],
        ["predict", "bundle=b", "source=**/*.jpg"],  # with one that lies elsewhere, as for `.`
        ["predict", "bundle=b", "source=s", "catalog=s3://out/catalog"],
        ["train", "task=localization", "data.demo.folder=out/demo"],
        ["train", "task=classification", "task.cache.folder=out/features"],
    ],
)
def test_a_run_is_replaced_by_one_that_only_makes_what_lies_there(
    words: list[str], used_run: Job
) -> None:
    (Path("out") / "mine").touch()
    Path("other.jpg").touch()
    assert main([*words, "output=out", "overwrite=true"]) == 0
    assert not (Path("out") / "mine").exists()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("item a has no picture"), 2),
        (RuntimeError("the disk is full"), 1),
    ],
)
def test_an_error_of_the_job_is_told_without_a_traceback(
    error: Exception, status: int, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(config: Any, folder: Path) -> None:
        raise error

    job.action = fail
    assert main(["train", "task=exemplar"]) == status
    err = capsys.readouterr().err
    assert err.startswith(f"visionkit train: {error}\n")
    assert "Traceback" not in err
    folder = job.calls[0][1]
    assert str(folder / "error.txt") in err
    assert "Traceback" in (folder / "error.txt").read_text()
    assert record(folder)["status"] == "failed"
    assert main(["train", "task=exemplar", "debug=true"]) == status
    assert "Traceback" in capsys.readouterr().err


def test_a_wrong_path_leaves_no_run_and_the_right_one_can_follow(
    job: Job, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    job.action = lambda config, folder: folder.joinpath(config.data.items).touch()
    words = ["train", "task=exemplar", "data.items=gone/x"]
    assert main(words) == 2
    assert not list((tmp_path / "runs" / "exemplar").iterdir())
    assert main([*words, "output=mine"]) == 2
    err = capsys.readouterr().err
    assert "error.txt" not in err
    assert "Traceback" not in err
    assert main([*words, "output=mine", "debug=true"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert main(["train", "task=exemplar", "data.items=x", "output=mine"]) == 0
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert main([*words, "output=link"]) == 2
    assert not list((tmp_path / "link").iterdir())


def test_a_run_that_failed_before_it_made_anything_is_begun_anew(job: Job) -> None:
    def fail(config: Any, folder: Path) -> None:
        raise RuntimeError("a package is missing")

    job.action = fail
    words = ["train", "task=exemplar", "output=mine"]
    assert main(words) == 1
    assert record(Path("mine"))["status"] == "failed"
    job.action = lambda config, folder: None
    assert main(words) == 0
    assert record(Path("mine"))["status"] == "finished"
    assert not (Path("mine") / "error.txt").exists()
    assert main(words) == 2


def test_what_was_done_before_a_missing_file_stays(job: Job) -> None:
    def fail(config: Any, folder: Path) -> None:
        (folder / "half").touch()
        raise FileNotFoundError("x.jpg is gone")

    job.action = fail
    assert main(["train", "task=exemplar", "output=mine"]) == 2
    assert (Path("mine") / "half").exists()
    assert "Traceback" in (Path("mine") / "error.txt").read_text()
    (Path("mine") / "half").unlink()
    job.action = lambda config, folder: (folder / "gone" / "x").touch()
    assert main(["train", "resume=mine"]) == 2
    assert record(Path("mine"))["status"] == "failed"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(1)])
def test_a_stopped_run_says_how_to_go_on_and_does(
    stop: BaseException, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(config: Any, folder: Path) -> None:
        (folder / "half").touch()
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / ".last.ckpt.1-2.partial").touch()
        raise stop

    job.action = fail
    assert main(["train", "task=exemplar", "seed=4", "output=out", "overwrite=true"]) == 130
    assert "go on with: visionkit train resume=out" in capsys.readouterr().err
    assert record(Path("out"))["status"] == "stopped"
    job.action = lambda config, folder: None
    assert main(["train", "resume=out", "trainer.max_epochs=50"]) == 0
    config, folder = job.calls[-1]
    assert (config.seed, config.resume, config.trainer.max_epochs) == (4, "out", 50)
    assert not list(folder.rglob(".*.partial"))
    assert folder == Path("out")
    assert (folder / "half").exists()
    assert record(folder)["status"] == "finished"


def test_a_stopped_retraining_is_told_as_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(config: Any, place: Path) -> None:
        raise SystemExit(1)  # what Lightning makes of Ctrl-C

    monkeypatch.setitem(COMMANDS, "retrain", replace(COMMANDS["retrain"], job=stop))
    assert main(["retrain", f"catalog={tmp_path}", "task=localization"]) == 130
    assert "visionkit retrain: stopped; what was trained is lost" in capsys.readouterr().err


def test_a_run_that_was_killed_can_be_resumed(job: Job, tmp_path: Path) -> None:
    assert main(["train", "task=exemplar", "output=out"]) == 0
    killed = record(Path("out")) | {"status": "running"}  # as kill -9 leaves it
    (tmp_path / "out" / "run.json").write_text(json.dumps(killed))
    assert main(["train", "task=exemplar", "output=out"]) == 2
    assert main(["train", "resume=out"]) == 0


@pytest.mark.parametrize("flags", [[], ["-m"]])
def test_a_run_at_home_can_be_resumed(
    flags: list[str], job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))

    def stop(config: Any, folder: Path) -> None:
        raise KeyboardInterrupt

    job.action = stop
    assert main(["train", *flags, "task=exemplar", "seed=4", "output=~/out"]) == 130
    job.action = lambda config, folder: None
    assert main(["train", *flags, "resume=~/out"]) == 0
    config, folder = job.calls[-1]
    assert (config.seed, config.resume) == (4, str(folder))
    assert folder.is_relative_to(tmp_path / "home" / "out")
    assert main(["train", *flags, "task=exemplar", "seed=4", "output=~/out"]) == (0 if flags else 2)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_finished_run_is_left_as_it_is_unless_it_shall_do_more(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "task=exemplar", "output=out"]) == 0
    assert main(["train", "resume=out"]) == 2
    assert "resume=out is finished" in capsys.readouterr().err
    assert record(Path("out"))["status"] == "finished"
    assert main(["train", "resume=out", "trainer.max_epochs=50"]) == 0


def test_a_damaged_record_is_named(job: Job, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text("{half")
    assert main(["train", "resume=out"]) == 2
    assert "run.json is damaged" in capsys.readouterr().err


def test_print_shows_the_config_with_its_origins_and_runs_nothing(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "task=exemplar", "seed=9", "--print"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["seed:", "9", "#", "command", "line"] for line in lines)
    assert any(line.startswith("task.name: exemplar ") for line in lines)
    assert job.calls == []


def test_a_further_rank_joins_the_run_of_the_first(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_rank(config: Any, folder: Path) -> None:
        if len(job.calls) == 1:  # what Lightning does: the same words, another LOCAL_RANK
            monkeypatch.setenv("LOCAL_RANK", "1")
            assert main(["train", "task=exemplar", "seed=2"]) == 0
            monkeypatch.delenv("LOCAL_RANK")

    job.action = start_rank
    assert main(["train", "task=exemplar", "seed=2"]) == 0
    (first, first_folder), (second, second_folder) = job.calls
    assert (first, first_folder) == (second, second_folder)
    assert "VISIONKIT_RUN" not in os.environ


def test_help_and_errors_need_neither_torch_nor_a_job() -> None:
    code = (
        "import sys; from visionkit.cli import main; "
        "main(sys.argv[1:]); print('torch' in sys.modules)"
    )
    words = ["train", "task=exemplar", "sed=1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    "name",
    ["train", "evaluate", "predict", "predict_video", "export", "gallery", "merge", "versions"],
)
def test_the_script_of_each_command_is_that_command(name: str) -> None:
    done = subprocess.run(
        [sys.executable, f"scripts/{name}.py", "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert f"Usage: visionkit {name}" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT between processes")
@pytest.mark.parametrize(
    ("number", "exit_status", "run_status"),
    [(signal.SIGINT, 130, "stopped"), (signal.SIGKILL, -signal.SIGKILL, "running")],
)
def test_a_run_stopped_from_outside_leaves_a_record_to_resume_from(
    number: signal.Signals, exit_status: int, run_status: str, tmp_path: Path
) -> None:
    code = (
        "import dataclasses, signal, sys, time\n"
        "from visionkit.cli import entry\n"
        # A shell that runs the tests in the background has its children ignore Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def job(config, folder):\n"
        "    (folder / 'started').touch()\n"
        "    time.sleep(60)\n"
        "train = dataclasses.replace(entry.COMMANDS['train'], job=job)\n"
        "entry.COMMANDS['train'] = train\n"
        "sys.exit(entry.main(['train', 'task=exemplar', 'output=out']))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == exit_status
    assert record(tmp_path / "out")["status"] == run_status


def test_the_script_that_learns_the_starter_weights_explains_itself() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "pretrain.py")]
    told = subprocess.run([*script, "--help"], capture_output=True, text=True, check=False)
    assert told.returncode == 0
    assert "labelled=???" in told.stdout
    assert "Usage: python scripts/pretrain.py" in told.stdout
    wrong = subprocess.run([*script, "labeled=x"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "did you mean labelled?" in wrong.stderr


def test_the_package_can_be_run_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "visionkit", "predict", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("Asks all heads of a bundle about pictures")


@pytest.mark.parametrize("words", [["--help"], ["task=exemplar", "catalog=c", "--print"]])
def test_output_that_nobody_reads_on_ends_the_command_without_a_word(
    tmp_path: Path, words: list[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # as `| head` does when it has seen enough
    with open(writer, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "visionkit", "retrain", *words],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")  # 128 and SIGPIPE, as other tools have it
