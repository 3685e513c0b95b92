"""The pipeline against the plain loop: `cv2.VideoCapture` and torch eager, a frame at a time.

The network is one of a user's: a classification head is trained on the ants and bees of
Hymenoptera, and exported in single precision and in eight bits, which are judged on the pictures
that were learned from. The clips go over the set's other photos, of which nothing is learned or
chosen. How many frames get the same class from both says whether the answers are the same, and how
many get the right one whether they are worse where they differ.
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from labelled import HYMENOPTERA
from ledger import Ledger
from video_clips import SIZES, SLIDE, slides

from visionkit.data.framing import Framing
from visionkit.data.images import read_image
from visionkit.data.picture_files import find_images
from visionkit.inference.engines.exported import exports_in
from visionkit.inference.prediction import Prediction
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.pipeline import predict_batches
from visionkit.inference.video.reader import Reading

BATCH = 8
IN_FLOATS = "openvino_fp32"
_SCRIPTS = Path(__file__).parents[1] / "scripts"


def trained_bundle(folder: Path, framing: Framing) -> Path:
    """A bundle that tells ants from bees, for OpenVINO in single precision and in eight bits.

    Raises:
        subprocess.CalledProcessError: eight bits lost too much, or something else failed.
    """
    learned_from = HYMENOPTERA / "train"
    bundle = folder / "training" / "bundle"
    size = f"task.image_size={framing.size[0]}"
    words = ["task=classification", size, f"task.fit={framing.fit}", "data=folders"]
    _run("train", *words, f"data.root={learned_from}", f"output={folder / 'training'}")
    shown = [f"bundle={bundle}", "engine=openvino", f"images={learned_from}"]
    _run("export", *shown, f"output={folder / 'floats'}")
    judged = [f"data={learned_from}", "format=folders", f"output={folder / 'bytes'}"]
    _run("export", *shown, "precision=int8", *judged)
    return bundle


def measure_plain(
    ledger: Ledger, bundle: Path, folder: Path, *, engine: str, frames: int, rounds: int
) -> None:
    """Adds how many times as fast as the plain loop we are, for each size of video.

    Args:
        ledger: that the figures are added to; single precision is only reported beside `engine`.
        bundle: with a classification head.
        folder: that clips are written to.
        engine: as of `Predictor.load`.
        frames: of a clip.
        rounds: all in turn.
    """
    plain = Predictor.load(bundle, device="cpu", engine="torch")
    ours = Predictor.load(bundle, device="cpu", engine=engine)
    compared = {ours.engine: ours}
    if IN_FLOATS in exports_in(bundle):
        floats = Predictor.load(bundle, device="cpu", engine=IN_FLOATS)
        compared.setdefault(floats.engine, floats)
    paths = find_images(HYMENOPTERA / "val")
    places = np.linspace(0, len(paths) - 1, min(len(paths), math.ceil(frames / SLIDE)))
    shown = [paths[round(place)] for place in places]
    photos = [read_image(path) for path in shown]
    truth = [shown[number // SLIDE % len(shown)].parent.name for number in range(frames)]
    for name, size in SIZES.items():
        clip = slides(folder / f"{name}_slides.mp4", size, photos, frames)
        ratios: dict[str, list[float]] = {each: [] for each in compared}
        notes = dict.fromkeys(compared, "")
        for _ in range(rounds):
            seconds, expected = _clocked(_one_at_a_time(plain, clip))
            for each, predictor in compared.items():
                spent, said = _clocked(_by_pipeline(predictor, clip))
                ratios[each].append(seconds / spent)
                notes[each] = _compared(said, expected, truth)
        for each, found in ratios.items():
            has_bar = each == ours.engine
            ledger.add(
                f"{name}, {each}: times the plain loop",
                statistics.median(found),
                at_least=4.0 if has_bar else None,
                goal=10.0 if has_bar else None,
                note=notes[each],
            )


def _compared(ours: Sequence[Prediction], plain: Sequence[Prediction], truth: Sequence[str]) -> str:
    """How many answers are the same, and how many of each are right."""
    same = statistics.mean(
        one.labels == other.labels for one, other in zip(ours, plain, strict=True)
    )
    right, before = (
        statistics.mean(name in each.labels for each, name in zip(said, truth, strict=True))
        for said in (ours, plain)
    )
    return f"same class on {same:.1%} of {len(truth)} frames; right on {right:.1%}, {before:.1%}"


def _clocked(answers: Iterator[Prediction]) -> tuple[float, list[Prediction]]:
    """Seconds until the last answer, and all of them."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    start = time.perf_counter()
    found = list(answers)
    return time.perf_counter() - start, found


def _by_pipeline(predictor: Predictor, clip: Path) -> Iterator[Prediction]:
    problems: list[Any] = []
    options: dict[str, Any] = {"batch_size": BATCH, "problems": problems}
    batches = predict_batches(predictor, clip, Reading(), ["classification"], **options)
    return (answer.prediction for _, answer in itertools.chain.from_iterable(batches))


def _one_at_a_time(predictor: Predictor, clip: Path) -> Iterator[Prediction]:
    capture = cv2.VideoCapture(str(clip))
    while True:
        read, image = capture.read()
        if not read:
            break
        rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        yield from predictor.predict([rgb], ["classification"], batch_size=1)
    capture.release()


def _run(script: str, *words: str) -> None:
    subprocess.run([sys.executable, str(_SCRIPTS / f"{script}.py"), *words], check=True)
