"""Pages of reports: one HTML file that holds its style, script and pictures, and loads nothing."""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from visionkit.evaluation import summary
from visionkit.files import write_bytes
from visionkit.scores import score_text

_FOLDER = files("visionkit.evaluation") / "report_page"


def write_page(
    path: str | Path, template: str, content: dict[str, Any], *, own: Traversable | None = None
) -> Path:
    """Path of the page that a template makes.

    Names from the data are escaped, and a content security policy inside the page forbids
    any other script and every connection.

    Args:
        path: where it lies in the end; written whole or not at all.
        template: name of a file in `report_page`, or in `own`.
        content: what the template shows.
        own: folder of a page that is no report: its templates, and `page.css` and `page.js`,
            which join the style and script of reports.

    Raises:
        RuntimeError: the disk is full.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(partial(_template, own)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=summary.number,
        score=score_text,
        percent=summary.percent,
        interval=summary.interval_text,
    )
    style, script = _text(_FOLDER, "report.css"), _text(_FOLDER, "report.js")
    if own is not None:
        style, script = style + _text(own, "page.css"), script + _text(own, "page.js")
    environment.globals.update(
        counted=summary.counted,
        style=Markup(style),
        script=Markup(script),
        script_hash=_script_hash(script),
    )
    html = environment.get_template(template).render(**content)
    # A file name that is no UTF-8 must not keep the report from being written.
    write_bytes(path, html.encode("utf-8", errors="backslashreplace"))
    return Path(path)


def _template(own: Traversable | None, name: str) -> str:
    folder = own if own is not None and (own / name).is_file() else _FOLDER
    return _text(folder, name)


def _text(folder: Traversable, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def _script_hash(script: str) -> str:
    """The source expression that lets the page run this script and no other."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")
