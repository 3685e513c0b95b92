"""The training debugger: planted faults, clean trainings, and what it costs.

    python benchmarks/debugger.py
    python benchmarks/debugger.py --only cost

`faults`: each rule has a small real training with its fault (`benchmarks/faults.py`); counted are
those of which the first finding is that rule's. `clean`: the same training without a fault and the
demos of all tasks, whose trainings must give no finding. `cost`: CPU time of training steps of the
starter backbone with a classification head, watched at the default interval, in times of the same
steps unwatched; both run in turn.

What this does not show: faults of other strengths, larger networks, a GPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
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
from visionkit.models.backbone import build_backbone
from visionkit.training.classification_module import Classifier
from visionkit.training.debugger import DebuggerSettings, read_findings

ROOT = Path(__file__).resolve().parents[1]
DEMOS = {
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
}
_STEPS = DebuggerSettings().interval


def faults(ledger: Ledger) -> None:
    """Each planted fault: is it named first?"""
    named = {}
    for rule, make in FAULTS.items():
        found = run(make())
        named[rule] = bool(found) and found[0].rule == rule
        ledger.add(f"fault {rule}, named first", float(named[rule]), at_least=1)
    ledger.add("faults named first, share", sum(named.values()) / len(named), at_least=1)


def unspoiled(ledger: Ledger, seeds: int, demos: list[str]) -> None:
    """Findings of clean trainings."""
    for seed in range(seeds):
        ledger.add(f"clean plain loop, seed {seed}, findings", len(run(clean(seed))), at_most=0)
    for name in demos:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                found = _demo(name, seed, Path(folder) / "run")
            note = " ".join(found)
            ledger.add(f"clean {name}, seed {seed}, findings", len(found), at_most=0, note=note)


def _demo(name: str, seed: int, folder: Path) -> list[str]:
    words = [*DEMOS[name], f"seed={seed}", f"output={folder}", "trainer.accelerator=cpu"]
    words += [f"data.demo.folder={folder.parent / 'demo'}", "trainer.progress=false"]
    if name in ("classification", "all"):
        place = "task.cache" if name == "classification" else "task.classification.cache"
        words.append(f"{place}.folder={folder.parent / 'features'}")
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *words]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    files = list(folder.rglob("findings.json"))
    if not files:
        raise RuntimeError(f"the training of {name} must write findings.json, but did not")
    return [f"{one.rule}:{one.layer}" for file in files for one in read_findings(file)]


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
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--demos", nargs="*", default=list(DEMOS), choices=list(DEMOS))
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
        unspoiled(ledger, arguments.seeds, arguments.demos)
    if ledger.short:
        print(f"Short: {', '.join(ledger.short)}")
    return int(arguments.check and bool(ledger.short))


if __name__ == "__main__":
    sys.exit(main())
