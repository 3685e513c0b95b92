"""Who may ask the review page what: address, origin, token, size and rate of requests.

A page of another site that a reviewer has open can send requests to this machine. It can't choose
their Host and Origin: so a name that an attacker's DNS points here (DNS rebinding) and a form or
script of another site are both told apart from the page itself.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visionkit.flywheel.review.problems import Refusal, refusal_response
from visionkit.flywheel.review.rate import RateLimit

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_HOST = re.compile(
    r"(\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z._-]+))(:(?P<port>[0-9]{1,5}))?"
)
COOKIE = "visionkit_token"
_AGAIN = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0">'
    "<title>Review</title><p>Opening the review"
)
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


@dataclass(frozen=True)
class Rules:
    """What the guard holds to.

    Attributes:
        names: host names by which the page may be called, beside plain addresses.
        any_address: whether a plain address may call it, too; a DNS name can't pose as one.
        token: that each request must carry; "" asks for none.
        body_bytes: of a request at most.
        target_bytes: of a path with its query at most.
        seconds: that sending a body may take.
        per_second, burst: requests of one address.
    """

    names: Collection[str] = LOOPBACK_NAMES
    any_address: bool = False
    token: str = field(default="", repr=False)
    body_bytes: int = 1 << 20
    target_bytes: int = 4096
    seconds: float = 20.0
    per_second: float = 200.0
    burst: int = 1000


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware that lets through what `Rules` allow; its answers carry security headers."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules
        self._rate = RateLimit(rules.per_second, rules.burst)
        self._wrong_tokens = RateLimit(0.2, 10)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or hands it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page opens no web sockets
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = _with_headers(send)
        try:
            self._check(scope)
            if _is_sign_in(scope):
                await self._sign_in(scope, receive, guarded)
                return
            await self._app(scope, await self._body(scope, receive), guarded)
        except Refusal as refusal:
            await _refused(refusal, scope)(scope, receive, guarded)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        address = _address(scope)
        _check_target(scope, self._rules.target_bytes)
        host = _one(headers, "host")
        _check_host(host, self._rules)
        _check_origin(scope, headers, host)
        seconds = self._rate.wait(address)
        if seconds:
            raise _too_many(seconds)
        if self._rules.token:
            self._check_token(scope, headers, address)

    def _check_token(self, scope: Scope, headers: Headers, address: str) -> None:
        if self._wrong_tokens.is_spent(address):
            raise _too_many(5.0)
        given = _token(scope, headers)
        if not hmac.compare_digest(given.encode(), self._rules.token.encode()):
            if given:
                self._wrong_tokens.wait(address)
            raise Refusal(
                401,
                "the token of this page must come with the request"
                + (", got another one" if given else ", got none"),
                "open the address that visionkit review printed, or send it as "
                "Authorization: Bearer TOKEN",
                headers={"www-authenticate": "Bearer"},
            )

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Puts the token into a cookie and takes it out of the address bar."""
        response = RedirectResponse("/", status_code=303)
        if self._rules.token:
            name = _cookie_name(Headers(scope=scope))
            response.set_cookie(name, self._rules.token, httponly=True, samesite="strict", path="/")
        await response(scope, receive, send)

    async def _body(self, scope: Scope, receive: Receive) -> Receive:
        """The request's body as one message; read here, so that its size is known."""
        stated = Headers(scope=scope).get("content-length", "0")
        limit = self._rules.body_bytes
        if not stated.isdigit() or int(stated) > limit:
            raise _too_large(limit)
        try:
            whole = await asyncio.wait_for(_read(receive, limit), self._rules.seconds)
        except TimeoutError as error:
            raise Refusal(
                408, "the request must arrive whole, got only a part in time", "send it again"
            ) from error
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": whole, "more_body": False}

        return replay


async def _read(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join(parts)


def _check_target(scope: Scope, limit: int) -> None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > limit:
        raise Refusal(414, f"the address must have at most {limit} bytes", "ask for less at once")


def _check_host(host: str, rules: Rules) -> None:
    name = _host_name(host)
    if name in rules.names or (rules.any_address and _is_address(name)):
        return
    raise Refusal(
        421,
        f"the page must be called by a name of its own, got {host[:100]!r}",
        "open the address that visionkit review printed, or name this one with hosts=[NAME]",
    )


def _check_origin(scope: Scope, headers: Headers, host: str) -> None:
    """Raises where another site asks: nothing here is for others, and no one may write for them."""
    origin = headers.get("origin")
    foreign = Refusal(
        403, "the request must come from this page, got one of another site", "use the page itself"
    )
    if origin is not None:
        parts = _split(origin)
        if parts is None or parts.scheme not in ("http", "https") or parts.netloc != host:
            raise foreign
    site = headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none") and not _opens_page(scope, headers):
        raise foreign
    if scope["method"] not in _SAFE_METHODS:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # what a form of another site can't send
            raise Refusal(
                415,
                f"the request must be application/json, got {kind[:60] or 'nothing'!r}",
                "send JSON, with that content type",
            )


def _opens_page(scope: Scope, headers: Headers) -> bool:
    navigates = headers.get("sec-fetch-mode") == "navigate"
    return scope["method"] == "GET" and scope["path"] == "/" and navigates


def _token(scope: Scope, headers: Headers) -> str:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return bearer.strip()
    if _is_sign_in(scope):
        given: str = parse_qs(scope["query_string"].decode("latin-1"))["token"][0]
        return given
    return _cookies(headers).get(_cookie_name(headers), "")


def _is_sign_in(scope: Scope) -> bool:
    return (
        scope["method"] == "GET"
        and scope["path"] == "/"
        and "token" in parse_qs(scope["query_string"].decode("latin-1"))
    )


def _cookie_name(headers: Headers) -> str:
    """With the port: a browser keeps one cookie of a name for all ports of a machine."""
    port = _port(_one(headers, "host"))
    return f"{COOKIE}_{port}" if port else COOKIE


def _refused(refusal: Refusal, scope: Scope) -> Response:
    """The answer of a refusal.

    Where the page's link was followed from another site, the browser holds back the cookie that
    it was just given: it goes with a request that begins here, so the page asks once more.
    """
    headers = Headers(scope=scope)
    elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if refusal.status == 401 and _opens_page(scope, headers) and elsewhere:
        return HTMLResponse(_AGAIN, status_code=401, headers=refusal.headers)
    return refusal_response(refusal)


def _cookies(headers: Headers) -> Mapping[str, str]:
    pairs = (part.partition("=") for part in headers.get("cookie", "").split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _one(headers: Headers, name: str) -> str:
    values = headers.getlist(name)
    if len(values) != 1:
        raise Refusal(400, f"there must be one {name} header, got {len(values)}", "send one")
    return values[0]


def _split(origin: str) -> SplitResult | None:
    try:
        return urlsplit(origin)
    except ValueError:
        return None


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets; "" where it is none."""
    parts = _HOST.fullmatch(host)
    return str(parts["address"] or parts["name"]).lower() if parts else ""


def _port(host: str) -> str:
    """The port in a Host header; "" where none is said."""
    parts = _HOST.fullmatch(host)
    return (parts["port"] or "") if parts else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _too_many(seconds: float) -> Refusal:
    return Refusal(
        429,
        "requests must be fewer, got too many at once from this address",
        "wait a moment; nothing is lost",
        headers={"retry-after": str(max(1, round(seconds)))},
    )


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the request must have at most {limit} bytes", "send less at once")


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY_HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return guarded
