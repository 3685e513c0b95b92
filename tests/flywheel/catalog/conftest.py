from __future__ import annotations

from pathlib import Path

import pytest

from visionkit.flywheel.catalog import Catalog, open_catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return open_catalog(tmp_path / "catalog", create=True)
