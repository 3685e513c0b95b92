from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from tests.jobs.conftest import evaluate_config
from visionkit.jobs.evaluating import require_split, title_of, used_config
from visionkit.types import Sample, Split

DATA = Path("/sets/fridge")


def samples(splits: Sequence[Split]) -> list[Sample]:
    return [Sample(f"{n}", f"{n}.png", 4, 3, f"{n}", split) for n, split in enumerate(splits)]


@pytest.mark.parametrize(
    ("asked", "splits"),
    [("all", []), ("all", ["", "val"]), ("val", ["val"]), ("test", ["train", "test"])],
    ids=["all of nothing", "all", "the only one", "one of two"],
)
def test_splits_that_are_there_pass(asked: str, splits: list[Split]) -> None:
    require_split(evaluate_config(Path("run"), DATA, split=asked), samples(splits))


@pytest.mark.parametrize(
    ("asked", "splits", "named"),
    [
        ("test", ["val", "train", "val"], "train, val"),
        ("train", ["", "test"], "none, test"),
        ("val", [], ""),
    ],
    ids=["another", "pictures in none", "no pictures"],
)
def test_splits_that_are_not_there_name_those_that_are(
    asked: str, splits: list[Split], named: str
) -> None:
    config = evaluate_config(Path("run"), DATA, split=asked)
    with pytest.raises(ValueError, match=f"split={asked} must have pictures") as caught:
        require_split(config, samples(splits))
    assert f"the splits of {DATA} are: {named}; take split=all" in str(caught.value)


@pytest.mark.parametrize(
    ("bundle", "title"),
    [("runs/first/bundle", "first on fridge"), ("bundles/milk", "milk on fridge")],
    ids=["of a run", "by itself"],
)
def test_the_heading_names_bundle_and_data(bundle: str, title: str) -> None:
    assert title_of(evaluate_config(Path(bundle), DATA)) == title


def test_the_engine_that_ran_is_kept() -> None:
    ran = cast(Any, SimpleNamespace(engine="torch"))
    kept = yaml.safe_load(used_config(evaluate_config(Path("run"), DATA, seed=7), ran))
    assert (kept["engine"], kept["seed"], kept["data"]) == ("torch", 7, str(DATA))
