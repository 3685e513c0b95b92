from __future__ import annotations

import csv
from pathlib import Path

import pytest

from visionkit.data.problems import (
    Problem,
    escape_cell,
    summarize,
    unescape_cell,
    write_problems,
)


def test_none_give_a_header_only(tmp_path: Path) -> None:
    write_problems(tmp_path / "problems.csv", [])
    assert (tmp_path / "problems.csv").read_text() == "file,line,reason,level\n"


def test_cells_come_back(tmp_path: Path) -> None:
    problems = [
        Problem("comma,quote'semi;colon.jpg", None, 'two\nlines, "quoted"'),
        Problem("=cmd().jpg", 3, "@sum", "warning"),
        Problem("商品/ロゴ.jpg", 1, "é"),
    ]
    write_problems(tmp_path / "problems.csv", problems)
    with (tmp_path / "problems.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"][:1] for row in rows][1] == "'"
    back = [
        Problem(
            unescape_cell(row["file"]),
            int(row["line"]) if row["line"] else None,
            unescape_cell(row["reason"]),
            "error" if row["level"] == "error" else "warning",
        )
        for row in rows
    ]
    assert back == problems


def test_names_that_are_no_utf8_are_shown(tmp_path: Path) -> None:
    write_problems(tmp_path / "problems.csv", [Problem("a\udcff.jpg", None, "odd")])
    assert "a\\udcff.jpg,,odd,error" in (tmp_path / "problems.csv").read_text()


@pytest.mark.parametrize("text", ["", "cola", "=1", "+1", "-1", "@a", "\ta", "'=1", "''=1", "'a"])
def test_escaping_loses_nothing_and_leaves_no_formula(text: str) -> None:
    cell = escape_cell(text)
    assert unescape_cell(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_summary_shows_the_worst_first_and_counts_the_rest() -> None:
    problems = [Problem("a", 1, "odd", "warning"), Problem("b", 2, "bad"), Problem("c", 3, "bad")]
    assert summarize(problems, shown=2).splitlines() == [
        "3 problems found: 2 left out, 1 warnings",
        "  b:2: bad",
        "  c:3: bad",
        "  ... and 1 more",
    ]
