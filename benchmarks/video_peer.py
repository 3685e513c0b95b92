"""Time a frame outside the network against Ultralytics' `predict(stream=True)`.

What is alike on both sides: the clip, one thread, one core, boxes that the network says of each
frame (thirty, of six objects), and what counts as the network: from pixels of its size, uint8, to
its raw outputs. The rest is decoding, framing, and boxes without doubles, named and in pixels of
the frame. What is loaded once is not counted. Ultralytics' pixels become floats outside of what it
calls its network itself, and ours inside; here that is the network on both sides.

Times are of the CPU, not of the clock: neither side can hide work in another thread.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ledger import Ledger
from peers.yolo_video import SEEN

from visionkit.data.framing import Framing
from visionkit.heads.localization import DenseOutputs
from visionkit.inference.engines.network import RawOutputs
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.frames import Frame
from visionkit.inference.video.reader import Reading, read_frames

BATCH = 8
_PEER = Path(__file__).parent / "peers" / "yolo_video.py"


def measure_peer(
    ledger: Ledger, predictor: Predictor, clip: Path, *, python: str, framing: Framing, rounds: int
) -> None:
    """Adds the time a frame of ours in times of theirs.

    Args:
        ledger: that the figure is added to.
        predictor: with a localization head of at least six classes.
        clip: of more frames than a batch has.
        python: in whose environment `ultralytics` is.
        framing: of the localization head; the peer sees the same longest side.
        rounds: both in turn.
    """
    torch.set_num_threads(1)
    each = []
    for _ in range(rounds):
        with _one_core():
            ours, frames, boxes = _ours(predictor, clip, framing)
        theirs, their_boxes = _theirs(python, clip, max(framing.size), frames)
        each.append((ours, theirs))
    median = [1000 * statistics.median(column) for column in zip(*each, strict=True)]
    ledger.add(
        "outside the network: times Ultralytics' time a frame",
        statistics.median(ours / theirs for ours, theirs in each),
        at_most=1.0,
        goal=0.5,
        note=(
            f"{median[0]:.2f} against {median[1]:.2f} ms of CPU; {len(SEEN)} boxes a frame said, "
            f"{boxes:.1f} and {their_boxes:.1f} given"
        ),
    )


def _ours(predictor: Predictor, clip: Path, framing: Framing) -> tuple[float, int, float]:
    """CPU seconds a frame outside the network; frames after the first batch; boxes a frame."""
    passed = 0.0
    network = predictor.network
    outputs = network.outputs

    def timed(*args: Any, **options: Any) -> RawOutputs:
        nonlocal passed
        start = time.process_time()
        result = _with_objects(outputs(*args, **options))
        passed += time.process_time() - start
        return result

    network.outputs = timed  # type: ignore[method-assign]
    count, boxes, start = 0, 0, 0.0
    reading = Reading(framings=frozenset([framing]))
    for place, batch in enumerate(_in_batches(read_frames(clip, reading))):
        answers = predictor.predict(batch, ["localization"], batch_size=BATCH)
        if not place:  # the first loads what is loaded once
            passed, start = 0.0, time.process_time()
            continue
        count += len(batch)
        boxes += sum(len(answer.localization or ()) for answer in answers)
    seconds = time.process_time() - start - passed
    del network.outputs
    return seconds / count, count, boxes / count


def _theirs(python: str, clip: Path, side: int, frames: int) -> tuple[float, float]:
    """CPU seconds a frame outside the network, and boxes a frame, of Ultralytics."""
    words = ["--video", str(clip), "--size", str(side), "--frames", str(frames)]
    said = subprocess.run(
        [python, str(_PEER), *words], check=True, capture_output=True, text=True, cwd=clip.parent
    )
    peer = json.loads(said.stdout.splitlines()[-1])
    return (peer["seconds"] - peer["network"]) / peer["frames"], peer["boxes"]


def _with_objects(said: RawOutputs) -> RawOutputs:
    """Outputs with the boxes of `SEEN` in every frame."""
    if said.localization is None:
        raise RuntimeError("the localization head must have been asked, got no outputs")
    dense: DenseOutputs = said.localization
    for place, (x, y, width, height, label, score) in enumerate(SEEN):
        cell = 7 * place
        dense.boxes[:, cell] = torch.tensor([x, y, x + width, y + height])
        dense.quality[:, cell] = dense.classes[:, cell, label] = torch.tensor(score).logit()
    return said


@contextmanager
def _one_core() -> Iterator[None]:
    """The same core as the peer's, as long as the block lasts."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _in_batches(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    while batch := list(itertools.islice(frames, BATCH)):
        yield batch
