"""What keeping freed memory brings: training steps of a process that does and of one that does not.

    python benchmarks/allocator.py

The step is that of the localization head at 640x480, a batch of four, the backbone free. Both
processes run in turn; the CPU time of their last steps is compared. A row is appended to
benchmarks/results/allocator.csv.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from ledger import Ledger

from visionkit.allocator import keep_freed_memory
from visionkit.heads.localization import BoxTargets, LocalizationHead
from visionkit.models.build_backbone import build_backbone
from visionkit.training.localization_module import Localizer

RESULTS = Path(__file__).parent / "results" / "allocator.csv"
PICTURES, STEPS, WARM = 4, 6, 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of both processes")
    parser.add_argument("--steps-of", choices=["kept", "given back"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.steps_of:
        print(_seconds_a_step(kept=arguments.steps_of == "kept"))
        return 0
    kept, given_back = zip(
        *((_measured("kept"), _measured("given back")) for _ in range(arguments.rounds)),
        strict=True,
    )
    ratio = statistics.median(mine / its for mine, its in zip(kept, given_back, strict=True))
    note = f"{statistics.median(kept):.2f} and {statistics.median(given_back):.2f} s a step"
    Ledger(RESULTS).add("step with freed memory kept: times one without", ratio, note=note)
    return 0


def _measured(how: str) -> float:
    words = [sys.executable, __file__, "--steps-of", how]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def _seconds_a_step(*, kept: bool) -> float:
    """Seconds of the CPU, of the system's too, with one thread; the median of the last steps."""
    if kept and not keep_freed_memory():
        raise RuntimeError("memory must be kept by glibc's allocator, which is not here")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    backbone = build_backbone(strides=(8, 16, 32)).free()
    model = Localizer(backbone, LocalizationHead(backbone.channels, 3))
    model = model.to(memory_format=torch.channels_last).train()
    images = torch.rand(PICTURES, 3, 480, 640).to(memory_format=torch.channels_last)
    corners = torch.rand(PICTURES, 8, 2) * 300
    targets = BoxTargets(
        list(torch.cat([corners, corners + 60], 2)), [torch.zeros(8, dtype=torch.int64)] * PICTURES
    )
    seconds = []
    for _ in range(WARM + STEPS):
        start = time.process_time()
        losses = model.head.loss(model(images), targets)
        sum(losses.values(), torch.zeros(())).backward()
        model.zero_grad()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds[WARM:])


if __name__ == "__main__":
    sys.exit(main())
