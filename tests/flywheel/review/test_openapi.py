"""The server against requests that are made from its own description."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from visionkit.flywheel.review.app import AppSettings, create_app
from visionkit.flywheel.review.desk import Desk
from visionkit.flywheel.review.guard import Rules

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")
ROUTES = {
    "/api/take",
    "/api/answers",
    "/api/card",
    "/api/overview",
    "/picture",
    "/thumbnail",
    "/crop",
}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, shelves: ModuleType) -> Any:
    """The description of a page of twelve pictures that lets every request through."""
    catalog = shelves.shelf_catalog(tmp_path_factory.mktemp("described"), 12)
    rules = Rules(names={"testserver", "localhost"}, per_second=1e6, burst=1_000_000)
    app = create_app(Desk(catalog, shelves.build_order), AppSettings(rules=rules))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", sorted(ROUTES))
@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_no_request_of_the_description_is_an_error_of_ours(
    described: Any, path: str, mode: str
) -> None:
    openapi = schemathesis.specs.openapi.checks
    checks = (
        schemathesis.checks.not_a_server_error,
        openapi.status_code_conformance,
        openapi.content_type_conformance,
        openapi.response_schema_conformance,
    )
    operation = described[path]["POST" if path in ("/api/take", "/api/answers") else "GET"]
    if mode == "NEGATIVE" and path == "/api/overview":
        pytest.skip("it is told nothing, so that nothing can be wrong")
    codes: list[int] = []

    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode[mode]))
    def send(case: Any) -> None:
        response = case.call()
        case.validate_response(response, checks=checks)
        codes.append(response.status_code)
        if response.status_code >= 400:
            assert response.json()["error"]["way_out"]

    send()
    if mode == "NEGATIVE":
        assert set(codes) & {405, 415, 422}
    elif path in ("/api/take", "/api/overview"):
        assert 200 in codes


def test_the_description_is_of_all_routes(described: Any) -> None:
    paths = {operation.ok().path for operation in described.get_all_operations()}
    assert paths == ROUTES
