"""Engines against torch: how much faster they are, and what eight bits lose, in one run.

    python benchmarks/engines.py --check
    python benchmarks/engines.py --only speed
    python benchmarks/engines.py --only localization exemplar --minutes 1 --every 20

OpenVINO's int8 network is made as `visionkit export` makes it, ranges fixed on 300 pictures to
learn from; test pictures are only measured on. Heads are made here: class means on Grocery, a
training of `--minutes` on BCCD, no training on FlickrLogos-27. What int8 gains depends on the
processor: those that multiply bytes in one step (VNNI, AMX) gain most. Rows are appended to
benchmarks/results/engines.csv.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from box_sets import BoxSet, bccd
from finding import measure, new_finder
from labelled import grocery
from ledger import Ledger
from numpy.typing import NDArray
from sets import flickrlogos27, photos
from timing import paired

from visionkit.data.framing import Framing
from visionkit.data.images import read_image
from visionkit.evaluation.localization import evaluate_localization
from visionkit.heads.classification import ClassificationHead
from visionkit.heads.localization import LocalizationHead
from visionkit.inference.engines.choice import Started, start
from visionkit.inference.engines.exporting import KEPT, framed, scaled, write_graphs
from visionkit.inference.engines.graph import Graph, HeadsGraph, SearchGraph
from visionkit.inference.engines.network import Network, TorchNetwork
from visionkit.inference.locate import locate
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.models.weights import starter_boxes
from visionkit.training.boxed import frame_size
from visionkit.training.localization import fit_localization
from visionkit.training.localization_settings import LocalizationSettings
from visionkit.types import Image

RESULTS = Path(__file__).parent / "results" / "engines.csv"
CALIBRATION, SEARCHED, CHOSEN_ON = 300, 50, 60
LOST = 0.01
BATCH, SIDE = 8, 224
SHRINKAGE = 0.3
BACKGROUNDS = 40
Frames = Sequence[NDArray[np.uint8]]


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    ledger = Ledger(RESULTS)
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            print(f"\n{name}")
            (Path(folder) / name).mkdir()
            PARTS[name](Path(folder) / name, ledger, arguments)
    return ledger.exit_status(check=arguments.check)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar falls short")
    parser.add_argument("--only", nargs="+", choices=[*PARTS], default=[*PARTS], help="parts")
    parser.add_argument("--minutes", type=float, default=20.0, help="of the training on BCCD")
    parser.add_argument("--every", type=int, default=1, help="only every nth test picture")
    parser.add_argument("--calibration", type=int, default=CALIBRATION, help="pictures for ranges")
    parser.add_argument("--rounds", type=int, default=15, help="of each timing")
    parser.add_argument("--threads", type=int, default=1, help="of torch and the engines")
    return parser.parse_args()


def _speed(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    """Backbone and a classification head, whose layer is nothing beside it."""
    backbone = _starter()
    head = ClassificationHead(backbone.pooled_channels, 10).eval()
    own = TorchNetwork(backbone, head)
    framing = Framing((SIDE, SIDE), "letterbox")
    frames = framed(photos(arguments.calibration), [framing])
    batch = [each[0] for each in frames[:BATCH]]
    graphs: dict[str, Graph] = {"heads": HeadsGraph(backbone, head, None).eval()}
    aims: dict[str, tuple[str, str, float | None, float | None]] = {
        "OpenVINO int8": ("openvino", "int8", 5.0, 8.0),
        "OpenVINO fp32": ("openvino", "fp32", None, None),
        "ONNX Runtime fp32": ("onnx", "fp32", None, None),
    }
    for name, (engine, precision, bar, goal) in aims.items():
        network = _made(graphs, engine, precision, folder, {"heads": frames}).network
        ratio = paired(_runs(own, batch), _runs(network, batch), rounds=arguments.rounds)
        words = f"starter, batch {BATCH} of {SIDE} px: {name}, times as fast as torch eager"
        ledger.add(words, ratio, at_least=bar, goal=goal, note=_bytes_in_one_step())


def _classification(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    given, backbone = grocery(), _starter()
    head = ClassificationHead(backbone.pooled_channels, int(given.train.labels.max()) + 1).eval()
    train = given.squares(given.train)
    with torch.no_grad():
        batches = [np.stack(train[at : at + 16]) for at in range(0, len(train), 16)]
        pixels = (torch.from_numpy(each).permute(0, 3, 1, 2).float() / 255 for each in batches)
        features = torch.cat([backbone(each).pooled for each in pixels])
    head.fit_standard(features)
    head.start_from_prototypes(features, given.train.labels, shrinkage=SHRINKAGE)
    test, truth = given.squares(given.test)[:: arguments.every], given.test.labels
    truth = truth[:: arguments.every]

    def accuracy(network: Network | None) -> float:
        answers = [_logits(network, [image]).argmax(1) for image in test]
        return float((torch.cat(answers) == truth).float().mean())

    graphs: dict[str, Graph] = {"heads": HeadsGraph(backbone, head, None).eval()}
    frames = [image[None] for image in _evenly(train, arguments.calibration)]
    eight = _made(graphs, "openvino", "int8", folder, {"heads": frames}).network
    own = TorchNetwork(backbone, head)
    _lost(ledger, "Grocery, class means: top-1", accuracy(own), accuracy(eight))


def _localization(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    given, backbone = bccd(), build_backbone(strides=(8, 16, 32))
    head = LocalizationHead(backbone.channels, len(given.class_names))
    head.load_class_agnostic(starter_boxes()[0])
    framing = Framing(frame_size(given.train, 416), "letterbox")
    settings = LocalizationSettings(
        max_epochs=None, minutes=arguments.minutes, freeze="none", accelerator="cpu", seed=0
    )
    fit_localization(
        backbone, head, given.train, (), given.class_names, framing, folder / "fit", settings
    )
    backbone, head = backbone.freeze().full().eval(), head.eval()

    def ap50(network: Network | None, part: BoxSet) -> float:
        if network is None:
            raise RuntimeError("there must be a network, got none")
        images = [read_image(sample.uri) for sample in part.test]
        found = locate(network, head, images, framing)
        return evaluate_localization(part.truths(), found, given.class_names).boxes.ap50

    learned = (read_image(sample.uri) for sample in _evenly(given.train, arguments.calibration))
    frames: dict[str, Frames] = {"heads": framed(learned, [framing])}
    graphs: dict[str, Graph] = {"heads": HeadsGraph(backbone, None, head).eval()}
    own = TorchNetwork(backbone, localization=head)
    known = replace(given, test=tuple(_evenly(given.train, CHOSEN_ON)))
    before, test = ap50(own, known), replace(given, test=given.test[:: arguments.every])
    # As export does: more floats where too much is lost, but told by pictures to learn from.
    for kept in KEPT:
        eight = _made(graphs, "openvino", "int8", folder, frames, kept).network
        if before - ap50(eight, known) <= LOST:
            break
    name = f"BCCD, {arguments.minutes:g} minutes, floats {KEPT.index(kept)}: AP50"
    _lost(ledger, name, ap50(own, test), ap50(eight, test))


def _exemplar(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    given = flickrlogos27()
    backbone = build_backbone(strides=(16,), pool_stride=16).freeze().eval()
    finder = new_finder(backbone, photos(BACKGROUNDS))
    finder.add(given.views)
    scenes = given.scenes[:: arguments.every]
    settings = finder.settings.pyramid
    graphs: dict[str, Graph] = {"search": SearchGraph(finder.backbone, settings.stride).eval()}
    seen = _evenly(given.exemplars, min(SEARCHED, arguments.calibration))
    frames = scaled((scene.image() for scene in seen), settings)
    before = measure(finder.find, scenes, finder.item_names).metrics.ap50
    finder.look = _made(graphs, "openvino", "int8", folder, {"search": frames}).look
    after = measure(finder.find, scenes, finder.item_names).metrics.ap50
    _lost(ledger, "FlickrLogos-27, untrained: AP50", before, after)


PARTS: dict[str, Callable[[Path, Ledger, argparse.Namespace], None]] = {
    "speed": _speed,
    "classification": _classification,
    "localization": _localization,
    "exemplar": _exemplar,
}


def _starter() -> Backbone:
    """With all maps that heads see, its channels last in memory, as a predictor has it."""
    backbone = build_backbone(strides=(8, 16, 32)).freeze()
    return backbone.to(memory_format=torch.channels_last).full().eval()


def _made(
    graphs: dict[str, Graph],
    engine: str,
    precision: str,
    folder: Path,
    frames: dict[str, Frames],
    kept: Sequence[str] = KEPT[0],
) -> Started:
    made = folder / f"{engine}_{precision}"
    write_graphs(graphs, engine, precision, made, frames=frames, kept=kept)
    return start(made, engine, graphs)


def _lost(ledger: Ledger, name: str, before: float, after: float) -> None:
    note = f"torch {before:.4f}, int8 {after:.4f}"
    ledger.add(f"{name} lost by OpenVINO int8", before - after, at_most=LOST, goal=0.0, note=note)


def _logits(network: Network | None, frames: Sequence[Image]) -> torch.Tensor:
    logits = None if network is None else network.outputs(frames, ["classification"]).classification
    if logits is None:
        raise RuntimeError("there must be a network with a classification head, got none")
    return logits


def _runs(network: Network | None, frames: Sequence[Image]) -> Callable[[], object]:
    return lambda: _logits(network, frames)


def _evenly(things: Sequence[object], count: int) -> list:
    places = np.linspace(0, len(things) - 1, min(count, len(things)))
    return [things[round(place)] for place in places]


def _bytes_in_one_step() -> str:
    """Whether the processor multiplies bytes in one step; Linux says so."""
    described = Path("/proc/cpuinfo")
    flags = set(described.read_text("utf-8").split()) if described.is_file() else set()
    known = [flag for flag in ("amx_int8", "avx512_vnni", "avx_vnni", "avx2") if flag in flags]
    return f"processor: {', '.join(known) or 'unknown'}"


if __name__ == "__main__":
    sys.exit(main())
