"""Which frozen pictures a retraining is judged on, and what is refused before it begins."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.turning import digits
from visionkit.cli.compose import compose
from visionkit.config.flywheel import RetrainConfig
from visionkit.inference.predictor import Predictor
from visionkit.jobs.retrain import retrain
from visionkit.types import ObjectBox


def test_rejected_pictures_are_no_false_alarms_of_a_head_that_always_names_a_class(
    tmp_path: Path,
) -> None:
    world = digits(tmp_path)
    samples = world.catalog.samples()
    rejected = [replace(s, id=f"rejected {s.id}", split="test", labels=()) for s in samples[50:55]]
    world.catalog.add_samples(rejected, reviewed=True)
    verdict = json.loads((world.turn("run") / "verdict.json").read_text("utf-8"))
    assert verdict["pictures"] == 20
    tested = [s for s in samples if s.split == "test"]
    predictor = Predictor.load(tmp_path / "run" / "challenger" / "bundle", device="cpu")
    named = [answer.labels for answer in predictor.predict([s.uri for s in tested])]
    f1 = []
    for label in {s.labels[0] for s in tested}:
        pairs = [
            (s.labels == (label,), label in said) for s, said in zip(tested, named, strict=True)
        ]
        right = sum(shown and found for shown, found in pairs)
        f1.append(2 * right / sum(shown + found for shown, found in pairs))
    assert verdict["challenger"] == pytest.approx(sum(f1) / len(f1))


def test_a_head_of_which_the_frozen_pictures_show_nothing_is_not_trained(tmp_path: Path) -> None:
    world = digits(tmp_path)
    box = (ObjectBox("five", (0.0, 0.0, 9.0, 9.0), "human:ann"),)
    sample = replace(world.catalog.samples()[60], id="boxed", split="train", objects=box)
    world.catalog.add_samples([sample], reviewed=True)
    given = ["task=localization", f"catalog={world.catalog.uri}", f"output={tmp_path / 'run'}"]
    with pytest.raises(ValueError, match=r"frozen test set \w+ must tell something of task=loc"):
        retrain(compose("retrain", RetrainConfig, given).config, tmp_path)
    assert not (tmp_path / "run").exists()
    assert world.catalog.models() == []
