from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # a process a core: more threads only get in each other's way
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache folder for all tests, none of them the user's."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VISIONKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of test data that lies beside a checkout; a test that asks for it is skipped
    where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the shared test data (../shared/data), which is not here")
    return folder
