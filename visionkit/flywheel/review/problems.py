"""What is told where a request can't be answered: what was wrong and the way out, as JSON."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse


class Refusal(Exception):
    """A request that is refused.

    Attributes:
        status: of HTTP, 400 to 499.
        what: was wrong, in a sentence.
        way_out: what to do.
        headers: that the answer carries.
        more: values beside them, for the page.
    """

    def __init__(
        self,
        status: int,
        what: str,
        way_out: str,
        *,
        headers: dict[str, str] | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{what}; {way_out}")
        self.status, self.what, self.way_out = status, what, way_out
        self.headers, self.more = headers or {}, more or {}


def refusal_response(refusal: Refusal) -> JSONResponse:
    """The answer of a refusal."""
    content = {"error": {"what": refusal.what, "way_out": refusal.way_out}, **refusal.more}
    return JSONResponse(content, status_code=refusal.status, headers=refusal.headers)
