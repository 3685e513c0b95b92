"""Pictures as questions to another annotation tool: a folder that it imports."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from visionkit.files import atomic_folder
from visionkit.flywheel import exclusive
from visionkit.flywheel.answers import NOBODY, Asked, by_picture, newest
from visionkit.flywheel.catalog import Catalog
from visionkit.flywheel.exchange import cvat, label_studio
from visionkit.flywheel.exchange.class_names import STAND_IN, ClassNames, class_names
from visionkit.flywheel.exchange.naming import picture_name
from visionkit.flywheel.exchange.question import Question

Write = Callable[[Sequence[Question], Mapping[str, str], ClassNames, Path], None]
TOOLS: Mapping[str, Write] = MappingProxyType(
    {"label_studio": label_studio.write, "cvat": cvat.write}
)
"""Name -> what writes the annotations of questions, whose pictures lie under names, to a folder."""


def questions_about(
    catalog: Catalog, asked: Sequence[Asked], *, one_class: bool | None = None
) -> list[Question]:
    """The pictures of a queue as questions, with what is known and what models propose.

    Args:
        catalog: that has the pictures.
        asked: which, and why.
        one_class: whether a picture as a whole is of one class at most; None is as the catalog
            tells.

    Raises:
        KeyError: a picture is not in the catalog.
    """
    ids = [entry.sample_id for entry in asked]
    # First who was asked: a model asked meanwhile must not silence others without its finds.
    last = catalog.last_asked()
    proposals, truths = by_picture(catalog.proposals()), catalog.truths()
    if one_class is None:
        one_class = exclusive.one_class(proposals.values(), truths.values())
    return [
        Question(
            sample,
            truths[sample.id].revision,
            # What people have vouched for is not proposed anew, also that it shows nothing.
            ()
            if truths[sample.id].reviewed
            else tuple(newest(proposals.get(sample.id, ()), last=last.get(sample.id, NOBODY))),
            "; ".join(reason.words for reason in entry.reasons),
            one_class,
        )
        for sample, entry in zip(catalog.samples(ids), asked, strict=True)
    ]


def write_questions(
    questions: Sequence[Question],
    path: str | Path,
    tool: str,
    *,
    offered: ClassNames | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a folder with a copy of all pictures and annotations, whole or not at all.

    Args:
        questions: at least one.
        path: the folder to make.
        tool: one of `TOOLS`.
        offered: names to answer with; None offers those that the questions show or propose. Where
            there is none, `STAND_IN` is offered.
        overwrite: whether a folder that is there is replaced.

    Raises:
        ValueError: there is no such tool, or no question.
        FileNotFoundError: a picture is gone.
        FileExistsError: `path` is there and `overwrite` is false.
        RuntimeError: the disk is full.
    """
    if tool not in TOOLS:
        raise ValueError(f"the tool must be one of {', '.join(TOOLS)}, got {tool!r}")
    if not questions:
        raise ValueError("there must be at least one picture to ask about, got none")
    if offered is None:
        proposals = (entry for each in questions for entry in each.proposals)
        offered = class_names((each.sample for each in questions), proposals)
    with atomic_folder(path, overwrite=overwrite) as folder:
        names = {each.sample.id: picture_name(each.sample, each.revision) for each in questions}
        for each in questions:
            _copy(Path(each.sample.uri), folder / "images" / names[each.sample.id])
        TOOLS[tool](questions, names, offered or STAND_IN, folder)


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise FileNotFoundError(f"the picture {source} of the catalog is gone; put it back")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
