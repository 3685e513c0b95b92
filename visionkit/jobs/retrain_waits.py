"""What a retraining waits for: enough pictures that are new or corrected since the last one."""

from __future__ import annotations

from visionkit.config.flywheel import LoopConfig
from visionkit.evaluation.summary import counted
from visionkit.flywheel.catalog import Catalog
from visionkit.flywheel.catalog.versions import changes
from visionkit.types import Sample


def waits_for(catalog: Catalog, task: str, loop: LoopConfig) -> str:
    """Why the head of a task is not trained now, in a sentence or two, or ""."""
    if loop.enabled and not loop.merge and not catalog.versions():
        return "Nothing is trained: the catalog has no version yet; visionkit merge makes one."
    corrected = _corrected(catalog, task, merge=loop.merge)
    words = f"{counted(corrected, 'picture is', 'pictures are')} new or corrected."
    if not loop.enabled:
        return f"Nothing is trained: loop.enabled is false. {words}"
    if corrected >= loop.least_corrections:
        return ""
    words += f" {loop.least_corrections} are waited for (loop.least_corrections)."
    if not loop.merge and (left := catalog.unmerged()):
        words += (
            f" Of {counted(left, 'picture')} the answers are in no version, which loop.merge=false "
            "leaves so; visionkit merge makes one."
        )
    return f"Nothing is trained: {words}"


def _corrected(catalog: Catalog, task: str, *, merge: bool) -> int:
    """Pictures that are not as the head of a task last learned them, in versions or not.

    Args:
        catalog: with the models and what they learned from.
        task: the head; what other heads learned doesn't count.
        merge: whether what is in no version would be learned, too.
    """
    versions = [version.name for version in catalog.versions()]
    learned = [
        model.version
        for model in catalog.models()
        if model.metrics.get("task") == task and model.version in versions
    ]
    before = catalog.at(max(learned, key=versions.index)) if learned else []
    now = vouched_for(catalog) if merge or not versions else catalog.at(versions[-1])
    return len(changes(before, now))


def vouched_for(catalog: Catalog) -> list[Sample]:
    """What the next version would hold."""
    truths = catalog.truths()
    return [sample for sample in catalog.samples() if truths[sample.id].reviewed]
