"""The training debugger: planted faults, clean trainings, and what it costs.

    python benchmarks/debugger.py
    python benchmarks/debugger.py --only cost
    python benchmarks/debugger.py --only clean --trainings localization all --seeds 0 --resume

`faults`: each rule has a small real training with its fault (`benchmarks/faults.py`); counted are
those of which the first finding is that rule's. `clean`: the same training without a fault, the
demos of all tasks and the experiments, whose trainings must give no finding; each leaves its
findings in runs/debugger_benchmark, and with --resume those that are there are not trained again.
`cost`: CPU time of training steps of the
starter backbone with a classification head, watched at the default interval, in times of the same
steps unwatched; both run in turn.

What this does not show: faults of other strengths, larger networks, a GPU.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from faults import FAULTS, clean, run
from ledger import Ledger
from timing import paired

from visionkit import TrainingDebugger
from visionkit.heads.classification import ClassificationHead
from visionkit.models.build_backbone import build_backbone
from visionkit.training.classification_module import Classifier
from visionkit.training.debugger import DebuggerSettings, read_findings

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted(file.stem for file in (ROOT / "conf" / "experiment").glob("*.yaml"))
RUNS = ROOT / "runs" / "debugger_benchmark"
TRAININGS = {
    "exemplar": ["task=exemplar", "task.scenes.train=40", "task.scenes.val=16"],
    "classification": [
        "task=classification",
        "task.finetune.enabled=true",
        "task.finetune.max_epochs=4",
        "task.image_size=64",
        "data.demo.digits=400",
    ],
    "localization": ["task=localization", "task.minutes=1.0", "task.image_size=160"],
    "all": [
        "task=all",
        "task.heads=[classification,localization]",
        "task.minutes=1.0",
        "task.classification.image_size=64",
        "task.localization.image_size=160",
        "data.demo.digits=400",
    ],
    **{name: [f"experiment={name}"] for name in EXPERIMENTS},
}
UNTRAINED = ("demo_correlation_only", "demo_gallery_only")  # in these nothing is learned
_STEPS = DebuggerSettings().interval


def faults(ledger: Ledger) -> None:
    """Each planted fault: is it named first?"""
    named = {}
    for rule, make in FAULTS.items():
        found = run(make())
        named[rule] = bool(found) and found[0].rule == rule
        ledger.add(f"fault {rule}, named first", float(named[rule]), at_least=1)
    ledger.add("faults named first, share", sum(named.values()) / len(named), at_least=1)


def unspoiled(
    ledger: Ledger, seeds: list[int], names: list[str], *, threads: int, resume: bool
) -> None:
    """Findings of clean trainings; one that fails is told, and the others go on."""
    for seed in seeds:
        ledger.add(f"clean plain loop, seed {seed}, findings", len(run(clean(seed))), at_most=0)
    for seed in seeds:
        for name in names:
            start = time.monotonic()
            found, note = _trained(name, seed, threads=threads, resume=resume)
            figure = math.nan if found is None else len(found)
            note = f"{note}; {time.monotonic() - start:.0f} s, {threads} threads"
            ledger.add(f"clean {name}, seed {seed}, findings", figure, at_most=0, note=note)


def _trained(name: str, seed: int, *, threads: int, resume: bool) -> tuple[list[str] | None, str]:
    """What a training found, None where it failed; and a note."""
    folder = RUNS / f"{name}-{seed}"
    kept = folder.with_suffix(".json")
    if resume and kept.is_file():
        found: list[str] = json.loads(kept.read_text("utf-8"))
        return found, " ".join([*found, "(of an earlier run)"])
    shutil.rmtree(folder, ignore_errors=True)
    kept.unlink(missing_ok=True)
    status = _train(name, seed, folder, threads)
    files = list(folder.rglob("findings.json"))
    if status or (not files and name not in UNTRAINED):
        return None, f"the training ended with {status}, see {folder.name}.log"
    found = [f"{one.rule}:{one.layer}" for file in files for one in read_findings(file)]
    kept.write_text(json.dumps(found), "utf-8")
    return found, " ".join(found) or ("" if files else "nothing is learned in it")


def _train(name: str, seed: int, folder: Path, threads: int) -> int:
    """Exit status of a training; what it says goes into a file beside its folder."""
    words = [*TRAININGS[name], f"seed={seed}", f"output={folder}", "trainer.accelerator=cpu"]
    words += [f"data.demo.folder={RUNS / f'demo-{name}'}", "trainer.progress=false"]
    if name in ("classification", "all"):
        place = "task.cache" if name == "classification" else "task.classification.cache"
        words.append(f"{place}.folder={RUNS / 'features'}")
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *words]
    own = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    RUNS.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".log").open("wb") as log:
        told = subprocess.run(
            command, cwd=ROOT, check=False, env=own, stdout=log, stderr=subprocess.STDOUT
        )
    return told.returncode


def cost(ledger: Ledger, rounds: int, side: int) -> None:
    """Steps of one interval, watched and not."""
    torch.manual_seed(0)
    backbone = build_backbone("starter").free()
    model = Classifier(backbone, ClassificationHead(backbone.pooled_channels, 10)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    images = torch.rand(16, 3, side, side)
    labels = torch.arange(16) % 10
    watch = TrainingDebugger(say=lambda _: None).watch(model, optimizer)

    def step() -> torch.Tensor:
        return F.cross_entropy(model(images), labels)

    def learn(loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def watched() -> None:
        for _ in watch.batches([(images, labels)] * _STEPS):
            loss = step()
            watch.loss(loss)
            learn(loss)

    def alone() -> None:
        for _ in range(_STEPS):
            learn(step())

    watched()  # the first steps are looked at more often
    with _one_thread():
        times = paired(watched, alone, rounds=rounds)
    ledger.add(
        f"cost of a step, {side} px, batch 16, interval {_STEPS}", times, at_most=1.05, goal=1.02
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """CPU time of one thread: that of several grows where they wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def main() -> int:
    parser = argparse.ArgumentParser(description="The training debugger against its bars.")
    parser.add_argument("--only", choices=("faults", "clean", "cost"))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--trainings", nargs="*", default=list(TRAININGS), choices=list(TRAININGS))
    parser.add_argument("--threads", type=int, default=1, help="of each training")
    parser.add_argument("--resume", action="store_true", help="keep the trainings that are done")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    arguments = parser.parse_args()
    ledger = Ledger(ROOT / "benchmarks" / "results" / "debugger.csv")
    if arguments.only in (None, "cost"):
        cost(ledger, arguments.rounds, arguments.side)
    if arguments.only in (None, "faults"):
        faults(ledger)
    if arguments.only in (None, "clean"):
        unspoiled(
            ledger,
            arguments.seeds,
            arguments.trainings,
            threads=arguments.threads,
            resume=arguments.resume,
        )
    return ledger.exit_status(check=arguments.check)


if __name__ == "__main__":
    sys.exit(main())
