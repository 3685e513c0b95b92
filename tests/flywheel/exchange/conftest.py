"""Catalogs whose pictures go to other annotation tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.types import ObjectBox, Sample

Pictures = Callable[..., Catalog]


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    """Makes a catalog of black pictures of 200x100: id -> boxes and labels that it came with."""

    def make(*, reviewed: bool = False, **shown: tuple[ObjectBox | str, ...]) -> Catalog:
        catalog = open_catalog(tmp_path / "catalog", create=True)
        samples = []
        for number, (name, given) in enumerate(shown.items()):
            path = tmp_path / "photos" / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            PillowImage.fromarray(np.zeros((100, 200, 3), np.uint8)).save(path)
            objects = tuple(entry for entry in given if isinstance(entry, ObjectBox))
            labels = tuple(entry for entry in given if isinstance(entry, str))
            values = {"labels": labels, "objects": objects}
            samples.append(Sample(name, path.as_posix(), 200, 100, f"hash{number}", **values))
        catalog.add_samples(samples, reviewed=reviewed)
        return catalog

    return make
