"""What was wrong with data: a list with file, line and reason, as CSV and in a few words."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal

from visionkit.files import write_text

# Spreadsheets run a cell that begins so as a formula (OWASP, "CSV injection").
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r]")


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with data.

    Attributes:
        file: where: an annotation file or a picture.
        line: line in `file`, from 1; None where the whole file is meant.
        reason: what must be what, and what was done.
        level: "error" where something was left out, "warning" where all was kept.
    """

    file: str
    line: int | None
    reason: str
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.reason}"


def write_problems(path: str | Path, problems: Sequence[Problem]) -> None:
    """Writes a CSV file with a row a problem, as `write_rows` does; only a header for none.

    Raises:
        RuntimeError: the disk is full.
    """
    rows = (["" if cell is None else str(cell) for cell in astuple(each)] for each in problems)
    write_rows(path, [field.name for field in fields(Problem)], rows)


def write_rows(path: str | Path, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes a CSV file with a row of names and those of cells, whole or not at all.

    Cells that a spreadsheet would run get a leading apostrophe (`escape_cell`).

    Raises:
        RuntimeError: the disk is full.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([escape_cell(cell) for cell in row])
    # File names that are not UTF-8 are shown, not lost.
    write_text(path, text.getvalue().encode("utf-8", "backslashreplace").decode("utf-8"))


def summarize(problems: Sequence[Problem], *, shown: int = 5) -> str:
    """A few lines for a terminal: how many problems there are, and the first ones of them.

    >>> print(summarize([]))
    no problems found
    >>> print(summarize([Problem("a.txt", 3, "the label must not be empty; left out")]))
    1 problem found: 1 left out, 0 warnings
      a.txt:3: the label must not be empty; left out
    """
    if not problems:
        return "no problems found"
    errors = sum(problem.level == "error" for problem in problems)
    plural = "" if len(problems) == 1 else "s"
    lines = [
        f"{len(problems)} problem{plural} found: "
        f"{errors} left out, {len(problems) - errors} warnings"
    ]
    worst_first = sorted(problems, key=lambda problem: problem.level)
    lines += [f"  {problem}" for problem in worst_first[:shown]]
    if len(problems) > shown:
        lines.append(f"  ... and {len(problems) - shown} more")
    return "\n".join(lines)


def escape_cell(text: str) -> str:
    """`text` as a CSV cell that no spreadsheet takes for a formula; see `unescape_cell`.

    >>> escape_cell("=1+1"), escape_cell("cola")
    ("'=1+1", 'cola')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unescape_cell(cell: str) -> str:
    """The text that `escape_cell` was given.

    >>> unescape_cell("'=1+1"), unescape_cell("'quoted'")
    ('=1+1', "'quoted'")
    """
    return cell[1:] if _ESCAPED.match(cell) else cell
