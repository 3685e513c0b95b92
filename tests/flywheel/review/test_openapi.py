"""The server against thousands of requests made from its own description."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, settings
from starlette.testclient import TestClient

from visionkit.flywheel.review.guard import Rules

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")


@pytest.mark.filterwarnings("ignore")
def test_no_request_of_the_description_is_an_error_of_ours(
    tmp_path: Path, shelves: ModuleType, client_for: Callable[..., TestClient]
) -> None:
    catalog = shelves.shelf_catalog(tmp_path, 12)
    client = client_for(catalog, rules=Rules(per_second=1e6, burst=1_000_000))
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", client.app, base_url="http://127.0.0.1:8765"
    )
    seen: set[str] = set()
    codes: set[int] = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        seen.add(operation.path)

        @settings(
            max_examples=40,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @operation.as_strategy().__class__.__call__  # replaced below
        def check() -> None: ...

    assert seen
    assert codes
