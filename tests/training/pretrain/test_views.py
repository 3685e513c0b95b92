"""Pairs of views: where a point of one lies in the other must be true."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from visionkit.training.pretrain.bank import Bank, make_bank
from visionkit.training.pretrain.batches import labelled_views, mixed
from visionkit.training.pretrain.pictures import LabelledPictures
from visionkit.training.pretrain.views import Pairs, PairSettings, make_pairs
from visionkit.training.pretrain.warp import apply
from visionkit.types import Image

SIZE = 96
COLOUR = (0.25, 0.5, 0.75)


def _ramp(height: int, width: int) -> Image:
    """A photo whose red grows with x and green with y: a colour tells the place."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)[None]
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    return image


@pytest.fixture(scope="module")
def bank() -> Bank:
    labelled = LabelledPictures(np.stack([_ramp(32, 32)] * 4), np.arange(4), tuple("abcd"))
    opaque = np.dstack([_ramp(64, 64), np.full((64, 64), 255, np.uint8)])
    return make_bank(
        labelled,
        [_ramp(128, 128)],
        [opaque],
        photo_side=128,
        mark_side=64,
        seed=0,
        device=torch.device("cpu"),
    )


@pytest.fixture
def same_light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "visionkit.training.pretrain.views.relight", lambda images, generator: images
    )


def _pairs(bank: Bank, seed: int = 0, **changes: float) -> Pairs:
    settings = {"cutout_part": 0.0, "alone_part": 0.0, "bent_part": 1.0, "covered_part": 0.0}
    chosen = PairSettings(size=SIZE, colour=COLOUR, **{**settings, **changes})
    return make_pairs(bank, 12, chosen, torch.Generator().manual_seed(seed))


def _differences(pairs: Pairs) -> Tensor:
    """Difference in colour between shared points and their places in the other views."""
    line = torch.arange(6, SIZE - 6, 7)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack([columns.flatten(), rows.flatten()], dim=1).float()
    places = pairs.bend.undone(apply(pairs.matrices, points)).round().long()
    inside = ((places > 3) & (places < SIZE - 4)).all(-1)
    differences = []
    for pair in range(len(pairs.first)):
        for (x, y), (u, v) in zip(points.long().tolist(), places[pair].tolist(), strict=True):
            known = 3 < u < SIZE - 4 and 3 < v < SIZE - 4
            if known and pairs.shared[pair, y, x] and not pairs.covered[pair, v, u]:
                change = pairs.first[pair, :2, y, x] - pairs.second[pair, :2, v, u]
                differences.append(change.abs().max())
    assert inside.any()
    return torch.stack(differences)


@pytest.mark.usefixtures("same_light")
@pytest.mark.parametrize("covered", [0.0, 1.0])
def test_points_of_photos_lie_where_matrix_and_bend_say(bank: Bank, covered: float) -> None:
    differences = _differences(_pairs(bank, covered_part=covered))
    assert len(differences) > 100
    assert differences.median() < 0.02
    # A few lie beyond the photo's edge, where it is mirrored, or at the rim of a cover.
    assert (differences > 0.06).float().mean() < 0.06


@pytest.mark.usefixtures("same_light")
def test_points_of_items_lie_where_matrix_and_bend_say(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    opaque = bank.marks.float() / 255
    monkeypatch.setattr(
        "visionkit.training.pretrain.views._textures",
        lambda bank, count, generator: opaque.expand(count, -1, -1, -1),
    )
    pairs = _pairs(bank, cutout_part=1.0)
    shares = pairs.shared.flatten(1).float().mean(1)
    assert 0.05 < float(shares.min()) <= float(shares.max()) < 0.95
    differences = _differences(pairs)
    assert len(differences) > 100
    assert differences.median() < 0.03


@pytest.mark.usefixtures("same_light")
def test_a_view_alone_shows_a_rectangle_around_what_is_shared(bank: Bank) -> None:
    pairs = _pairs(bank, alone_part=1.0, cutout_part=0.5)
    colour = torch.tensor(COLOUR).view(3, 1, 1)
    for first, shared in zip(pairs.first, pairs.shared, strict=True):
        shown = ((first - colour).abs() > 1e-6).any(0)
        rows, columns = shown.any(1).nonzero().flatten(), shown.any(0).nonzero().flatten()
        box = torch.zeros_like(shown)
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        assert not (shared & ~box).any()
        assert box.float().mean() < 0.95
        assert (shown | ~box).float().mean() > 0.97  # nothing within it is hidden


def test_the_same_seed_gives_the_same_pairs_and_another_seed_others(bank: Bank) -> None:
    one, same, other = (_pairs(bank, seed, cutout_part=0.5) for seed in (1, 1, 2))
    torch.testing.assert_close(one.second, same.second)
    assert (one.second - other.second).abs().mean() > 0.01
    assert 0 <= float(one.first.min()) <= float(one.first.max()) <= 1


def test_long_photos_are_cut_to_both_ends() -> None:
    labelled = LabelledPictures(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1, np.int64), ("a",))
    mark = np.full((10, 20, 4), 255, np.uint8)
    bank = make_bank(
        labelled,
        [_ramp(50, 200), _ramp(64, 70)],
        [mark],
        photo_side=50,
        mark_side=16,
        seed=0,
        device=torch.device("cpu"),
    )
    assert bank.photos.shape == (3, 3, 50, 50)
    assert bank.photos[0, 0].max() < 70 < 180 < bank.photos[1, 0].min()
    assert (bank.marks[0, 3].sum(1) > 0).sum() == 8  # 10 by 20 pixels become 8 by 16


def test_labelled_views_are_parts_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "visionkit.training.pretrain.batches.expose", lambda images, generator: images
    )
    pictures = torch.from_numpy(np.stack([_ramp(32, 32)] * 64).transpose(0, 3, 1, 2).copy())
    views = labelled_views(pictures, 48, torch.Generator().manual_seed(0))
    assert views.shape == (64, 3, 48, 48)
    spread = views[:, 1].amax((1, 2)) - views[:, 1].amin((1, 2))  # how much of y is seen
    assert 0.5 < float(spread.min()) < 0.8 < 0.9 < float(spread.max()) <= 1
    slope = (views[:, 0, :, -1] - views[:, 0, :, 0]).mean(1)
    assert 0.2 < float((slope < 0).float().mean()) < 0.8  # half of them are mirrored


def test_a_mixed_view_lies_between_itself_and_its_neighbour() -> None:
    views = torch.stack([torch.full((3, 4, 4), value) for value in (0.0, 1.0, 0.0, 1.0)])
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(mixed(views, 0.0, generator), views)
    changed = mixed(views, 1.0, generator)
    assert ((changed - views).abs().flatten(1).amax(1) <= 0.5).all()  # never more than a half
    assert ((changed - views).abs().flatten(1).amin(1) > 0).all()
