"""The HTTP interface of the review page: pictures by id, answers in, nothing else."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from visionkit.data.images import ImageError
from visionkit.flywheel.answers import Conflict
from visionkit.flywheel.review.answering import check_new_names, check_person, read_answer
from visionkit.flywheel.review.assets import Asset, page_assets
from visionkit.flywheel.review.desk import Desk
from visionkit.flywheel.review.filters import Wanted
from visionkit.flywheel.review.guard import Guard, Rules
from visionkit.flywheel.review.messages import (
    AnswerMessage,
    AnswersMessage,
    CardReply,
    ErrorReply,
    Person,
    ResultReply,
    ResultsReply,
    SampleId,
    Session,
    TakeMessage,
    TakenReply,
    card_reply,
    truth_reply,
)
from visionkit.flywheel.review.overview import OverviewReply, overview
from visionkit.flywheel.review.pictures import PictureStore
from visionkit.flywheel.review.problems import Refusal, refusal_response

_LOG = logging.getLogger(__name__)
_PICTURE_CACHE = "private, max-age=86400"
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}
_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": ErrorReply}
    for code in (400, 401, 403, 404, 405, 408, 409, 413, 414, 415, 421, 422, 429, 503)
}


@dataclass(frozen=True)
class AppSettings:
    """What the server is told.

    Attributes:
        rules: of who may ask what.
        reviewer: who a new page takes its person to be.
        refresh_seconds: how often the queue is built anew, where there is something new.
    """

    rules: Rules = field(default_factory=Rules)
    reviewer: str = "reviewer"
    refresh_seconds: float = 60.0


def create_app(desk: Desk, settings: AppSettings) -> FastAPI:
    """The application that serves the page of a desk."""
    app = FastAPI(
        title="visionkit review",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=_ERRORS,
        lifespan=_refreshing(desk, settings.refresh_seconds),
    )
    app.add_middleware(Guard, rules=settings.rules)
    _add_errors(app)
    _add_page(app)
    _add_work(app, desk)
    _add_pictures(app, desk)

    @app.get("/api/overview", operation_id="overview")
    def give_overview() -> OverviewReply:
        """How far the review has come, and what can be filtered by."""
        return overview(desk, settings.reviewer)

    return app


def _refreshing(desk: Desk, seconds: float) -> Callable[[FastAPI], Any]:
    """A life span in which the queue is kept fresh beside the answering of requests."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(seconds):
                try:
                    desk.refresh_if_changed()
                except Exception as error:  # noqa: BLE001 - whatever it is, the next try may do
                    _LOG.error("The queue could not be built anew and is tried again: %s", error)

        thread = threading.Thread(target=work, name="queue", daemon=True)
        thread.start()
        yield
        stop.set()
        thread.join(timeout=5)

    return lifespan


def _add_page(app: FastAPI) -> None:
    assets = page_assets()

    @app.get("/", include_in_schema=False)
    def page(request: Request) -> Response:
        return _asset(assets["page.html"], request)

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str, request: Request) -> Response:
        if name not in assets or name == "page.html":
            raise Refusal(404, "the file must be one of the page's, got another", "open /")
        return _asset(assets[name], request)


def _asset(asset: Asset, request: Request) -> Response:
    headers = {"cache-control": "no-cache", "etag": asset.tag}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.kind, headers=headers)


def _add_work(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/take", operation_id="take")
    def take(message: TakeMessage) -> TakenReply:
        """The next pictures for a person; nobody else is given them for a while."""
        _check_catalog(desk, message.catalog)
        wanted = Wanted(**message.wanted.model_dump())
        if message.alone and not wanted.item:
            raise Refusal(422, "wanted.item must be named with alone, got none", "name an item")
        try:
            cards, left = desk.take(
                check_person(message.reviewer),
                message.session,
                count=message.count,
                held=message.held,
                passed=message.passed,
                wanted=wanted,
                alone=message.alone,
            )
        except KeyError as error:
            raise _unknown("version") from error
        return TakenReply(cards=[card_reply(card) for card in cards], left=left)

    @app.post("/api/answers", operation_id="answers")
    def answers(message: AnswersMessage) -> ResultsReply:
        """Takes answers in their order, and says of each what became of it."""
        _check_catalog(desk, message.catalog)
        check_person(message.reviewer)
        results = [
            _answered(desk, answer, message.reviewer, message.session) for answer in message.answers
        ]
        return ResultsReply(results=results, left=desk.counts()[1])

    @app.get("/api/card", operation_id="card")
    def card(id: SampleId, reviewer: Person, session: Session) -> CardReply:
        """Any picture of the catalog as it is now."""
        try:
            return card_reply(desk.card(id, check_person(reviewer), session))
        except KeyError as error:
            raise _unknown("picture") from error


def _check_catalog(desk: Desk, named: str) -> None:
    if named not in ("", desk.catalog_id):
        raise Refusal(
            409,
            "the request must be for the catalog that is served here, got one for another",
            "load the page anew; answers are saved when their catalog is served here again",
        )


def _answered(desk: Desk, answer: AnswerMessage, reviewer: str, session: str) -> ResultReply:
    try:
        sample, truth = desk.subject(answer.sample_id)
    except KeyError:
        refusal = _unknown("picture")
        return _refused(answer.id, refusal.what, refusal.way_out)
    proposals = desk.proposals_of(answer.sample_id)
    try:
        check_new_names(answer, desk.knows)
        correction = read_answer(answer, reviewer, sample, truth, proposals)
        after = desk.answer(correction, session)
    except Refusal as refusal:
        return _refused(answer.id, refusal.what, refusal.way_out)
    except Conflict as conflict:
        return ResultReply(
            id=answer.id,
            status="conflict",
            truth=truth_reply(conflict.truth),
            reviewer=conflict.reviewer,
            what=f"{conflict.reviewer} has answered about this picture since you saw it",
            way_out="look at it again; yours was not written",
        )
    except ValueError as error:
        what, _, way_out = str(error).partition("; ")
        return _refused(answer.id, what, way_out or "look at the picture again")
    return ResultReply(id=answer.id, status="saved", truth=truth_reply(after))


def _refused(name: str, what: str, way_out: str) -> ResultReply:
    return ResultReply(id=name, status="refused", what=what, way_out=way_out)


def _add_pictures(app: FastAPI, desk: Desk) -> None:
    store = PictureStore(lambda name: desk.catalog.samples([name])[0])
    told: set[str] = set()  # the page asks several times

    def jpeg(make: Callable[[], bytes]) -> Response:
        try:
            content = make()
        except KeyError as error:
            raise _unknown("picture") from error
        except (ImageError, FileNotFoundError, PermissionError) as error:
            if str(error) not in told:
                told.add(str(error))
                _LOG.warning("A picture can't be shown: %s", error)
            raise Refusal(
                404,
                "the picture's file must be there, whole and unchanged, but is not",
                "go on with the next; visionkit review says in its terminal which file it is",
            ) from error
        return Response(content, media_type="image/jpeg", headers={"cache-control": _PICTURE_CACHE})

    @app.get("/picture", operation_id="picture", response_class=Response, responses=_JPEG)
    def picture(id: SampleId) -> Response:
        """A picture as JPEG, upright, its longer side 1,600 pixels at most."""
        return jpeg(lambda: store.picture(id))

    @app.get("/thumbnail", operation_id="thumbnail", response_class=Response, responses=_JPEG)
    def thumbnail(id: SampleId) -> Response:
        """A picture as a small JPEG."""
        return jpeg(lambda: desk.catalog.thumbnail(id) or store.thumbnail(id))

    @app.get("/crop", operation_id="crop", response_class=Response, responses=_JPEG)
    def crop(id: SampleId) -> Response:
        """What a proposal's box shows, with some of its surroundings, as JPEG."""
        proposal = desk.known_proposal(id)
        if proposal is None:
            raise _unknown("proposal")
        sample_id, box = proposal.sample_id, proposal.box
        if box is None:
            return jpeg(lambda: desk.catalog.thumbnail(sample_id) or store.thumbnail(sample_id))
        return jpeg(lambda: store.crop(id, sample_id, box))


def _unknown(what: str) -> Refusal:
    return Refusal(
        404, f"the {what} must be in the catalog, got an id that is not", "load the page anew"
    )


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    def refused(_: Request, error: Refusal) -> JSONResponse:
        return refusal_response(error)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
        return refusal_response(
            Refusal(
                422,
                f"{place[:200] or 'the request'}: {first['msg'][:300]}",
                "/openapi.json says what may be sent",
            )
        )

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        way_out = "open /" if error.status_code == 404 else "/openapi.json says what may be sent"
        words = {404: "there is nothing at this address", 405: "the method does not go here"}
        what = words.get(error.status_code, "the request can't be read")
        return refusal_response(Refusal(error.status_code, what, way_out, headers=headers))

    @app.exception_handler(RuntimeError)
    @app.exception_handler(OSError)
    def unwritten(_: Request, error: Exception) -> JSONResponse:
        _LOG.error("The catalog could not be read or written: %s", error)
        return refusal_response(
            Refusal(
                503,
                "the catalog could not be read or written now",
                "the page keeps the answers and tries again; the terminal of visionkit review "
                "says what is wrong",
            )
        )
