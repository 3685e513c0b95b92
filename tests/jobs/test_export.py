from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import (
    gallery_config,
    scene,
    write_broken,
    write_coco,
    write_picture,
)
from tests.worlds import classification_part, localization_part, photo, whole_backbone
from visionkit.config import EvaluateConfig, ExportConfig
from visionkit.config.jobs import OthersConfig
from visionkit.inference.engines.choice import is_installed
from visionkit.inference.engines.exported import exports_in, read_export
from visionkit.inference.predictor import Predictor
from visionkit.jobs import export as export_module
from visionkit.jobs import losses as losses_module
from visionkit.jobs.export import export
from visionkit.jobs.gallery import gallery
from visionkit.jobs.losses import Losses
from visionkit.models.bundle import MANIFEST, bundle_hash, read_manifest

pytestmark = pytest.mark.skipif(
    not is_installed("openvino"), reason="needs the extra: pip install 'visionkit[openvino]'"
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(4):
        write_picture(folder / f"{seed}.png", photo(seed))
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a classification head; not to be changed."""
    folder = tmp_path_factory.mktemp("plain") / "bundle"
    Predictor(whole_backbone(), None, classification_part()).save(folder)
    return folder


@pytest.fixture
def bundle(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "bundle"))


def export_config(bundle: Path, pictures: Path | None, **changes: object) -> ExportConfig:
    values: dict[str, object] = {"bundle": str(bundle), "engine": "openvino", "precision": "fp32"}
    values |= {"images": None if pictures is None else str(pictures), "calibration": 300}
    values |= {"data": None, "task": None, "format": "auto", "image_root": None, "split": "all"}
    values |= {"others": OthersConfig(None, None, None, None)}
    values |= {"max_loss": 0.01, "force": False, "seed": 0, "output": None, "overwrite": False}
    return ExportConfig(**(values | {"debug": False} | changes))  # type: ignore[arg-type]


def run_in(folder: Path) -> Path:
    run = folder / "run"
    run.mkdir(exist_ok=True)
    return run


def floats_for_bytes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Lets what is called int8 be made in floats, which is quicker; which layers were kept."""
    tried: list[tuple[str, ...]] = []
    make = export_module.write_graphs

    def write(graphs: object, engine: str, _: str, folder: Path, **options: object) -> None:
        tried.append(tuple(options["kept"]))  # type: ignore[arg-type]
        make(graphs, engine, "fp32", folder, frames={})  # type: ignore[arg-type]

    monkeypatch.setattr(export_module, "write_graphs", write)
    return tried


def loses(monkeypatch: pytest.MonkeyPatch, *accuracies: float) -> None:
    """Torch has the first accuracy, what is exported those after it, in turn."""
    given = iter(accuracies)

    def figures(_: Predictor) -> Mapping[str, float]:
        return {"accuracy": next(given), "nll": 0.5, "seconds_per_picture": 1.0}

    monkeypatch.setattr(losses_module, "examination", lambda *_: ("classification", figures))


def test_an_export_is_a_part_of_the_bundle_and_used_by_itself(
    bundle: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_manifest(bundle)
    summary = export(export_config(bundle, pictures), run_in(tmp_path))
    after = read_manifest(bundle)
    added = {"engines/openvino_fp32/" + name for name in ("export.json", "heads.bin", "heads.xml")}
    assert set(after["files"]) - set(before["files"]) == added
    assert {key: after[key] for key in before if key != "files"} == {
        key: before[key] for key in before if key != "files"
    }
    described = read_export(exports_in(bundle)["openvino_fp32"])
    assert described.measured["confidence"] <= described.measured["tolerance"]["confidence"]
    assert summary.metrics["confidence"] == described.measured["confidence"]
    assert described.versions["openvino"]
    assert "engine=openvino_fp32" in capsys.readouterr().out
    assert Predictor.load(bundle, device="cpu").engine == "openvino_fp32"
    assert Predictor.load(bundle, device="cpu", engine="torch").engine == "torch"
    with pytest.raises(FileExistsError, match="engines/openvino_fp32 is already there"):
        export(export_config(bundle, pictures), run_in(tmp_path))
    export(export_config(bundle, pictures, overwrite=True), run_in(tmp_path))
    assert read_manifest(bundle)["files"].keys() == after["files"].keys()


def test_a_changed_export_is_named(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    export(export_config(bundle, pictures), run_in(tmp_path))
    weights = bundle / "engines" / "openvino_fp32" / "heads.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=r"heads\.bin was changed or damaged"):
        Predictor.load(bundle)


def test_answers_beyond_the_tolerance_are_refused(
    bundle: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bundle_hash(bundle)
    monkeypatch.setitem(export_module.TOLERANCE, "fp32", dict.fromkeys(("confidence", "score"), -1))  # type: ignore[misc]
    monkeypatch.setattr(
        "visionkit.inference.agreement.Distances.beyond", lambda *_: {"confidence": 0.25}
    )
    with pytest.raises(RuntimeError, match=r"tolerance of fp32, got confidence 0\.25"):
        export(export_config(bundle, pictures), run_in(tmp_path))
    assert bundle_hash(bundle) == before


def test_a_head_that_finds_nothing_is_not_said_to_answer_as_by_torch(
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    floats_for_bytes(monkeypatch)
    bundle = tmp_path / "bundle"
    blind = localization_part(threshold=1.0)
    Predictor(whole_backbone(), None, classification_part(), blind).save(bundle)
    export(export_config(bundle, pictures, precision="int8"), run_in(tmp_path))
    said = capsys.readouterr().out
    assert f"Not compared: localization, which finds nothing on {pictures}" in said
    assert measured_of(bundle)["agreement"] == {"classification": 1.0}


@pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="needs NNCF")
def test_eight_bits_without_labels_are_compared_with_torch(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    Predictor(whole_backbone(), None, classification_part(), localization_part()).save(bundle)
    export(export_config(bundle, pictures, precision="int8", force=True), run_in(tmp_path))
    said = capsys.readouterr().out
    assert "says nothing of how many are right" in said
    described = read_export(exports_in(bundle)["openvino_int8"])
    assert set(described.measured["agreement"]) == {"classification", "localization"}
    predictor = Predictor.load(bundle, device="cpu")
    assert predictor.engine == "openvino_int8"
    (answer,) = predictor.predict([photo(1)])
    assert answer.tasks == ("classification", "localization")
    graph = (bundle / "engines" / "openvino_int8" / "heads.xml").read_text("utf-8")
    assert 'type="FakeQuantize"' in graph


def test_eight_bits_that_lose_too_much_are_tried_with_more_floats_and_refused(
    bundle: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tried, before = floats_for_bytes(monkeypatch), bundle_hash(bundle)
    loses(monkeypatch, 0.9, 0.6, 0.85)
    config = export_config(bundle, pictures, precision="int8", data="labelled")
    with pytest.raises(RuntimeError, match=r"max_loss=0\.01 of accuracy, got 0\.0500"):
        export(config, run_in(tmp_path))
    assert tried == list(export_module.KEPT)
    assert bundle_hash(bundle) == before
    assert "got 0.3000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("after", "changes", "floats", "taken"),
    [
        ((0.895,), {}, 0, "int8"),
        ((0.95,), {}, 0, "int8"),
        ((0.6, 0.9), {}, 1, "int8"),
        ((0.6,), {"max_loss": 0.4}, 0, "int8"),
        ((0.6, 0.6), {"force": True}, 1, "fp32"),
    ],
)
def test_eight_bits_that_are_kept(
    after: tuple[float, ...],
    changes: dict[str, object],
    floats: int,
    taken: str,
    bundle: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    export(export_config(bundle, pictures), run_in(tmp_path))
    floats_for_bytes(monkeypatch)
    loses(monkeypatch, 0.9, *after)
    config = export_config(bundle, pictures, precision="int8", data="labelled", **changes)
    export(config, run_in(tmp_path))
    assert Predictor.load(bundle, device="cpu").engine == f"openvino_{taken}"
    measured = read_export(exports_in(bundle)["openvino_int8"]).measured
    assert measured["lost"] == pytest.approx(0.9 - after[-1])
    assert (measured["figure"], measured["floats"]) == (
        "accuracy",
        list(export_module.KEPT[floats]),
    )
    assert measured["before"]["accuracy"] == 0.9


def test_labelled_pictures_are_measured(
    bundle: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    floats_for_bytes(monkeypatch)
    for seed in range(4):
        name = ("cat", "dog")[seed % 2]
        (tmp_path / "classes" / name).mkdir(parents=True, exist_ok=True)
        write_picture(tmp_path / "classes" / name / f"{seed}.png", photo(seed))
    config = export_config(
        bundle, pictures, precision="int8", data=str(tmp_path / "classes"), format="folders"
    )
    export(config, run_in(tmp_path))
    measured = json.loads((bundle / "engines/openvino_int8/export.json").read_text())["measured"]
    assert measured["lost"] == 0
    assert measured["before"].keys() == measured["after"].keys()
    assert {"accuracy", "macro_f1"} <= measured["before"].keys()


@pytest.fixture
def two_heads(tmp_path: Path) -> Path:
    """A bundle that names cats and dogs, and locates cars and buses."""
    folder = tmp_path / "two_heads"
    Predictor(whole_backbone(), None, classification_part(), localization_part()).save(folder)
    return folder


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """A folder a class, with two pictures each."""
    folder = tmp_path / "classes"
    for seed in range(4):
        write_picture(folder / ("cat", "dog")[seed % 2] / f"{seed}.png", photo(seed))
    return folder


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """Two pictures with a box each, as COCO."""
    folder = tmp_path / "boxes"
    labels: dict[str, tuple[str, tuple[float, ...]] | None] = {}
    for seed, name in enumerate(("car", "bus")):
        write_picture(folder / f"{seed}.png", photo(10 + seed))
        labels[f"{seed}.png"] = (name, (20.0, 20.0, 90.0, 80.0))
    write_coco(folder, labels)
    return folder


def measured_of(bundle: Path) -> dict[str, Any]:
    return dict(read_export(exports_in(bundle)["openvino_int8"]).measured)


def test_of_several_heads_those_are_judged_that_the_pictures_tell_of(
    two_heads: Path,
    pictures: Path,
    classes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    floats_for_bytes(monkeypatch)
    config = export_config(two_heads, pictures, precision="int8", data=str(classes))
    export(config, run_in(tmp_path))
    said = capsys.readouterr().out
    assert "Not judged: localization. What int8 loses of it is not known, and it is" in said
    measured = measured_of(two_heads)
    assert (measured["task"], measured["lost"]) == ("classification", 0)
    assert measured["not_judged"] == ["localization"]
    assert "heads" not in measured


@pytest.mark.parametrize("named", [None, "classification"])
def test_every_head_with_pictures_is_judged(
    named: str | None,
    two_heads: Path,
    pictures: Path,
    classes: Path,
    boxes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    floats_for_bytes(monkeypatch)
    others = OthersConfig(None, None, str(boxes), None)
    config = export_config(
        two_heads, pictures, precision="int8", data=str(classes), task=named, others=others
    )
    export(config, run_in(tmp_path))
    said = capsys.readouterr().out
    assert "Not judged" not in said
    for task in ("classification", "localization"):
        assert f"{task}: what openvino_int8 loses" in said
    heads = measured_of(two_heads)["heads"]
    assert [(head["task"], head["figure"], head["pictures"]) for head in heads] == [
        ("classification", "accuracy", str(classes)),
        ("localization", "ap50", str(boxes)),
    ]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({}, "max_loss=0.01 of every head, got 0.0500 of localization's ap50 "),
        ({"max_loss": 0.001}, "got 0.0050 of classification's accuracy and 0.0500 of localization"),
        ({"max_loss": 0.05}, ""),
        ({"force": True}, ""),
    ],
)
def test_no_head_may_lose_more_than_is_allowed(
    changes: dict[str, object],
    refusal: str,
    two_heads: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    floats_for_bytes(monkeypatch)
    figures = {
        "classification": ("accuracy", {"torch": 0.9, "openvino_int8": 0.895}),
        "localization": ("ap50", {"torch": 0.5, "openvino_int8": 0.45}),
    }

    def examined(asked: EvaluateConfig, *_: object) -> object:
        name, values = figures[str(asked.task)]
        return asked.task, lambda predictor: {name: values[predictor.engine]}

    monkeypatch.setattr(losses_module, "examination", examined)
    others = OthersConfig(None, "labelled", "boxed", None)
    config = export_config(two_heads, pictures, precision="int8", others=others, **changes)
    if refusal:
        with pytest.raises(RuntimeError, match=re.escape(refusal)):
            export(config, run_in(tmp_path))
        assert exports_in(two_heads) == {}
        return
    export(config, run_in(tmp_path))
    measured = measured_of(two_heads)
    # What loses most stands for all, by which it is decided whether it is taken by itself.
    assert (measured["task"], measured["lost"]) == ("localization", pytest.approx(0.05))
    assert [head["lost"] for head in measured["heads"]] == pytest.approx([0.005, 0.05])
    good = read_export(exports_in(two_heads)["openvino_int8"]).is_judged_good
    assert good is ("max_loss" in changes)


def test_a_set_must_be_for_a_head_that_is_there(
    bundle: Path, two_heads: Path, pictures: Path, boxes: Path, tmp_path: Path
) -> None:
    others = OthersConfig(None, None, str(boxes), None)
    config = export_config(bundle, pictures, precision="int8", others=others)
    with pytest.raises(ValueError, match=r"a head of the bundle, classification, got .*boxes for"):
        export(config, run_in(tmp_path))
    strange = tmp_path / "strange"
    write_picture(strange / "zebra" / "a.png", photo(1))
    config = export_config(two_heads, pictures, precision="int8", data=str(strange))
    with pytest.raises(ValueError, match=r"localization: bus, car.*got zebra .*strange"):
        export(config, run_in(tmp_path))


def test_pictures_that_can_not_be_read(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    write_broken(tmp_path / "broken" / "a.png")
    with pytest.raises(ValueError, match="at least one picture must be readable"):
        export(export_config(bundle, tmp_path / "broken"), run_in(tmp_path))
    assert exports_in(bundle) == {}
    assert (bundle / MANIFEST).is_file()


def test_a_link_to_nowhere_is_said_and_left_out(
    bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    given = Path(shutil.copytree(pictures, tmp_path / "pictures"))
    (given / "link.png").symlink_to(tmp_path / "nowhere.png")
    run = run_in(tmp_path)
    export(export_config(bundle, given), run)
    assert exports_in(bundle)
    assert "link.png" in (run / "problems.csv").read_text("utf-8")


def test_a_loss_is_above_zero_whichever_way_a_figure_goes() -> None:
    losses = Losses(
        "localization",
        {"ap50": 0.8, "false_alarms": 0.1, "seconds_per_picture": 2.0, "ar_100": 0.5},
        {"ap50": 0.7, "false_alarms": 0.3, "seconds_per_picture": 1.0},
    )
    assert losses.lost == pytest.approx({"ap50": 0.1, "false_alarms": 0.2})
    assert losses.main == ("ap50", pytest.approx(0.1))
    with pytest.raises(ValueError, match="must tell accuracy or mean_ap of classification"):
        _ = Losses("classification", {}, {}).main


def test_an_item_that_costs_the_exports_is_told_so(
    trained_heads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(trained_heads, tmp_path / "bundle"))
    export(export_config(bundle, None), run_in(tmp_path))
    assert [*exports_in(bundle)] == ["openvino_fp32"]
    image, box = scene(0, 0)
    write_picture(tmp_path / "scenes" / "s.png", image)
    write_coco(tmp_path / "scenes", {"s.png": ("item 0", box)})
    capsys.readouterr()
    given = gallery_config(bundle, "add", item="item 0", images=[str(tmp_path / "scenes")])
    gallery(given, bundle)  # the first item: a graph more
    assert not exports_in(bundle)
    told = " ".join(capsys.readouterr().out.split())
    assert "no longer fit the bundle and are gone: openvino_fp32; visionkit export" in told
