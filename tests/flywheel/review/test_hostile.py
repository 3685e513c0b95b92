"""Requests that nobody of good will sends: each is refused in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from visionkit.flywheel.answers import Proposal
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.flywheel.review.guard import Rules

Take = Callable[..., dict[str, Any]]
TOKEN = "a-token-of-some-length"
TAKE = {"reviewer": "ada", "session": "session-1"}


def refused(response: Any, status: int) -> None:
    """Passes if a response is the refusal meant, in words, with the headers of all answers."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["what"]
    assert error["way_out"]
    assert "script-src 'self'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e%2fapp.py",
        "/static/..%2f..%2fdesk.py",
        "/static/%2fetc%2fpasswd",
        "/static/page.js%00.html",
        "/../../etc/passwd",
        "/static/",
        "/docs",
        "/redoc",
    ],
)
def test_no_path_reaches_the_disk(client: TestClient, path: str) -> None:
    refused(client.get(path), 404)


@pytest.mark.parametrize("route", ["/picture", "/thumbnail", "/crop"])
@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../../etc/passwd",
        "s3/../s4",
        "file:///etc/passwd",
        "s3\0",
        "' OR 1=1 --",
        "x",
    ],
)
def test_an_id_is_looked_up_and_never_opened(client: TestClient, route: str, name: str) -> None:
    refused(client.get(route, params={"id": name}), 404)


def test_a_file_of_the_machine_is_not_served_by_its_path(
    client: TestClient, tmp_path: Path
) -> None:
    path = next((tmp_path / "pictures").iterdir())
    refused(client.get("/picture", params={"id": path.as_posix()}), 404)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.168.0.7",
        "169.254.169.254",
        "user@127.0.0.1",
        "127.0.0.1:8765/",
        "[::1",
        "",
        "127.0.0.1:port",
    ],
)
def test_a_name_of_others_that_points_here_is_refused(client: TestClient, host: str) -> None:
    response = client.get("/api/overview", headers={"host": host})
    refused(response, 421)


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:9000", "[::1]:8765", "LOCALHOST"])
def test_the_machine_s_own_names_are_taken(client: TestClient, host: str) -> None:
    assert client.get("/api/overview", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},  # another page of this machine
        {"origin": "http://127.0.0.1:8765.evil.example"},
        {"origin": "file://"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_site_can_neither_read_nor_write(
    client: TestClient, catalog: Catalog, headers: dict[str, str]
) -> None:
    refused(client.post("/api/take", json=TAKE, headers=headers), 403)
    refused(client.get("/picture", params={"id": "s3"}, headers=headers), 403)
    assert catalog.corrections() == []


def test_the_page_itself_can(client: TestClient) -> None:
    own = {"origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin"}
    assert client.post("/api/take", json=TAKE, headers=own).status_code == 200
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200  # a link in somebody's mail
    refused(client.get("/api/overview", headers=link), 403)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_form_of_another_site_can_send_is_not_taken(client: TestClient, kind: str) -> None:
    response = client.post("/api/take", content=json.dumps(TAKE), headers={"content-type": kind})
    refused(response, 415)


def test_large_bodies_are_refused_whatever_they_say_of_their_size(client: TestClient) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    headers = {"content-type": "application/json"}
    refused(client.post("/api/answers", content=b" " * 1_100_000, headers=headers), 413)
    refused(client.post("/api/answers", content=parts(), headers=headers), 413)
    lying = {**headers, "content-length": "-1"}
    refused(client.post("/api/answers", content=b"{}", headers=lying), 413)
    refused(client.get("/picture", params={"id": "x" * 5000}), 414)
    refused(client.get("/picture", params={"id": "x" * 2000}), 422)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"reviewer": "ada", "session": "session-1", "count": 1e999}',
        b'{"reviewer": "ada", "session": "session-1", "count": NaN}',
        b'{"reviewer": "\\ud800", "session": "session-1"}',
        b'{"reviewer": "ada", "session": "../../x"}',
        b'{"reviewer": "ada", "session": "session-1", "more": 1}',
        b'{"reviewer": "", "session": "session-1"}',
        b'{"reviewer": " ", "session": "session-1"}',
        b'{"reviewer": "a\\u0000b", "session": "session-1"}',
        b'{"reviewer": "ada", "session": "session-1", "count": 101}',
    ],
)
def test_what_is_no_message_is_told_so(client: TestClient, body: bytes) -> None:
    response = client.post("/api/take", content=body, headers={"content-type": "application/json"})
    refused(response, 422)


def test_brackets_without_end_are_refused(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    refused(client.post("/api/take", content=b"[" * 50_000, headers=headers), 400)


@pytest.mark.parametrize(
    "change",
    [
        {"objects": [{"label": "x", "box": [0, 0, 1e9, 5]}]},
        {"objects": [{"label": "x", "box": [0, 0, 5]}]},
        {"objects": [{"label": "x", "box": [0, 0, 5, 5]}] * 1001},
        {"labels": ["\ud800"]},
        {"action": "delete"},
        {"revision": -1},
        {"revision": 2**40},
        {"id": "../../etc"},
        {"sample_id": ""},
    ],
)
def test_answers_that_can_t_be_are_refused_as_a_whole(
    client: TestClient, catalog: Catalog, change: dict[str, Any]
) -> None:
    answer = {"id": "answer-1", "sample_id": "s3", "revision": 0, "action": "edit", **change}
    body = json.dumps({**TAKE, "answers": [answer]}).encode()
    response = client.post(
        "/api/answers", content=body, headers={"content-type": "application/json"}
    )
    refused(response, 422)
    assert catalog.corrections() == []


@pytest.mark.parametrize(
    "change",
    [
        {"objects": [{"label": "x", "box": [5, 5, 5, 5]}]},
        {"objects": [{"label": "x", "box": [5, 5, 1, 1]}]},
        {"objects": [{"label": "x", "box": [900, 900, 950, 950]}]},  # beside the picture
        {"objects": [{"label": " x", "box": [0, 0, 5, 5]}]},
        {"objects": [{"label": "x" * 201, "box": [0, 0, 5, 5]}]},
        {"labels": ["two\nlines"]},
        {"labels": ["\u0000"]},
        {"action": "reject", "labels": ["x"]},
        {"action": "undo"},  # nothing to take back
        {"sample_id": "unknown"},
        {"sample_id": "/etc/passwd"},
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_beside_good_ones(
    client: TestClient, catalog: Catalog, change: dict[str, Any]
) -> None:
    bad = {"id": "answer-1", "sample_id": "s3", "revision": 0, "action": "edit", **change}
    good = {"id": "answer-2", "sample_id": "s4", "revision": 0, "action": "reject"}
    response = client.post("/api/answers", json={**TAKE, "answers": [bad, good]})
    assert response.status_code == 200
    first, second = response.json()["results"]
    assert (first["status"], second["status"]) == ("refused", "saved")
    assert first["what"]
    assert first["way_out"]
    assert [correction.id for correction in catalog.corrections()] == ["answer-2"]


def test_nobody_can_sign_for_somebody_else(client: TestClient, catalog: Catalog) -> None:
    forged = {"label": "x", "box": [0, 0, 50, 50], "source": "human:bob"}
    answer = {"id": "answer-1", "sample_id": "s3", "revision": 0, "action": "edit"}
    message = {**TAKE, "answers": [{**answer, "objects": [forged]}]}
    refused(client.post("/api/answers", json=message), 422)
    del forged["source"]
    client.post("/api/answers", json={**TAKE, "answers": [{**answer, "objects": [forged]}]})
    assert [entry.source for entry in catalog.truth("s3").objects] == ["human:ada"]


def test_script_in_names_stays_text(
    tmp_path: Path, shelves: Any, client_for: Callable[..., TestClient], take: Take
) -> None:
    evil = "<script>alert(1)</script>"
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    path = pictures / "<img src=x onerror=alert(1)>.jpg"
    shelves.draw(path, 0, ("Pepsi",))
    catalog = open_catalog(tmp_path / "catalog", create=True)
    sample = shelves.sample_of(evil, path)
    catalog.add_samples([sample])
    catalog.add_proposals([Proposal(evil, evil, "exemplar", evil, 0.5, 0.5, (0, 0, 50, 50), evil)])
    client = client_for(catalog)
    (card,) = take(client)["cards"]
    assert (card["id"], card["claims"][0]["label"]) == (evil, evil)
    response = client.get("/picture", params={"id": evil})
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["x-content-type-options"] == "nosniff"
    reply = client.post("/api/take", json=TAKE)
    assert reply.headers["content-type"] == "application/json"
    missing = client.get("/picture", params={"id": evil + "?"})
    assert evil not in missing.text


def test_no_script_stands_in_the_page(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert " on" not in page.text.replace(" one", "").replace("</b> on", "")
    for part in page.text.split("<script")[1:]:
        assert part.split(">", 1)[1].startswith("</script>")
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"


@pytest.fixture
def guarded(catalog: Catalog, client_for: Callable[..., TestClient]) -> TestClient:
    """A page that other machines may open with a token."""
    rules = Rules(any_address=True, token=TOKEN)
    return client_for(catalog, rules=rules)


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/api/overview", "/picture?id=s3"])
def test_without_the_token_there_is_nothing(guarded: TestClient, path: str) -> None:
    refused(guarded.get(path), 401)
    for wrong in ("", "wrong", TOKEN[:-1], TOKEN + "x", "é"):
        header = {"authorization": f"Bearer {wrong}".encode("latin-1")}
        refused(guarded.get(path, headers=header), 401)


def test_the_token_opens_it_by_link_and_by_header(guarded: TestClient) -> None:
    assert (
        guarded.get("/api/overview", headers={"authorization": f"Bearer {TOKEN}"}).status_code
        == 200
    )
    link = guarded.get("/", params={"token": TOKEN}, follow_redirects=False)
    assert (link.status_code, link.headers["location"]) == (303, "/")
    cookie = link.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert guarded.get("/api/overview").status_code == 200  # by the cookie
    refused(guarded.get("/", params={"token": "wrong"}), 401)


def test_a_link_that_is_followed_from_another_site_asks_once_more(guarded: TestClient) -> None:
    # The browser holds the new cookie back from what another site began.
    visit = {"sec-fetch-mode": "navigate", "sec-fetch-site": "cross-site"}
    held_back = guarded.get("/", headers=visit)
    assert held_back.status_code == 401
    assert held_back.headers["content-type"].startswith("text/html")
    assert '<meta http-equiv="refresh" content="0">' in held_back.text
    refused(guarded.get("/", headers={**visit, "sec-fetch-site": "same-origin"}), 401)
    refused(guarded.get("/api/overview", headers=visit), 403)


def test_two_reviews_of_one_machine_keep_a_cookie_each(guarded: TestClient) -> None:
    names = [
        guarded.get("/", params={"token": TOKEN}, headers={"host": host}, follow_redirects=False)
        .headers["set-cookie"]
        .split("=")[0]
        for host in ("127.0.0.1:8001", "127.0.0.1:8002")
    ]
    assert len(set(names)) == 2


def test_guessing_tokens_is_slowed_down(guarded: TestClient) -> None:
    codes = [
        guarded.get("/", headers={"authorization": f"Bearer {n}"}).status_code for n in range(15)
    ]
    assert codes[:10] == [401] * 10
    assert codes[-1] == 429


def test_a_dns_name_can_t_pose_as_an_address(guarded: TestClient) -> None:
    own = {"authorization": f"Bearer {TOKEN}"}
    assert guarded.get("/api/overview", headers={**own, "host": "10.0.0.5:80"}).status_code == 200
    refused(guarded.get("/api/overview", headers={**own, "host": "rebind.example"}), 421)


def test_too_many_requests_are_told_to_wait(
    catalog: Catalog, client_for: Callable[..., TestClient]
) -> None:
    client = client_for(catalog, rules=Rules(per_second=0.5, burst=3))
    codes = [client.get("/static/page.js").status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    slowed = client.get("/static/page.js")
    refused(slowed, 429)
    assert int(slowed.headers["retry-after"]) >= 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(client: TestClient, method: str) -> None:
    headers = {"content-type": "application/json"}
    refused(client.request(method, "/api/take", headers=headers), 405)
