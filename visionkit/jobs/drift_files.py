"""What monitor writes: the page for people, JSON, and Prometheus' text format."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from visionkit.data.images import ImageError, read_image
from visionkit.evaluation.summary import json_value
from visionkit.files import write_json, write_text
from visionkit.jobs.catalogued import thumbnail_of
from visionkit.monitoring.page import DriftPage, write_drift_page
from visionkit.monitoring.prometheus import prometheus_text
from visionkit.monitoring.reference import Reference

JSON_NAME, PAGE_NAME, PROMETHEUS_NAME = "drift.json", "drift.html", "drift.prom"
_SHOWN = 8


def write_drift_files(folder: Path, page: DriftPage) -> None:
    """Writes all three into a folder.

    Raises:
        RuntimeError: the disk is full.
    """
    comparison, estimate = page.comparison, page.estimate
    content = {
        "bundle": page.bundle,
        "source": page.source,
        "verdict": comparison.verdict,
        "chance": comparison.chance,
        "level": comparison.level,
        "pictures": {"reference": comparison.pictures[0], "live": comparison.pictures[1]},
        "tests": [json_value(test) for test in comparison.tests],
        "not_compared": list(comparison.missing),
        "estimated_accuracy": None if estimate is None else json_value(estimate),
        "carriers": [json_value(carrier) for carrier in page.carriers],
        "counts": [{**json_value(one), "is_off": one.is_off} for one in page.foreseen],
    }
    write_json(folder / JSON_NAME, content)
    text = prometheus_text(
        comparison, estimate, bundle=page.bundle, seconds=time.time(), foreseen=page.foreseen
    )
    write_text(folder / PROMETHEUS_NAME, text)
    write_drift_page(folder / PAGE_NAME, page)


def typical_pictures(reference: Reference, seed: int) -> dict[str, bytes]:
    """Small pictures of the reference, drawn at random; none where none can be read any more."""
    order = np.random.default_rng(seed).permutation(len(reference.observed.names))
    found: dict[str, bytes] = {}
    for name in (reference.observed.names[row] for row in order.tolist()):
        if len(found) == _SHOWN:
            break
        small = reference.pictures.get(name) or _small_of(name)
        if small:
            found[name] = small
    return found


def _small_of(uri: str) -> bytes:
    try:
        return thumbnail_of(read_image(uri))
    except (ImageError, FileNotFoundError):
        return b""
