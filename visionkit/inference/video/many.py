"""Videos watched by many processes, on one machine or several: Ray Data hands out the pieces.

Each process loads the bundle once. Answers come back in the order of the pieces and are written by
the one process that asked: so a process that dies loses nothing and doubles nothing, Ray has its
piece watched again. Machines need to reach videos and bundle by the same paths.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from visionkit.data.problems import Problem
from visionkit.inference.converted import converted
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.pieces import Piece, Seen, watch


@dataclass(frozen=True)
class Asking:
    """What is asked of every piece.

    Attributes:
        bundle: path of the bundle, the same on every machine.
        tasks: heads; None asks all.
        score_threshold, batch_size: as of `Predictor.video`.
        reuse: as of `predict_batches`.
        device, engine: as of `Predictor.load`.
        is_converted: whether each machine takes the engine from its own cache instead of the
            bundle, as of `converted`, and makes it where it is not there.
    """

    bundle: str
    tasks: Sequence[str] | None = None
    score_threshold: float | None = None
    batch_size: int | None = None
    reuse: float = 0.0
    device: str = "auto"
    engine: str = "auto"
    is_converted: bool = False


class Watcher:
    """A process that watches pieces; loads the bundle when it starts.

    Args:
        pieces: all there are.
        asking: what is asked of each.
    """

    def __init__(self, pieces: Sequence[Piece], asking: Asking) -> None:
        self._pieces, self._asking = pieces, asking
        engine = "torch" if asking.is_converted else asking.engine
        self._predictor = Predictor.load(asking.bundle, device=asking.device, engine=engine)
        if asking.is_converted:
            self._predictor.take(converted(self._predictor).started)

    def __call__(self, batch: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
        """The answers on the pieces at some places, as JSON: what Ray carries is text."""
        asking = self._asking
        places = [int(place) for place in batch["place"]]
        texts = []
        for place in places:
            seen = watch(
                self._predictor,
                self._pieces[place],
                asking.tasks,
                score_threshold=asking.score_threshold,
                batch_size=asking.batch_size,
                reuse=asking.reuse,
            )
            problems = [asdict(problem) for problem in seen.problems]
            texts.append(json.dumps({"lines": seen.lines, "problems": problems}))
        return {"place": places, "text": texts}


def watch_many(
    pieces: Sequence[Piece], asking: Asking, *, workers: int | None, address: str | None
) -> Iterator[Seen]:
    """What is said of each piece, in their order, as the processes get on.

    Args:
        pieces: of any number of videos.
        asking: what is asked of each.
        workers: processes; None takes one a core of the machines, and no more than pieces.
        address: of a Ray cluster; None uses the one of this process, or starts one on this
            machine, which ends with the process.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ValueError: no cluster can be reached at the address.
        RuntimeError: a piece can't be watched: its process failed, or died each time it was tried.
    """
    if not pieces:
        return
    ray = _connected(address, workers)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False  # the job has one of its own
    if workers is None:
        workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
    answers = ray.data.from_items(
        [{"place": place} for place in range(len(pieces))],
        override_num_blocks=len(pieces),
    ).map_batches(
        Watcher,
        fn_constructor_args=(list(pieces), asking),
        batch_size=1,
        num_cpus=1,
        num_gpus=0 if asking.device == "cpu" else None,
        compute=ray.data.ActorPoolStrategy(
            size=min(workers, len(pieces)), max_tasks_in_flight_per_actor=2
        ),
    )
    try:
        for row in answers.iter_rows():
            told = json.loads(row["text"])
            problems = [Problem(**problem) for problem in told["problems"]]
            yield Seen(pieces[row["place"]], told["lines"], problems)
    except ray.exceptions.RayError as error:
        raise RuntimeError(
            f"every piece of the videos must be watched, but a process failed: {error}; the same "
            "command goes on where this one stopped"
        ) from error


def _connected(address: str | None, workers: int | None) -> Any:
    """The package, connected to a cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unasked
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "compute=ray needs Ray, which is not installed; pip install 'visionkit[ray]', or take "
            "compute=local"
        ) from error
    if ray.is_initialized():
        return ray
    try:
        ray.init(
            address=address,
            num_cpus=None if address else workers,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        raise ValueError(
            f"address must be that of a Ray cluster, got {address}: {error}; leave it away to "
            "start one on this machine"
        ) from error
    return ray
