"""Serving the page in which people judge what a model said."""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
from functools import partial
from pathlib import Path

from visionkit.config.flywheel import ReviewConfig
from visionkit.evaluation.summary import counted
from visionkit.flywheel.answers import Asked, Correction
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.flywheel.frozen import FROZEN_NAME, frozen_ids
from visionkit.flywheel.queue.build import QueueSettings, build_queue
from visionkit.flywheel.queue.carriers import CARRIERS_NAME, read_carriers
from visionkit.flywheel.review.desk import Desk, DeskSettings
from visionkit.flywheel.review.guard import LOOPBACK_NAMES, Rules, is_loopback
from visionkit.flywheel.review.limits import LONGEST_PERSON
from visionkit.jobs.author import author_of
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import say, say_next

_LEAST_TOKEN = 16


def review(config: ReviewConfig, catalog: Path) -> Summary:
    """Serves the page until it is stopped with Ctrl-C; every answer is in the catalog by then.

    Raises:
        FileNotFoundError: there is no such catalog, or no such file of frozen pictures.
        ValueError: the token is too short, or the address can't be served at.
        ImportError: the packages of the page are not installed.
    """
    try:
        import uvicorn

        from visionkit.flywheel.review.app import AppSettings, create_app
    except ImportError as error:
        raise ImportError(
            f"visionkit review needs {error.name}, which is not installed; "
            'pip install "visionkit[flywheel]"'
        ) from error
    logging.basicConfig(format="%(message)s")
    rules, reviewer = _rules(config), _reviewer(config)
    opened = open_catalog(config.catalog)
    before = len(opened.corrections())
    listening = _listen(config.host, config.port)
    with contextlib.closing(listening):
        desk = _desk(opened, config)
        app = create_app(
            desk,
            AppSettings(
                rules=rules,
                reviewer=reviewer,
                refresh_seconds=config.refresh_seconds,
            ),
        )
        _say_address(config, listening, rules, desk)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=512,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=3,
            )
        )
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
    answers = opened.corrections()[before:]
    _say_done(answers, opened, config)
    return Summary(catalog, {"answers": len(answers)})


def _desk(catalog: Catalog, config: ReviewConfig) -> Desk:
    folder = Path(catalog.uri)
    frozen = folder / FROZEN_NAME if config.frozen is None else Path(config.frozen)
    settings = DeskSettings(
        twice_share=config.twice_share,
        lease_seconds=config.lease_seconds,
        one_class=config.one_class,
    )
    return Desk(
        catalog,
        partial(_queue, config=config),
        settings,
        files=[folder / CARRIERS_NAME, frozen],
        frozen=partial(frozen_ids, catalog.uri, config.frozen),
    )


def _queue(catalog: Catalog, config: ReviewConfig) -> list[Asked]:
    """What people are asked now: what monitor named last is, what retrain has frozen is not."""
    settings = QueueSettings(
        most=config.most,
        audit=config.audit,
        drift=read_carriers(catalog.uri),
        frozen=frozen_ids(catalog.uri, config.frozen),
    )
    return build_queue(catalog, settings)


def _reviewer(config: ReviewConfig) -> str:
    """Who a new page takes its person to be."""
    name = author_of(config.reviewer)
    if len(name) > LONGEST_PERSON:
        raise ValueError(
            f"reviewer must have at most {LONGEST_PERSON} characters, got {len(name)}: {name!r}"
        )
    return name


def _rules(config: ReviewConfig) -> Rules:
    """Who may ask what; where other machines may come in, a token is made if none is given."""
    token = config.token or ""
    if config.token is not None and (len(token) < _LEAST_TOKEN or not token.isascii()):
        raise ValueError(
            f"token must be at least {_LEAST_TOKEN} plain characters, got {len(token)}; "
            "leave it out, and one is made"
        )
    alone = is_loopback(config.host)
    names = {*LOOPBACK_NAMES, config.host.lower(), *(name.lower() for name in config.hosts)}
    if not alone:
        names.add(socket.gethostname().lower())
    return Rules(
        names=frozenset(names),
        any_address=not alone,
        token=token or ("" if alone else secrets.token_urlsafe(24)),
    )


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ValueError: the port is taken, or the address is none of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(f"host must be an address of this machine, got {host}") from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ValueError(
            f"host and port must be free and of this machine, got {host} and {port} "
            f"({error.strerror}); say port=0 for one that is free"
        ) from error
    return listening


def _say_address(config: ReviewConfig, listening: socket.socket, rules: Rules, desk: Desk) -> None:
    port = listening.getsockname()[1]
    host = f"[{config.host}]" if ":" in config.host else config.host
    if host in ("0.0.0.0", "[::]"):
        host = socket.gethostname()
    asked, left = desk.counts()
    say(f"{counted(left, 'picture')} to judge in {config.catalog}, {asked - left} judged.")
    say(f"Open http://{host}:{port}/{f'?token={rules.token}' if rules.token else ''}")
    if not is_loopback(config.host):
        say("Other machines may come in with that token; the way to them is not encrypted.")
    say("Ctrl-C stops it; every answer is on the disk as soon as the page says so.")


def _say_done(answers: list[Correction], catalog: Catalog, config: ReviewConfig) -> None:
    pictures = len({answer.sample_id for answer in answers})
    say(f"{counted(len(answers), 'answer')} about {counted(pictures, 'picture')}.")
    if catalog.unmerged():
        say_next(["merge", f"catalog={config.catalog}"])
