"""The card of the starter weights: what they are, from what, how made and how good."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from visionkit.files import atomic_path, write_json, write_text
from visionkit.models.weights import BOXES_FILE, CARD_FILE, COMPARISON_FILE, STARTER_FILE
from visionkit.training.pretrain.settings import PretrainConfig

DATA = (
    (
        "tiny-imagenet-200, 30,000 pictures of 200 classes, with labels",
        "cut from ImageNet (Stanford CS231n); terms: non-commercial research and education",
    ),
    (
        "900 of 1,000 photos, one per ImageNet-1k class, without labels",
        "ImageNet sample pictures; ImageNet's terms as above",
    ),
    ("Grocery Store Dataset, 1,608 training photos, without labels", "MIT (Klasson et al.)"),
    ("Hymenoptera, 243 training photos, without labels", "ImageNet/Flickr photos, none stated"),
    ("BCCD, 292 training and validation pictures, without labels", "MIT"),
    ("Raccoon, 160 training pictures, without labels", "MIT"),
    ("Tomatoes on a conveyor, 64 training pictures, without labels", "CC BY 4.0"),
    ("A refrigerator, 20 pictures of positive/, without labels", "MIT (Microsoft)"),
    ("Marks drawn by visionkit.data.drawn", "made here"),
)
TEACHER = (
    "MobileNetV2 1.0 224 of TensorFlow, ImageNet-1k, from google-coral/test_data "
    "(Apache-2.0); learned from, not contained"
)
MEASURES = {
    "probe": "tiny-imagenet val, class by a linear layer on pooled features, 128 px",
    "photo_8": "piece of an unseen photo found again, stride 8",
    "photo_16": "the same, stride 16",
    "photo_16_enlarged": "the same, stride 16, everything enlarged twice",
    "mark_8": "unseen drawn mark found on another photo, stride 8",
    "mark_16": "the same, stride 16",
    "mark_16_enlarged": "the same, stride 16, everything enlarged twice",
    "cosine_16": "cosine to the teacher's standardised map on unseen photos, stride 16",
    "cosine_32": "the same, stride 32",
}


@dataclass(frozen=True)
class Figure:
    """A line of a benchmark: what was measured, the bar it had to reach (or ""), the verdict."""

    name: str
    value: float
    bar: str
    verdict: str


@dataclass(frozen=True)
class Provenance:
    """How one set of weights came about.

    Attributes:
        version: of the weights, for people.
        commit: of the code that trained them.
        steps: of the optimizer.
        minutes: by the clock.
        recipe: settings of the run; no paths.
        measured: name of a network -> measure -> value 0..1; a table to compare.
        note: what a user should know, what the weights are bad at among it.
        hardware: that it ran on, in words.
        figures: what benchmarks measured of these weights.
        comparison: what `comparison.json` says of the general comparison; empty without one.
        boxes: what `boxes.json` says of pyramid and box branch; empty without them.
    """

    version: str
    commit: str
    steps: int
    minutes: float
    recipe: Mapping[str, Any]
    measured: Mapping[str, Mapping[str, float]]
    note: str
    hardware: str
    figures: Sequence[Figure] = ()
    comparison: Mapping[str, Any] = field(default_factory=dict)
    boxes: Mapping[str, Any] = field(default_factory=dict)


def read_figures(path: str | Path) -> list[Figure]:
    """The newest figure of each name in a CSV file of a benchmark, in the order of the file.

    Raises:
        FileNotFoundError: there is no such file.
    """
    with Path(path).open(newline="", encoding="utf-8") as file:
        newest = {
            row["name"]: Figure(row["name"], float(row["figure"]), row["bar"], row["verdict"])
            for row in csv.DictReader(file)
        }
    return list(newest.values())


def recipe_of(config: PretrainConfig) -> dict[str, Any]:
    """The settings of a run that make the weights what they are: all but paths and words."""
    recipe = asdict(config)
    for key in (
        *("labelled", "labelled_val", "held_out", "photos", "left_out", "output", "resume"),
        *("threads", "compiled", "stage"),
        *("ship", "version", "commit", "note", "measure_minutes", "hardware", "figures"),
    ):
        del recipe[key]
    del recipe["teacher"]["file"]
    return recipe


def ship(output: Path, folder: Path, provenance: Provenance, *, image_size: int) -> None:
    """Puts weights and card where `weights=starter` finds them; each file whole or not at all.

    Args:
        output: folder of the run.
        folder: `visionkit/models/starter`.
        provenance: what the card says.
        image_size: side in pixels that the weights were learned at.
    """
    for name in (STARTER_FILE, COMPARISON_FILE, BOXES_FILE):
        if (output / name).is_file():
            with atomic_path(folder / name) as partial:
                shutil.copyfile(output / name, partial)
    card = {
        "version": provenance.version,
        "architecture": provenance.recipe["student"],
        "image_size": [image_size, image_size],
        "mean": provenance.recipe["mean"],
        "std": provenance.recipe["std"],
        "licence": "Apache-2.0 for the weights; see the terms of the data",
        "data": [{"what": what, "terms": terms} for what, terms in DATA],
        "teacher": TEACHER,
        "commit": provenance.commit,
        "hardware": provenance.hardware,
        "steps": provenance.steps,
        "minutes": provenance.minutes,
        "recipe": dict(provenance.recipe),
        "measured": {name: dict(values) for name, values in provenance.measured.items()},
        "comparison": dict(provenance.comparison),
        "boxes": dict(provenance.boxes),
        "figures": [asdict(figure) for figure in provenance.figures],
        "note": provenance.note,
    }
    write_json(folder / CARD_FILE, card)
    write_text(folder / "CARD.md", card_text(provenance))


def card_text(provenance: Provenance) -> str:
    """The card for people, Markdown."""
    names = list(provenance.measured)
    rows = [
        f"| {words} | " + " | ".join(_cell(provenance.measured[n].get(key)) for n in names) + " |"
        for key, words in MEASURES.items()
        if any(key in provenance.measured[name] for name in names)
    ]
    lines = [
        f"# Starter weights {provenance.version}",
        "",
        f"{provenance.recipe['student']} of timm without its classifier, float16. Trained "
        f"{provenance.minutes:.0f} minutes ({provenance.steps:,} steps) on {provenance.hardware} "
        f"at commit `{provenance.commit}` by `scripts/pretrain.py`; `card.json` holds every "
        "setting.",
        "",
        provenance.note,
        "",
        "## Measured",
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
        *rows,
        "",
        "No picture that is measured on was learned from. A piece counts as found if the best "
        "place has an IoU of at least 0.5 with the right one; the scenes are four photos side "
        "by side, 480x480.",
        "",
        *_comparison_lines(provenance.comparison),
        *_box_lines(provenance.boxes),
        *_figure_lines(provenance.figures),
        "## Learned from",
        "",
        *[f"- {what}. Terms: {terms}." for what, terms in DATA],
        f"- Teacher: {TEACHER}.",
        "",
        "The pictures are not part of the project. The weights are shared under Apache-2.0; who "
        "uses them commercially should know that most pictures came under ImageNet's terms.",
        "",
        "## How",
        "",
        "Three wishes at once: points of one view are told apart in another view of the same "
        "photo, or of the same item laid on another photo, by the maps of stride 8 and 16 "
        "(InfoNCE); the teacher's whitened maps, pooled features and classes (distillation); the "
        "labels. Labelled pictures begin small and grow. The learning rate falls along a cosine "
        "by the clock; what is shipped is the running average of the weights. On the frozen "
        "backbone the exemplar head and the class-agnostic boxes of the localization head then "
        "learn from composed scenes.",
    ]
    return "\n".join(lines) + "\n"


def _comparison_lines(measured: Mapping[str, Any]) -> list[str]:
    if not measured:
        return []
    before, after = measured["losses_before"], measured["losses_after"]
    return [
        "## The general comparison",
        "",
        f"Learned from {measured['pairs']:,} pairs of a place and a view in random galleries. On "
        f"galleries of unseen items in unseen photos, before and after: loss of the matches "
        f"{before['match']:.3f} and {after['match']:.3f}, of the boxes {before['box']:.3f} and "
        f"{after['box']:.3f}, AP50 {measured['ap50_before']:.3f} and "
        f"{measured['ap50_after']:.3f}. It serves other backbones as well.",
        "",
    ]


def _box_lines(measured: Mapping[str, Any]) -> list[str]:
    if not measured:
        return []
    trained, untrained = measured["trained"], measured["untrained"]
    return [
        "## Boxes without classes",
        "",
        f"Pyramid and box branch, learned for {measured['minutes']:.0f} minutes on the frozen "
        "network on composed scenes. Of what lies on unseen scenes, the 50 best boxes of a "
        f"picture meet {trained['recall_50']:.3f} with an IoU of at least 0.5 and "
        f"{trained['recall_75']:.3f} with 0.75; untrained "
        f"{untrained['recall_50']:.3f} and {untrained['recall_75']:.3f}.",
        "",
    ]


def _figure_lines(figures: Sequence[Figure]) -> list[str]:
    if not figures:
        return []
    return [
        "## By benchmarks/starter.py",
        "",
        "| | figure | bar | |",
        "|---|---|---|---|",
        *[
            f"| {one.name} | {one.value:.3f} | {one.bar or '-'} | {one.verdict} |"
            for one in figures
        ],
        "",
    ]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
