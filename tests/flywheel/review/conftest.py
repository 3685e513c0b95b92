from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from starlette.testclient import TestClient

from visionkit.flywheel.catalog import Catalog
from visionkit.flywheel.review.app import AppSettings, create_app
from visionkit.flywheel.review.desk import Desk, DeskSettings
from visionkit.flywheel.review.guard import Rules

ADDRESS = "http://127.0.0.1:8765"
SESSION = "session-1"


def _load(name: str) -> ModuleType:
    file = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"review_{name}", file)
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shelves() -> ModuleType:
    """What makes catalogs of drawn pictures."""
    return _load("pictures")


@pytest.fixture
def catalog(shelves: ModuleType, tmp_path: Path) -> Catalog:
    """Twelve pictures; s0, s5 and s10 show two cans."""
    made: Catalog = shelves.shelf_catalog(tmp_path, 12)
    return made


@pytest.fixture
def client_for(shelves: ModuleType) -> Iterator[Callable[..., TestClient]]:
    """Makes a client of a page for a catalog, under rules and with a share judged twice.

    Whether pictures are of one class is told, or left to the catalog.
    """
    opened: list[TestClient] = []

    def make(
        catalog: Catalog,
        *,
        rules: Rules | None = None,
        twice: float = 0.0,
        one_class: bool | None = None,
    ) -> TestClient:
        told = DeskSettings(twice_share=twice, one_class=one_class)
        desk = Desk(catalog, shelves.build_order, told)
        settings = AppSettings(rules=rules or Rules(), reviewer="ada")
        client = TestClient(create_app(desk, settings), base_url=ADDRESS)
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def client(catalog: Catalog, client_for: Callable[..., TestClient]) -> TestClient:
    return client_for(catalog)


@pytest.fixture
def take() -> Callable[..., dict[str, Any]]:
    """Asks a client for pictures, and gives the whole reply."""

    def ask(client: TestClient, reviewer: str = "ada", session: str = SESSION, **more: Any) -> Any:
        message = {"reviewer": reviewer, "session": session, **more}
        response = client.post("/api/take", json=message)
        assert response.status_code == 200, response.text
        return response.json()

    return ask


@pytest.fixture
def answer() -> Callable[..., dict[str, Any]]:
    """Answers about a card, and gives what became of it."""

    def send(
        client: TestClient,
        card: dict[str, Any],
        action: str = "accept",
        *,
        name: str = "answer-0001",
        reviewer: str = "ada",
        session: str = SESSION,
        **more: Any,
    ) -> Any:
        message = {
            "id": name,
            "sample_id": card["id"],
            "revision": card["revision"],
            "action": action,
            **more,
        }
        response = client.post(
            "/api/answers", json={"reviewer": reviewer, "session": session, "answers": [message]}
        )
        assert response.status_code == 200, response.text
        return response.json()["results"][0]

    return send
