"""A catalog of drawn pictures, with what a model says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image as PillowImage
from PIL import ImageDraw

from visionkit.data.images import content_hash, read_image
from visionkit.flywheel.answers import Asked, Proposal, Reason
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.types import Sample

ITEMS = ("Pepsi", "Fanta", "7UP", "Sprite")
COLORS = {"Pepsi": "#2457c5", "Fanta": "#e8791b", "7UP": "#2c9b4b", "Sprite": "#7bbf3a"}
SIZE = (480, 360)  # width, height


def box_of(number: int, place: int = 0) -> tuple[float, float, float, float]:
    """Where picture `number` shows its can number `place`."""
    left = 40.0 + (number * 37) % 120 + 170 * place
    top = 70.0 + (number * 23) % 90
    return left, top, left + 110, top + 170


def draw(path: Path, number: int, items: tuple[str, ...]) -> None:
    """Writes a picture with a can for each item on a shelf."""
    shade = 225 - number % 40
    picture = PillowImage.new("RGB", SIZE, (shade, shade - 6, shade - 18))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 300, SIZE[0], SIZE[1]), fill=(150, 128, 104))
    for place, item in enumerate(items):
        left, top, right, bottom = box_of(number, place)
        pen.rounded_rectangle((left, top, right, bottom), 16, fill=COLORS[item])
        pen.rectangle((left, top + 60, right, top + 110), fill="#f5f5f0")
        pen.text((left + 34, top + 78), item, fill="#222222")
    picture.save(path, quality=88)


def sample_of(name: str, path: Path, **said: Any) -> Sample:
    """The sample of a picture file; what is said of it by keyword."""
    image = read_image(path)
    height, width = image.shape[:2]
    return Sample(name, path.as_posix(), width, height, content_hash(image), **said)


def shelf_catalog(folder: Path, count: int, *, two_every: int = 5) -> Catalog:
    """A catalog of `count` pictures s0, s1, ...: a can each, and two in every fifth.

    The model says the first can with a score from 0.30 to 0.89 by the number (threshold 0.5),
    the second as Fanta with 0.8. Nothing is reviewed.
    """
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    samples, proposals = [], []
    for number in range(count):
        item = ITEMS[number % len(ITEMS)]
        items = (item, "Fanta") if number % two_every == 0 else (item,)
        path = pictures / f"shelf_{number}.jpg"
        draw(path, number, items)
        samples.append(sample_of(f"s{number}", path))
        score = 0.3 + (number * 7 % 60) / 100
        other = ITEMS[(number + 1) % len(ITEMS)]
        proposals.append(
            Proposal(
                f"p{number}",
                f"s{number}",
                "exemplar",
                item,
                score,
                0.5,
                box_of(number),
                "ring-v1",
                other,
                round(score / 2, 2),
                10 + number % 9,
            )
        )
        if len(items) > 1:
            proposals.append(
                Proposal(
                    f"q{number}",
                    f"s{number}",
                    "exemplar",
                    "Fanta",
                    0.8,
                    0.5,
                    box_of(number, 1),
                    "ring-v1",
                    "Sprite",
                    0.2,
                )
            )
    catalog = open_catalog(folder / "catalog", create=True)
    catalog.add_samples(samples)
    catalog.add_proposals(proposals)
    return catalog


def build_order(catalog: Catalog) -> list[Asked]:
    """A queue whose order can be told by hand: those nearest to the threshold first."""
    truths = catalog.truths()
    closest: dict[str, Proposal] = {}
    for proposal in catalog.proposals():
        truth = truths.get(proposal.sample_id)
        if truth is None or truth.revision:
            continue
        best = closest.get(proposal.sample_id)
        if best is None or _margin(proposal) < _margin(best):
            closest[proposal.sample_id] = proposal
    asked = [_ask(proposal) for proposal in closest.values()]
    return sorted(asked, key=lambda entry: (-entry.priority, entry.sample_id))


def _margin(proposal: Proposal) -> float:
    return abs(proposal.score - proposal.threshold)


def _ask(proposal: Proposal) -> Asked:
    margin = _margin(proposal)
    side = "above" if proposal.score >= proposal.threshold else "below"
    words = (
        f"{proposal.label} at {proposal.score:.2f} is {margin:.2f} {side} "
        f"its threshold of {proposal.threshold:.2f}"
    )
    weight = max(0.0, 1.0 - margin)
    return Asked(proposal.sample_id, weight, (Reason("margin", words, weight),))
