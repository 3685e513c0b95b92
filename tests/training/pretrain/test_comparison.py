"""The general comparison learned in miniature, on real photos and the starter backbone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from visionkit.data.demo import demo_photos
from visionkit.heads.exemplar import ExemplarHead
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.models.weights import starter_comparison
from visionkit.training.pretrain.comparison import ComparisonSettings, pretrain_comparison

ONE_GALLERY = ComparisonSettings(minutes=0, scenes=2, epochs=20, batch_size=48, held_out=1)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_backbone(strides=(16,), pool_stride=16).freeze()


def run(backbone: Backbone, output: Path, *, resume: bool = False) -> dict[str, object]:
    photos = demo_photos()
    pretrain_comparison(
        backbone, photos[:6], photos[6:], output, settings=ONE_GALLERY, resume=resume
    )
    measured = json.loads((output / "comparison.json").read_text("utf-8"))
    assert isinstance(measured, dict)
    return measured


def test_it_learns_is_measured_fits_a_head_and_goes_on(backbone: Backbone, tmp_path: Path) -> None:
    measured = run(backbone, tmp_path)
    assert measured["pairs"] == 2 * 48
    assert 0 <= measured["ap50_before"] <= 1  # type: ignore[operator]
    assert 0 <= measured["ap50_after"] <= 1  # type: ignore[operator]
    state = load_file(tmp_path / "comparison.safetensors")
    assert all(value.dtype == torch.float16 for value in state.values())
    head = ExemplarHead(96)
    head.load_general(state)
    assert head.general.last.weight.abs().max() > 0
    assert run(backbone, tmp_path, resume=True)["pairs"] == 4 * 48


def test_pairs_of_a_run_before_are_taken_up_only_if_asked_to(
    backbone: Backbone, tmp_path: Path
) -> None:
    """A later resume=true could not tell which run they are of."""
    old = tmp_path / "comparison" / "00003.safetensors"
    old.parent.mkdir()
    old.touch()
    with pytest.raises(FileExistsError, match=r"comparison must .*; say resume=true .* output"):
        run(backbone, tmp_path)
    assert list(old.parent.iterdir()) == [old]


def test_photos_must_be_there(backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one photo"):
        pretrain_comparison(backbone, [], demo_photos(), tmp_path, settings=ONE_GALLERY)


def test_what_is_shipped_fits_a_head_and_says_something() -> None:
    head = ExemplarHead(96)
    head.load_general(starter_comparison())
    maps = torch.rand(4, 10, 8, 8, generator=torch.Generator().manual_seed(0))
    change, offsets = head.general(maps, torch.zeros(4, 3))
    assert torch.isfinite(change).all()
    assert change.abs().max() > 0
    assert offsets.abs().max() <= 0.5
