from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import supervision as sv
import torch

from tests.worlds import (
    PastedScenes,
    classification_part,
    localization_part,
    mark,
    new_finder,
    photo,
    same_finds,
    three_items,
    whole_backbone,
)
from visionkit.config.limits import Engine
from visionkit.data.framing import Framing
from visionkit.heads.localization import LocalizationHead
from visionkit.inference.agreement import TOLERANCE, agreement, distances
from visionkit.inference.engines import choice
from visionkit.inference.engines.choice import ENGINES, Started, chosen_export, start
from visionkit.inference.engines.exported import FOLDER, Export, exports_in
from visionkit.inference.engines.exporting import framed, scaled, write_graphs
from visionkit.inference.engines.graph import HeadsGraph, raw_outputs, weights_id
from visionkit.inference.engines.network import TorchNetwork
from visionkit.inference.predictor import Predictor

CPU = torch.device("cpu")
BOTH = ("classification", "localization")


def needs(engine: str) -> None:
    if not choice.is_installed(engine):
        pytest.skip(f"needs the extra: pip install 'visionkit[{engine}]'")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """All heads, run by torch; not to be changed."""
    return Predictor(
        whole_backbone(), new_finder(three_items()), classification_part(), localization_part()
    )


@pytest.fixture(scope="module", params=["openvino", "onnx"])
def started(
    request: pytest.FixtureRequest, predictor: Predictor, tmp_path_factory: pytest.TempPathFactory
) -> Started:
    """The network of all heads, exported in single precision."""
    needs(request.param)
    folder = tmp_path_factory.mktemp("made") / f"{request.param}_fp32"
    write_graphs(predictor.graphs(), request.param, "fp32", folder, frames={})
    return start(folder, request.param, predictor.graphs())


@pytest.fixture
def exported(predictor: Predictor, tmp_path: Path) -> Path:
    """A bundle with a network that nobody can run, as if made for OpenVINO."""
    predictor.save(tmp_path / "bundle")
    weights = {name: weights_id(graph) for name, graph in predictor.graphs().items()}
    folder = tmp_path / "bundle" / FOLDER / "openvino_fp32"
    folder.mkdir(parents=True)
    (folder / "heads.xml").write_bytes(b"no model")
    Export("openvino", "fp32", weights).write(folder)
    return tmp_path / "bundle"


# The same answers.


def test_other_engines_answer_as_torch(predictor: Predictor, started: Started) -> None:
    other = Predictor(
        whole_backbone(), new_finder(three_items()), classification_part(), localization_part()
    )
    other.take(started)
    assert other.engine == started.name
    images = [PastedScenes(2)[0].image, photo(5, 61, 207), photo(6, 300, 90)]
    for own, theirs in zip(predictor.predict(images), other.predict(images), strict=True):
        assert own.labels == theirs.labels
        np.testing.assert_allclose(
            own.classification.confidence,  # type: ignore[union-attr, arg-type]
            theirs.classification.confidence,  # type: ignore[union-attr, arg-type]
            atol=1e-4,
        )
        assert own.exemplar is not None
        assert theirs.exemplar is not None
        same_finds(own.exemplar, theirs.exemplar, score_error=1e-3)
        mine, its = own.localization, theirs.localization
        assert mine is not None
        assert its is not None
        assert len(mine) == len(its) > 0
        assert sv.box_iou_batch(mine.xyxy, its.xyxy).max(1).min() > 0.99
    assert min(agreement(predictor, other, images).values()) > 0.95
    assert distances(predictor, started, images).beyond("fp32") == {}


def test_a_batch_as_one_by_one(started: Started) -> None:
    assert started.network is not None
    frames = [photo(seed, 96, 128) for seed in range(3)]
    together = started.network.outputs(frames, BOTH)
    assert together.localization is not None
    for index, frame in enumerate(frames):
        alone = started.network.outputs([frame], BOTH)
        assert alone.localization is not None
        torch.testing.assert_close(
            alone.classification,
            together.classification[index : index + 1],  # type: ignore[index]
        )
        one, all_of_them = alone.localization, together.localization
        torch.testing.assert_close(one.boxes[0], all_of_them.boxes[index], atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("size", [(64, 96), (70, 111), (33, 32)])
def test_frames_of_any_size(predictor: Predictor, started: Started, size: tuple[int, int]) -> None:
    frames = [photo(seed, *size) for seed in range(2)]
    assert started.network is not None
    own, theirs = (net.outputs(frames, BOTH) for net in (predictor.network, started.network))
    assert own.localization is not None
    assert theirs.localization is not None
    torch.testing.assert_close(own.classification, theirs.classification, atol=1e-3, rtol=1e-3)
    cells, others = own.localization.cells, theirs.localization.cells
    torch.testing.assert_close(cells.centres, others.centres)
    torch.testing.assert_close(cells.strides, others.strides)
    assert started.look is not None
    (level, *_) = predictor.finder.pyramid(frames[0]).levels
    assert started.look(frames[0]).shape[0] == level.features.shape[0]


def test_a_head_that_is_not_asked_says_nothing(started: Started) -> None:
    assert started.network is not None
    outputs = started.network.outputs([photo(1, 96, 128)], ["classification"])
    assert outputs.classification is not None
    assert outputs.localization is None


def test_half_precision_is_half_the_size(predictor: Predictor, tmp_path: Path) -> None:
    needs("onnx")
    graphs = predictor.graphs()
    sizes = []
    for precision in ("fp32", "fp16"):
        folder = tmp_path / f"onnx_{precision}"
        write_graphs(graphs, "onnx", precision, folder, frames={})
        sizes.append((folder / "heads.onnx").stat().st_size)
    assert sizes[1] < 0.8 * sizes[0]
    halved = start(folder, "onnx", graphs)
    found = distances(predictor, halved, [photo(3)])
    assert found.beyond("fp16") == {}
    assert found.map > 1e-6


def test_boxes_without_classes_have_outputs_of_no_classes() -> None:
    backbone = whole_backbone().full()
    head = LocalizationHead(backbone.channels, 0, width=16, depth=1).eval()
    graph = HeadsGraph(backbone, None, head)
    frames = torch.zeros(2, 64, 96, 3, dtype=torch.uint8)
    with torch.no_grad():
        values = dict(zip(graph.names, [v.numpy() for v in graph(frames)], strict=True))
    found = raw_outputs(values, ["localization"]).localization
    own = TorchNetwork(backbone, localization=head).outputs(list(frames.numpy()), BOTH)
    assert found is not None
    assert own.localization is not None
    assert found.classes.shape == own.localization.classes.shape == (*found.quality.shape, 0)
    torch.testing.assert_close(found.boxes, own.localization.boxes)


def test_what_is_far_away_or_no_number_is_beyond_the_tolerance(predictor: Predictor) -> None:
    found = distances(predictor, Started("itself", predictor.network, None), [])
    assert vars(found) == {"confidence": 0, "score": 0, "box": 0, "map": 0}
    found.add("map", float("nan"))
    found.add("box", 5.0)
    found.add("box", 3.0)
    assert list(found.beyond("fp32")) == ["box", "map"]
    assert found.box == 5.0
    assert set(TOLERANCE["fp32"]) == set(TOLERANCE["fp16"]) == set(vars(found))


# Which engine.


def test_configs_know_all_engines() -> None:
    assert get_args(Engine)[1].choices == ENGINES


def test_torch_runs_what_was_not_exported(predictor: Predictor, tmp_path: Path) -> None:
    predictor.save(tmp_path / "bundle")
    assert Predictor.load(tmp_path / "bundle", device="cpu").engine == "torch"
    with pytest.raises(ModuleNotFoundError if not choice.is_installed("onnx") else ValueError):
        Predictor.load(tmp_path / "bundle", engine="onnx")


@pytest.mark.parametrize(
    ("names", "asked", "chosen"),
    [
        ([], "auto", None),
        (["onnx_fp32"], "auto", None),
        (["openvino_fp32"], "auto", "openvino_fp32"),
        (["openvino_int8"], "auto", "openvino_int8"),
        (["openvino_fp16", "openvino_fp32"], "openvino", "openvino_fp32"),
        (["openvino_fp16", "openvino_int8"], "openvino_fp16", "openvino_fp16"),
        (["onnx_int8", "openvino_fp32"], "onnx", "onnx_int8"),
        (["openvino_int8"], "torch", None),
    ],
)
def test_which_export_is_taken(
    names: list[str],
    asked: str,
    chosen: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "is_installed", lambda _: True)
    monkeypatch.setattr(choice, "engine_module", lambda _: None)
    for name in names:
        (tmp_path / FOLDER / name).mkdir(parents=True)
        Export(*name.split("_"), {}).write(tmp_path / FOLDER / name)
    assert chosen_export(asked, tmp_path, CPU) == chosen


@pytest.mark.parametrize(
    ("measured", "chosen"),
    [
        ({"lost": 0.004, "max_loss": 0.01}, "int8"),
        ({"lost": 0.01, "max_loss": 0.01}, "int8"),
        ({"lost": -0.02, "max_loss": 0.01}, "int8"),
        ({"lost": 0.02, "max_loss": 0.01}, "fp32"),  # kept by force
        ({"agreement": {"classification": 1.0}, "max_loss": 0.01}, "fp32"),  # no labels
        ({}, "fp32"),
    ],
)
@pytest.mark.parametrize("asked", ["auto", "openvino"])
def test_eight_bits_come_first_where_their_loss_was_within_the_limit(
    asked: str,
    measured: dict[str, object],
    chosen: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "is_installed", lambda _: True)
    monkeypatch.setattr(choice, "engine_module", lambda _: None)
    for precision in ("fp16", "fp32", "int8"):
        folder = tmp_path / FOLDER / f"openvino_{precision}"
        folder.mkdir(parents=True)
        said = measured if precision == "int8" else {}
        Export("openvino", precision, {}, said).write(folder)
    assert chosen_export(asked, tmp_path, CPU) == f"openvino_{chosen}"
    assert chosen_export("openvino_int8", tmp_path, CPU) == "openvino_int8"


@pytest.mark.parametrize(
    ("asked", "device", "message"),
    [
        ("tensorrt", "cpu", "engine must be one of auto, torch"),
        ("openvino", "cuda", "must run on a cpu, got device cuda"),
        ("openvino_int8", "cpu", "got none .*make it with visionkit export .* precision=int8"),
    ],
)
def test_engines_that_can_not_be_had(
    asked: str, device: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "is_installed", lambda _: True)
    monkeypatch.setattr(choice, "engine_module", lambda _: None)
    with pytest.raises(ValueError, match=message):
        chosen_export(asked, tmp_path, torch.device(device))


def test_an_engine_that_is_not_installed_names_its_extra(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda _: None)
    assert Predictor.load(exported, device="cpu").engine == "torch"
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'visionkit\[openvino\]'"):
        Predictor.load(exported, engine="openvino")


def test_a_damaged_model_is_named(exported: Path) -> None:
    needs("openvino")
    with pytest.raises(ValueError, match=r"must be a model of openvino.*heads\.xml"):
        Predictor.load(exported, engine="openvino")


def test_a_network_of_other_weights_is_refused(exported: Path) -> None:
    needs("openvino")
    Export("openvino", "fp32", {"heads": "0"}).write(exported / FOLDER / "openvino_fp32")
    with pytest.raises(ValueError, match="its heads and search are others"):
        Predictor.load(exported, engine="openvino")


# Bundles.


def test_a_new_item_leaves_exports_as_they_are_and_a_new_head_does_not(
    exported: Path, tmp_path: Path
) -> None:
    predictor = Predictor.load(exported, device="cpu", engine="torch")
    predictor.add_item("soda", mark(8)[..., :3])
    predictor.save(tmp_path / "with_item")
    assert list(exports_in(tmp_path / "with_item")) == ["openvino_fp32"]
    assert predictor.classification is not None
    with torch.no_grad():
        predictor.classification.head.bias.add_(1)
    predictor.save(tmp_path / "with_head")
    assert exports_in(tmp_path / "with_head") == {}


def test_ranges_are_fixed_on_frames_as_they_will_be_seen(predictor: Predictor) -> None:
    framing = Framing((64, 96), "letterbox")
    frames = framed([photo(1), photo(2)], [framing, framing])
    assert [frame.shape for frame in frames] == [(1, 64, 96, 3)] * 2
    settings = replace(predictor.finder.settings.pyramid, max_upscale=1.0, min_side=80)
    levels = scaled([photo(1, 144, 192)], settings)
    assert [level.shape for level in levels] == [(1, 144, 192, 3), (1, 72, 96, 3)]
