from __future__ import annotations

from pathlib import Path

import pytest

from tests.clips import write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames, ten a second, a key frame every ten, with frames between that look both ways."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")
