"""A small catalog of digits for tests of retraining, what people answer, and a turn of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from visionkit.cli.compose import compose
from visionkit.config.flywheel import RetrainConfig
from visionkit.data.demo_digits import make_demo_digits
from visionkit.data.formats import read
from visionkit.data.table import to_samples
from visionkit.flywheel.answers import Correction
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.jobs.retrain import retrain


@dataclass(frozen=True)
class Digits:
    """A catalog of 80 pictures of digits: 20 tested, 30 to learn from, 30 that nobody labelled."""

    catalog: Catalog
    folder: Path
    truth: dict[str, str]

    def answer(self, count: int) -> None:
        """Labels so many pictures that nobody has labelled, as a person would."""
        truths = self.catalog.truths()
        for name in [name for name, known in truths.items() if not known.reviewed][:count]:
            labels = (self.truth[name],)
            self.catalog.correct(
                Correction(f"answer-{name}", name, 0, "ann", "edit", labels=labels)
            )

    def turn(self, name: str, *words: str) -> Path:
        """The folder of a retraining; it may be that nothing was to be done."""
        given = [
            "task=classification",
            f"catalog={self.catalog.uri}",
            "task.image_size=64",
            "task.views=1",
            f"task.cache.folder={self.folder / 'features'}",
            "trainer.accelerator=cpu",
            f"output={self.folder / name}",
            *words,
        ]
        retrain(compose("retrain", RetrainConfig, given).config, self.folder)
        return self.folder / name


def digits(folder: Path) -> Digits:
    """A new catalog in a folder."""
    found = to_samples(read(make_demo_digits(folder / "digits", count=80), "folders").table)
    samples = [
        replace(
            sample,
            split="test" if number < 20 else "train",
            labels=sample.labels if number < 50 else (),
        )
        for number, sample in enumerate(sorted(found, key=lambda sample: sample.content_hash))
    ]
    catalog = open_catalog(folder / "catalog", create=True)
    catalog.add_samples(samples, reviewed=[bool(sample.labels) for sample in samples])
    return Digits(catalog, folder, {sample.id: sample.labels[0] for sample in found})
