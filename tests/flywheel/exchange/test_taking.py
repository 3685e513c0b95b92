"""Which answers of other tools are taken, known or left out, one file after another."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from tests.flywheel.exchange.conftest import Pictures
from visionkit.flywheel.answers import Correction
from visionkit.flywheel.catalog import Catalog
from visionkit.flywheel.exchange import Taken, take_answers


def exported(folder: Path, result: list[dict[str, Any]] | None = None, **values: object) -> Path:
    """What Label Studio exports of the picture p, asked about as it came, with one answer."""
    answer = {"result": result or [], "completed_by": 7, "updated_at": "2026-02-01", **values}
    data = {"visionkit_id": "p", "visionkit_revision": 0}
    path = folder / "export.json"
    path.write_text(json.dumps([{"data": data, "annotations": [answer]}]), "utf-8")
    return path


def take(catalog: Catalog, path: Path, reviewer: str = "ann") -> Taken:
    tool = "cvat" if path.suffix == ".xml" else "label_studio"
    return take_answers(catalog, path, tool, reviewer=reviewer)


def test_who_skipped_a_picture_may_answer_later(pictures: Pictures, tmp_path: Path) -> None:
    catalog = pictures(p=())
    assert take(catalog, exported(tmp_path, was_cancelled=True)).corrections == 1
    assert not catalog.truth("p").reviewed
    taken = take(catalog, exported(tmp_path))
    assert (taken.corrections, taken.known, taken.empty, taken.problems) == (1, 0, 1, ())
    assert catalog.truth("p").reviewed
    for skipped in (True, False):
        again = take(catalog, exported(tmp_path, was_cancelled=skipped))
        assert (again.corrections, again.known, again.problems) == (0, 1, ())
    assert [entry.action for entry in catalog.corrections()] == ["unsure", "reject"]


def test_where_another_person_could_not_tell_an_answer_is_a_conflict(
    pictures: Pictures, tmp_path: Path
) -> None:
    catalog = pictures(p=())
    catalog.correct(Correction("x", "p", 0, "ben", "unsure"))
    taken = take(catalog, exported(tmp_path))
    assert (taken.corrections, len(taken.problems)) == (0, 1)
    assert "ben has answered since" in taken.problems[0].reason


def test_what_was_taken_before_skipping_had_an_id_of_its_own_stays_known(
    pictures: Pictures, tmp_path: Path
) -> None:
    catalog = pictures(p=())
    content = ("label_studio", "p", 0, "annotator 7", (), ())
    name = str(uuid.uuid5(uuid.UUID("6f1c1a0e-6d0b-4e0e-9a39-6f8f3ad4f3a1"), repr(content)))
    catalog.correct(Correction(name, "p", 0, "annotator 7", "unsure"))
    skipped = take(catalog, exported(tmp_path, was_cancelled=True))
    assert (skipped.corrections, skipped.known) == (0, 1)
    for corrections, known in ((1, 0), (0, 1)):
        answered = take(catalog, exported(tmp_path))
        assert (answered.corrections, answered.known, answered.problems) == (corrections, known, ())
    assert catalog.truth("p").reviewed
