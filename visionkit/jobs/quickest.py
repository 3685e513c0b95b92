"""Which engine a job takes where the user left it to visionkit."""

from __future__ import annotations

import json
import math
from pathlib import Path

from visionkit.config import PredictConfig, PredictVideoConfig
from visionkit.inference.converted import NAME, can_be_converted, converted
from visionkit.inference.predictor import Predictor
from visionkit.jobs.terminal import say

WORTH_PICTURES = 300
"""Pictures from which on converting for OpenVINO pays. Seconds of one core with the starter
backbone: classification 0.8 once and 0.0045 saved a picture, boxes too 1.6 and 0.012, the search of
items 0.4 and 0.011."""


def load_quickest(
    config: PredictConfig | PredictVideoConfig, pictures: float, run_folder: Path
) -> tuple[Predictor, bool]:
    """The predictor of a job's bundle, and whether a conversion outside the bundle runs it.

    A run that goes on stays with the engine it began with.

    Args:
        config: of the job.
        pictures: or frames that it will see, about.
        run_folder: of the job, which may hold a stopped run.

    Raises:
        FileNotFoundError, ValueError, ModuleNotFoundError: as of `Predictor.load`.
    """
    goes_on = config.engine == "auto" and not config.overwrite
    before = _engine_before(run_folder) if goes_on else None
    engine = "torch" if before == "torch" else config.engine
    predictor = Predictor.load(config.bundle, device=config.accelerator, engine=engine)
    return predictor, take_quickest(predictor, engine, math.inf if before == NAME else pictures)


def take_quickest(predictor: Predictor, asked: str, pictures: float) -> bool:
    """Lets OpenVINO run the network where that is left to visionkit and worth it; whether it does.

    It is converted once and kept outside the bundle. What can't be converted, or answers unlike
    torch, stays with torch, and that is said.

    Args:
        predictor: as it was loaded with the engine that was asked for.
        asked: anything but "auto" leaves all as it is.
        pictures: or frames that it will see, about.
    """
    if asked != "auto" or pictures < WORTH_PICTURES or not can_be_converted(predictor):
        return False
    try:
        found = converted(predictor)
    except (RuntimeError, ValueError, OSError) as error:
        what = " ".join(str(error).split())
        say(f"The network is run by torch, not by OpenVINO: {what}; engine=torch asks for that.")
        return False
    predictor.take(found.started)
    how = "was converted for OpenVINO and is kept for later" if found.is_new else "runs by OpenVINO"
    say(f"The network {how}; its answers agree with torch's ({found.seconds:.1f} s).")
    return True


def _engine_before(run_folder: Path) -> str | None:
    """The engine of the stopped run of a folder; None where none was stopped there."""
    settings = run_folder / "parts" / "settings.json"
    if not settings.is_file():
        return None
    engine = json.loads(settings.read_text(encoding="utf-8")).get("engine")
    return None if engine is None else str(engine)
