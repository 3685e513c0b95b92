"""Videos against their bars and baselines, on real pictures, in one run.

    python benchmarks/video.py --check --peer-python /path/to/peer/bin/python
    python benchmarks/video.py --bundle runs/mine/bundle --engine openvino_int8
    python benchmarks/video.py --parts sampling --frames 300 --rounds 1

Every figure is measured here and now; rows are appended to benchmarks/results/video.csv. Without
--bundle the network is the starter backbone with heads at random, whose answers mean nothing but
take as long, exported for OpenVINO in single precision; against the plain loop it has a head that
was trained (video_plain.py). Times are of the clock, but for those beside the peer: nothing else
should run.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from finding import measure
from ledger import Ledger
from sets import flickrlogos27, photos, tuned_on
from video_clips import SIZES, encoded, repeated
from video_peer import measure_peer
from video_plain import measure_plain, trained_bundle
from video_reuse import measure_reuse

from visionkit.allocator import keep_freed_memory
from visionkit.data.drawn import draw_mark
from visionkit.data.framing import Framing
from visionkit.heads.classification import ClassificationHead
from visionkit.heads.localization import LocalizationHead
from visionkit.inference.parts import ClassificationPart, LocalizationPart
from visionkit.inference.prediction import Prediction
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.frames import Frame
from visionkit.inference.video.many import Asking, watch_many
from visionkit.inference.video.pieces import cut
from visionkit.inference.video.pipeline import predict_batches
from visionkit.inference.video.reader import Reading, read_frames
from visionkit.inference.video.sampling import EVERY_FRAME, KeyFrames, Rate, Sampling
from visionkit.matching.finder import Finder
from visionkit.matching.gallery import make_view
from visionkit.models.build_backbone import build_backbone

RESULTS = Path(__file__).parent / "results" / "video.csv"
SCRIPT = Path(__file__).parents[1] / "scripts" / "predict_video.py"
EXPORT = Path(__file__).parents[1] / "scripts" / "export.py"
PARTS = ("pipeline", "plain", "sampling", "memory", "ray", "gallery", "reuse", "peer")
BATCH = 8
CLASSES = tuple(f"class {number}" for number in range(10))
FRAMING = Framing((224, 224), "letterbox")
BOX_FRAMING = Framing((320, 320), "letterbox")
GIGABYTE = 1 << 30
FEW_VIEWS = 40


def main() -> int:
    arguments = _arguments()
    keep_freed_memory()  # as the command does
    ledger = Ledger(RESULTS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = Path(arguments.bundle) if arguments.bundle else _bundle(folder / "bundle")
        if not arguments.bundle and arguments.engine.startswith("openvino"):
            words = [f"bundle={bundle}", "engine=openvino", f"output={folder / 'export'}"]
            subprocess.run([sys.executable, str(EXPORT), *words], check=True)
        for part in arguments.parts:
            print(f"\n{part}")
            _MEASURES[part](folder, bundle, arguments, ledger)
    return ledger.exit_status(check=arguments.check)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar falls short")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--bundle", help="of the network; one with heads at random by default")
    parser.add_argument("--engine", default="openvino", help="as of predict_video")
    parser.add_argument("--frames", type=int, default=1000, help="of the clips")
    parser.add_argument("--rounds", type=int, default=5, help="of every comparison")
    parser.add_argument("--minutes", type=float, default=60, help="of the long clip for memory")
    parser.add_argument("--views", type=int, default=10_000, help="of the large gallery")
    parser.add_argument("--reuse-every", type=int, default=3, help="frames from one to the next")
    parser.add_argument("--peer-python", help="python in whose environment ultralytics is")
    return parser.parse_args()


def _bundle(path: Path) -> Path:
    """The starter backbone with two heads at random."""
    torch.manual_seed(0)
    backbone = build_backbone()
    classes = ClassificationHead(backbone.pooled_channels, len(CLASSES))
    torch.nn.init.normal_(classes.weight, std=2 * backbone.pooled_channels**-0.5)
    boxes = LocalizationHead(backbone.full().channels, len(CLASSES))
    none = dict.fromkeys(CLASSES, 0.0)
    Predictor(
        backbone.freeze().eval(),
        None,
        ClassificationPart(classes.eval(), CLASSES, FRAMING, none),
        LocalizationPart(boxes.eval(), CLASSES, BOX_FRAMING, dict.fromkeys(CLASSES, 0.3)),
    ).save(path)
    return path


def _pipeline(folder: Path, bundle: Path, arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Frames a second against cores / (1 / d + 1 / m)."""
    cores = len(os.sched_getaffinity(0))
    predictor = Predictor.load(bundle, device="cpu", engine=arguments.engine)
    for name, size in SIZES.items():
        clip = encoded(folder / f"{name}.mp4", size, arguments.frames)
        rates = []
        for _ in range(arguments.rounds):
            decode, network = _decode_rate(clip), _network_rate(predictor, clip)
            torch.set_num_threads(cores)
            start = time.perf_counter()
            count = sum(len(batch) for batch in _batches(predictor, clip))
            rates.append((count / (time.perf_counter() - start), decode, network))
        shares = [fps / (cores / (1 / d + 1 / m)) for fps, d, m in rates]
        fps, d, m = (statistics.median(column) for column in zip(*rates, strict=True))
        note = f"{fps:.0f} fps, decoding {d:.0f}, network {m:.0f} a core, {cores} cores"
        share = statistics.median(shares)
        ledger.add(f"{name}: share of the limit", share, at_least=0.85, goal=0.95, note=note)


def _plain(folder: Path, bundle: Path, arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Against cv2.VideoCapture and torch, one frame at a time."""
    measure_plain(
        ledger,
        bundle if arguments.bundle else trained_bundle(folder / "trained", FRAMING),
        folder,
        engine=arguments.engine,
        frames=arguments.frames,
        rounds=arguments.rounds,
    )


def _sampling(folder: Path, bundle: Path, arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Key frames and one frame a second against decoding every frame, one key frame in 250."""
    clip = encoded(folder / "long_gop.mp4", SIZES["720p"], arguments.frames, gop=250)
    bars: list[tuple[str, Sampling, float, float]] = [
        ("keyframes", KeyFrames(), 10.0, 15.0),
        ("fps=1", Rate(1), 1.3, 1.6),
    ]
    for name, sampling, bar, goal in bars:
        ratios = []
        for _ in range(arguments.rounds):
            whole = _seconds(lambda: _count(clip, EVERY_FRAME))
            ratios.append(whole / _seconds(lambda wanted=sampling: _count(clip, wanted)))
        title = f"{name}: times as fast as decoding every frame"
        note = f"{_count(clip, sampling)} of {arguments.frames} frames"
        ledger.add(title, statistics.median(ratios), at_least=bar, goal=goal, note=note)


def _memory(folder: Path, bundle: Path, arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Peak memory of the whole job on a long clip against a minute."""
    # Small, so that an hour is affordable, and without frames that look ahead.
    short = encoded(folder / "small.mp4", (180, 320), 250)
    peaks = {}
    for minutes in (1.0, arguments.minutes):
        clip = repeated(short, folder / f"{minutes:g}.mp4", 60 * minutes)
        peaks[minutes] = _peak(bundle, clip, folder / f"run_{minutes:g}")
    long, minute = peaks[arguments.minutes], peaks[1.0]
    ledger.add(
        f"{arguments.minutes:g} minutes: times the peak memory of one", long / minute, at_most=1.1
    )
    ledger.add("peak memory in GB", long / GIGABYTE, at_most=1.5)


def _peak(bundle: Path, clip: Path, run: Path) -> int:
    """Bytes of memory that `predict_video` needed at most."""
    words = [f"bundle={bundle}", f"source={clip}", f"output={run}", "accelerator=cpu", "every=5"]
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *words, "tasks=[classification]"], stdout=subprocess.DEVNULL
    )
    usage: resource.struct_rusage
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"predict_video must succeed, got exit status {process.returncode}")
    return usage.ru_maxrss * 1024


def _ray(folder: Path, bundle: Path, arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Two processes on two cores against the local pipeline, once they have started."""
    clip = encoded(folder / "shared.mp4", SIZES["720p"], 2 * arguments.frames, gop=25)
    predictor = Predictor.load(bundle, device="cpu", engine=arguments.engine)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    start = time.perf_counter()
    local = sum(len(batch) for batch in _batches(predictor, clip)) / (time.perf_counter() - start)
    asking = Asking(
        str(bundle), ["classification"], batch_size=BATCH, device="cpu", engine=arguments.engine
    )
    for workers in (1, 2):
        frames, first, last = 0, 0.0, 0.0
        # What a process saw while the other started is not counted, nor that time.
        pieces = cut(str(clip), Reading(), 2 * arguments.frames / 25 / 16)
        for place, seen in enumerate(watch_many(pieces, asking, workers=workers, address=None)):
            last = time.perf_counter()
            if place < 2 * workers:
                first = last
            else:
                frames += len(seen.lines)
        rate = frames / (last - first)
        ray.shutdown()
        ledger.add(
            f"Ray, {workers} workers: times the throughput of the local pipeline",
            rate / local,
            at_least=0.7 if workers == 2 else None,
            goal=0.9 if workers == 2 else None,
            note=f"{rate:.0f} and {local:.0f} frames a second",
        )


def _gallery(folder: Path, bundle: Path, arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Time a frame of the search in a large gallery against an empty one."""
    clip = encoded(folder / "few.mp4", SIZES["720p"], 16, gop=8)
    scenes = [each.image for each in read_frames(clip)]
    background = photos(24)
    galleries = {
        count: Predictor.create(background=background, device="cpu")
        for count in (0, FEW_VIEWS, arguments.views)
    }
    rng = np.random.default_rng(0)
    views = []
    for number in range(arguments.views):
        drawn = draw_mark(rng, size=64)
        views.append(make_view(f"item {number}", drawn[..., :3], alpha=drawn[..., 3]))
    for count, predictor in galleries.items():
        if count:
            predictor.finder.add(views[:count])
    seconds: dict[int, list[float]] = {count: [] for count in galleries}
    for _ in range(arguments.rounds):
        for count, predictor in galleries.items():
            spent = _seconds(lambda own=predictor: [own.find(scene) for scene in scenes])
            seconds[count].append(spent / len(scenes))
    many = seconds[arguments.views]
    note = ", ".join(
        f"{statistics.median(found):.2f} s a frame with {count}" for count, found in seconds.items()
    )
    for count, name, bar in (
        (0, "an empty gallery", 1.2),
        (FEW_VIEWS, f"one of {FEW_VIEWS}", None),
    ):
        ratio = statistics.median(a / b for a, b in zip(many, seconds[count], strict=True))
        title = f"{arguments.views} views: times the time a frame of {name}"
        ledger.add(title, ratio, at_most=bar, note=note)
    _shown(galleries[arguments.views].finder, galleries[0].finder, arguments.views, ledger)


def _shown(large: Finder, empty: Finder, views: int, ledger: Ledger) -> None:
    """Photos that show items of a gallery: what they cost, and how well they are found in it."""
    given = tuned_on(flickrlogos27())
    scenes = given.scenes[::2]
    images = [scene.image() for scene in scenes]
    nothing = _seconds(lambda: [empty.find(image) for image in images])
    for finder in (large, empty):
        finder.add(given.views)
    among, alone = (
        measure(own.find, scenes, own.item_names).metrics.ap50 for own in (large, empty)
    )
    some = _seconds(lambda: [large.find(image) for image in images])
    which = f"{len(scenes)} photos of FlickrLogos-27's second subset"
    title = f"{views} views: times the time of an empty gallery where items are shown"
    ledger.add(title, some / nothing, note=which)
    title = f"{views} views: AP50 of {len(given.views)} others among them"
    ledger.add(title, among, note=f"{which}; in a gallery of their own {alone:.3f}")


def _reuse(folder: Path, bundle: Path, arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Answers that change where frames that hardly changed get those of the frame before."""
    measure_reuse(ledger, every=arguments.reuse_every, frames=300)


def _peer(folder: Path, bundle: Path, arguments: argparse.Namespace, ledger: Ledger) -> None:
    """CPU seconds a frame outside the network against Ultralytics."""
    if not arguments.peer_python:
        print("needs --peer-python")
        return
    count = min(arguments.frames, 200) + BATCH  # the first batch is not counted
    measure_peer(
        ledger,
        Predictor.load(bundle, device="cpu", engine=arguments.engine),
        encoded(folder / "peer.mp4", SIZES["720p"], count),
        python=arguments.peer_python,
        framing=BOX_FRAMING,
        rounds=arguments.rounds,
    )


def _decode_rate(clip: Path) -> float:
    """Frames a second of one core that decodes and scales to the network's size."""
    reading = Reading(framings=frozenset([FRAMING]))
    start = time.perf_counter()
    count = sum(1 for _ in read_frames(clip, reading))
    return count / (time.perf_counter() - start)


def _network_rate(predictor: Predictor, clip: Path) -> float:
    """Frames a second of one core that answers about frames that are decoded already."""
    torch.set_num_threads(1)
    reading = Reading(framings=frozenset([FRAMING]))
    with closing(read_frames(clip, reading)) as frames:
        batch = list(itertools.islice(frames, BATCH))
    _answer(predictor, batch)
    times = [_seconds(lambda: _answer(predictor, batch)) for _ in range(20)]
    return len(batch) / statistics.median(times)


def _answer(predictor: Predictor, frames: Sequence[Frame]) -> list[Prediction]:
    return predictor.predict(frames, ["classification"], batch_size=BATCH)


def _batches(predictor: Predictor, clip: Path) -> Iterator[list[Prediction]]:
    problems: list[Any] = []
    options: dict[str, Any] = {"batch_size": BATCH, "problems": problems}
    for batch in predict_batches(predictor, clip, Reading(), ["classification"], **options):
        yield [answer.prediction for _, answer in batch]


def _count(clip: Path, sampling: Sampling) -> int:
    reading = Reading(sampling, framings=frozenset([FRAMING]))
    return sum(1 for _ in read_frames(clip, reading))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


_MEASURES = {
    "pipeline": _pipeline,
    "plain": _plain,
    "sampling": _sampling,
    "memory": _memory,
    "ray": _ray,
    "gallery": _gallery,
    "reuse": _reuse,
    "peer": _peer,
}


if __name__ == "__main__":
    sys.exit(main())
