"""What jobs say in a terminal: progress, tables, problems, and what to type next."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from visionkit.data.formats import NothingLeftError
from visionkit.data.problems import Problem, summarize, write_problems
from visionkit.jobs.program import command_line

PROBLEMS_NAME = "problems.csv"
_FIGURE = 12
"""Longest figure in a table, in characters; what is longer is words or a path."""


def say(*lines: str) -> None:
    """Prints lines as they are: brackets in names are no markup, numbers get no colour."""
    for line in lines:
        _console().print(line, markup=False, highlight=False, soft_wrap=True)


def say_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table; the first column leans left, the others right."""
    table = Table(
        title=Text(title),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for number, column in enumerate(columns):
        # Figures never break. Rich cuts a table at the right where columns have a least width or
        # headings need breaking, so headings are broken here and the rest may fold as it must.
        cells = [row[number] for row in rows]
        is_figure = number > 0 and not any(" " in cell or len(cell) > _FIGURE for cell in cells)
        table.add_column(
            Text("\n".join(column.split())),
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=is_figure,
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    _console().print(table)


def say_next(*commands: Sequence[str]) -> None:
    """Prints what to type next, one command a line, quoted for a shell.

    Args:
        commands: each a command of visionkit and the words after it.
    """
    say("", "Next:", *("  " + shlex.join(command_line(*words)) for words in commands))


@contextmanager
def progress(words: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of things done, which moves a bar.

    The bar is gone when the block ends, and is not drawn where the output is no terminal.
    """
    console = _console()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    if not console.is_terminal:
        yield lambda _: None
        return
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(words, total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def watching(words: str, seconds: float) -> Iterator[Callable[[float, int], None]]:
    """A function to call with seconds of video and number of frames done, which moves a bar.

    It shows frames a second and the time left; it is gone when the block ends, and is not drawn
    where the output is no terminal.

    Args:
        words: what is being done.
        seconds: of video in all; 0 where that is not known.
    """
    console = _console()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[frames]} frames, {task.fields[rate]:.1f} a second"),
        TimeRemainingColumn(),
    )
    if not console.is_terminal:
        yield lambda _, __: None
        return
    start, frames = time.monotonic(), 0
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(words, total=seconds or None, frames=0, rate=0.0)

        def step(passed: float, count: int) -> None:
            nonlocal frames
            frames += count
            rate = frames / max(time.monotonic() - start, 1e-9)
            bar.update(task, advance=passed, frames=frames, rate=rate)

        yield step


def keep_problems(problems: Sequence[Problem], folder: Path, *, name: str = PROBLEMS_NAME) -> None:
    """Writes `problems.csv` to a run's folder and says the first of them; nothing for none.

    Raises:
        RuntimeError: the disk is full.
    """
    if problems:
        write_problems(folder / name, problems)
        say(summarize(problems), f"  all of them: {folder / name}")


def replace_problems(
    problems: Sequence[Problem], folder: Path, *, name: str = PROBLEMS_NAME
) -> None:
    """As `keep_problems`; for none, the list that an earlier run left there is deleted.

    For the first list of a run that goes on with an earlier one, or whose output takes the place
    of that one's: a clean run must not seem to have its problems.

    Raises:
        RuntimeError: the disk is full.
    """
    if not problems:
        (folder / name).unlink(missing_ok=True)
    keep_problems(problems, folder, name=name)


@contextmanager
def problems_kept(folder: Path, *, name: str = PROBLEMS_NAME) -> Iterator[None]:
    """Writes `problems.csv` where reading ends because nothing is left.

    Raises:
        NothingLeftError: as it came, with a note that names the file.
    """
    try:
        yield
    except NothingLeftError as error:
        if error.problems:
            write_problems(folder / name, error.problems)
            error.add_note(f"all problems: {folder / name}")
        raise


def _console() -> Console:
    # Made when it is used: what stands for the terminal then, a test's capture too, is right.
    return Console()
