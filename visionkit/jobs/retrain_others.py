"""The champion's other heads where the training of one moves their backbone: each is judged too.

They answer otherwise on a backbone that has moved. So what they lose is measured on the frozen
test set, as what the trained head gains is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionkit.config.jobs import OthersConfig
from visionkit.flywheel.paired import Contest
from visionkit.flywheel.promotion import OtherHead, other_head
from visionkit.jobs.judging import classes_shown, judge_bundle, may_be_silent, telling
from visionkit.jobs.moving import SETS
from visionkit.jobs.retrain_data import write_manifest
from visionkit.jobs.sources import some_names
from visionkit.models.bundle import read_manifest
from visionkit.types import Sample

_NEEDS = {
    "exemplar": "boxes or labels of its items",
    "classification": "labels of pictures",
    "localization": "boxes of its classes",
}


@dataclass(frozen=True)
class StandingHead:
    """A head that does not learn while its backbone moves.

    Attributes:
        task: which.
        class_names: that it knows, sorted.
        multi_label: whether it may say that a picture shows none of them.
    """

    task: str
    class_names: tuple[str, ...]
    multi_label: bool

    def samples(self, samples: Sequence[Sample]) -> list[Sample]:
        """Those pictures that say something of what this head is asked for."""
        return telling(samples, self.task, self.class_names, multi_label=self.multi_label)

    def shown(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """Its classes that the pictures show, sorted."""
        shown = classes_shown(self.samples(samples), self.task, self.class_names)
        return tuple(name for name in shown if name in self.class_names)


def standing_heads(bundle: str | Path, taught: str) -> list[StandingHead]:
    """The heads of a bundle beside the one that is taught.

    Raises:
        FileNotFoundError: there is no such bundle.
        ValueError: it is damaged.
    """
    heads: Mapping[str, Mapping[str, Any]] = read_manifest(bundle)["heads"]
    return [
        StandingHead(
            task,
            tuple(sorted(told["items" if task == "exemplar" else "class_names"])),
            multi_label=may_be_silent(task, told),
        )
        for task, told in heads.items()
        if task != taught
    ]


def check_judged(heads: Sequence[StandingHead], samples: Sequence[Sample], what: str) -> None:
    """Passes if each head can be judged on these pictures.

    Args:
        heads: of `standing_heads`.
        samples: the frozen test set, or all that it could come from.
        what: these pictures, in words.

    Raises:
        ValueError: they show nothing that a head knows.
    """
    for head in heads:
        if not head.shown(samples):
            raise ValueError(
                f"move_backbone must be false where {what} can't judge the champion's head "
                f"{head.task}, got true: it would answer otherwise, and there are no "
                f"{_NEEDS[head.task]} ({some_names(head.class_names)}); add labelled pictures "
                "with split test and say loop.refreeze=true, or leave move_backbone away"
            )


def write_others(
    heads: Sequence[StandingHead], tested: Sequence[Sample], folder: Path
) -> OthersConfig:
    """The sets on which the training measures these heads: the frozen pictures, in manifests.

    Args:
        heads: of `standing_heads`; without any nothing is written.
        tested: the frozen test set.
        folder: to write into.

    Raises:
        RuntimeError: the disk is full.
    """
    sets: dict[str, str | None] = dict.fromkeys(SETS.values())
    for head in heads:
        path = folder / head.task / "output-test.manifest"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(path, head.samples(tested))
        sets[SETS[head.task]] = str(path)
    root = Path(tested[0].uri).anchor if heads else None
    return OthersConfig(**sets, image_root=root)


def judge_others(
    heads: Sequence[StandingHead],
    champion: str | Path,
    challenger: str | Path,
    samples: Sequence[Sample],
    contest: Contest,
    *,
    accelerator: str = "auto",
) -> list[OtherHead]:
    """How each of these heads did on the frozen test set, as it was and as it is now.

    Args:
        heads: of `standing_heads`, that can be judged.
        champion: bundle with the heads as they were.
        challenger: bundle with the heads as they are now.
        samples: the frozen test set.
        contest: what counts as lost.
        accelerator: where it runs.

    Raises:
        FileNotFoundError: a bundle or picture is gone.
        ValueError: a bundle is damaged, or a picture can't be read.
    """
    found = []
    for head in heads:
        own, names = head.samples(samples), head.shown(samples)
        before, after = (
            judge_bundle(bundle, head.task, own, names, accelerator=accelerator)
            for bundle in (champion, challenger)
        )
        untested = [name for name in head.class_names if name not in names]
        found.append(other_head(head.task, before, after, contest, untested=untested))
    return found


def other_figures(heads: Sequence[OtherHead]) -> dict[str, dict[str, Any]]:
    """Head -> what the catalog keeps of how it did."""
    return {
        head.task: {
            "figure": head.figure,
            "before": head.champion,
            "value": head.challenger,
            "kept": head.kept,
        }
        for head in heads
    }
