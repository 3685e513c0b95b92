"""Pages of reports: one HTML file that holds its style, script and pictures, and loads nothing."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from visionkit.evaluation import summary
from visionkit.files import write_bytes
from visionkit.scores import score_text

_FOLDER = "report_page"


def write_page(path: str | Path, template: str, content: dict[str, Any]) -> Path:
    """Path of the page that a template makes.

    Names from the data are escaped, and a content security policy inside the page forbids
    any other script and every connection.

    Args:
        path: where it lies in the end; written whole or not at all.
        template: name of a file in `report_page`.
        content: what the template shows.

    Raises:
        RuntimeError: the disk is full.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
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
    script = _text("report.js")
    environment.globals.update(
        counted=summary.counted,
        style=Markup(_text("report.css")),
        script=Markup(script),
        script_hash=_script_hash(script),
    )
    html = environment.get_template(template).render(**content)
    # A file name that is no UTF-8 must not keep the report from being written.
    write_bytes(path, html.encode("utf-8", errors="backslashreplace"))
    return Path(path)


def _text(name: str) -> str:
    return (files("visionkit.evaluation") / _FOLDER / name).read_text(encoding="utf-8")


def _script_hash(script: str) -> str:
    """The source expression that lets the page run this script and no other."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")
