"""Corrections become a version of the catalog."""

from __future__ import annotations

from pathlib import Path

from visionkit.config.flywheel import MergeConfig
from visionkit.evaluation.summary import counted
from visionkit.flywheel.catalog import open_catalog
from visionkit.jobs.author import author_of
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import say, say_next


def merge(config: MergeConfig, place: Path) -> Summary:
    """Makes a version of the catalog in a place, and says what is new in it.

    Raises:
        FileNotFoundError: there is no catalog.
        ValueError: nothing has changed since the last version.
    """
    catalog = open_catalog(config.catalog)
    before = catalog.versions()
    version = catalog.merge(author=author_of(config.author), note=config.note)
    say(
        f"{version.name}: {counted(version.samples, 'picture')}, "
        f"{counted(version.boxes, 'box', 'boxes')}, "
        f"{counted(version.corrections, 'answer')} since the version before"
    )
    others = len(catalog.samples()) - version.samples
    if others:
        say(f"{counted(others, 'picture')} that nobody has vouched for are not in it.")
    compared = [["versions", "diff", f"catalog={config.catalog}"]] if before else []
    say_next(*compared, ["retrain", f"catalog={config.catalog}", "task=TASK"])
    return Summary(
        place,
        {
            "samples": version.samples,
            "boxes": version.boxes,
            "corrections": version.corrections,
        },
    )
