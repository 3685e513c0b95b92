"""Processes that measure side by side."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch


def side_by_side(jobs: int, threads: int) -> ProcessPoolExecutor:
    """So many processes, with so many threads of torch in each.

    Spawned: a fork beside torch's threads may hang.
    """
    return ProcessPoolExecutor(
        jobs, get_context("spawn"), initializer=torch.set_num_threads, initargs=(threads,)
    )
