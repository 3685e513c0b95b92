from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from visionkit.heads.exemplar import (
    ExemplarHead,
    PairOutputs,
    Pairs,
    PairTargets,
    refine_boxes,
)

CHANNELS = 12


def new_head(seed: int = 0, **sizes: int) -> ExemplarHead:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ExemplarHead(
            CHANNELS,
            **{"embedding_size": 8, "item_count": 3, "general_hidden": 5} | sizes,
        )


def learned_head() -> ExemplarHead:
    head = new_head()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(5)
        for parameter in head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return head


def pairs_of(count: int, seed: int = 0) -> Pairs:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    corners = normal(count, 2).abs() * 50
    return Pairs(
        scene=normal(count, CHANNELS, 10, 10),
        view=normal(count, CHANNELS, 8, 8),
        weights=torch.rand(count, 8, 8, generator=generator),
        prior=normal(count) * 3,
        evidence=torch.cat([normal(count, 2), torch.rand(count, 1, generator=generator)], 1),
        boxes=torch.cat([corners, corners + 20 + normal(count, 2).abs() * 40], 1),
        item=torch.arange(count) % 4 - 1,
    )


def take(pairs: Pairs, index: slice) -> Pairs:
    return Pairs(*(value[index] for value in vars(pairs).values()))


def test_no_pairs() -> None:
    head, pairs = new_head(), pairs_of(0)
    outputs = head(pairs)
    assert outputs.logits.shape == (0,)
    assert outputs.offsets.shape == (0, 4)
    targets = PairTargets(torch.zeros(0), torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool))
    losses = head.loss(outputs, targets)
    assert {name: float(loss.detach()) for name, loss in losses.items()} == {"match": 0, "box": 0}
    sum(losses.values(), torch.zeros(())).backward()
    assert head.decode(outputs, pairs).boxes.shape == (0, 4)


# Begins as the identity.


@pytest.mark.parametrize("seed", range(3))
def test_untrained_scores_are_the_prior_and_boxes_stay(seed: int) -> None:
    pairs = pairs_of(20, seed)
    head = new_head(seed).eval()
    outputs = head(pairs)
    torch.testing.assert_close(outputs.logits, pairs.prior - 2.5)
    assert (outputs.offsets == 0).all()
    results = head.decode(outputs, pairs)
    torch.testing.assert_close(results.boxes, pairs.boxes)
    torch.testing.assert_close(results.scores, 1 / (1 + torch.exp(2.5 - pairs.prior)))


@pytest.mark.parametrize("count", [0, 5])
def test_new_items_begin_with_what_holds_of_all(count: int) -> None:
    head, pairs = learned_head(), pairs_of(9)
    head.fit_whitening(torch.randn(100, CHANNELS))
    projection = head.projection.clone()
    change, offsets = head.general(head.likeness(pairs), pairs.evidence)
    head.learn_items(count)
    outputs = head(pairs)
    assert (change.abs() > 0.01).any()
    torch.testing.assert_close(outputs.logits, pairs.prior - 2.5 + change / 2)
    torch.testing.assert_close(outputs.offsets, offsets)
    torch.testing.assert_close(head.projection, projection)


def test_an_items_scorer_weighs_what_lies_where_the_item_covers() -> None:
    """By plain loops: unit embeddings of the middle 8x8 cells, their mean in blocks of 2x2."""
    head, pairs = learned_head(), pairs_of(4)
    inner = head.embed(pairs.scene).numpy()[:, :, 1:9, 1:9]
    weights = pairs.weights.numpy()
    expected = np.zeros((4, 8, 4, 4))
    for n, row, column in np.ndindex(4, 4, 4):
        block = np.s_[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        covered = weights[n][block]
        seen = sum(inner[n][:, y, x] * weights[n, y, x] for y, x in _cells(row, column))
        expected[n, :, row, column] = seen / max(covered.sum(), 4 * 0.05)
    cells = head.item_cells(pairs).detach().numpy()
    np.testing.assert_allclose(cells, expected.reshape(4, -1), atol=1e-5)
    learned = head.item_weights.detach().numpy()
    change = [0.0, *((learned[item] * cells[item + 1]).sum() for item in range(3))]
    logits = head(pairs).logits - head.without_items(pairs).logits  # the items are -1, 0, 1, 2
    np.testing.assert_allclose(logits.detach().numpy(), change, atol=1e-4)


def _cells(row: int, column: int) -> list[tuple[int, int]]:
    return [(2 * row + down, 2 * column + right) for down in range(2) for right in range(2)]


def test_a_place_that_the_item_does_not_cover_says_nothing() -> None:
    pairs = pairs_of(2)
    cells = new_head().item_cells(replace(pairs, weights=torch.zeros_like(pairs.weights)))
    assert (cells == 0).all()


def test_a_head_is_made_again_from_its_sizes() -> None:
    head = learned_head()
    again = ExemplarHead(**head.sizes)
    again.load_state_dict(head.state_dict())
    pairs = pairs_of(5)
    torch.testing.assert_close(again(pairs).logits, head(pairs).logits)


# The embedding.


def test_whitened_backgrounds_vary_alike_in_all_directions() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(CHANNELS, CHANNELS))
    cells = rng.normal(size=(4000, CHANNELS)) @ mixing + rng.normal(size=CHANNELS)
    head = new_head(embedding_size=CHANNELS)
    head.fit_whitening(torch.from_numpy(cells).float(), shrinkage=0.0)
    projected = (cells - head.center.numpy()) @ head.projection.numpy().T
    np.testing.assert_allclose(np.cov(projected.T), np.eye(CHANNELS), atol=2e-3)
    np.testing.assert_allclose(head.center.numpy(), cells.mean(0), atol=1e-4)


def test_fewer_directions_are_those_that_vary_most() -> None:
    scales = np.arange(1, CHANNELS + 1.0)
    cells = np.random.default_rng(1).normal(size=(4000, CHANNELS)) * scales
    head = new_head(embedding_size=3)
    head.fit_whitening(torch.from_numpy(cells).float(), shrinkage=0.0)
    strongest = head.projection.abs().argmax(1).tolist()
    assert sorted(strongest) == [9, 10, 11]


def test_shrinkage_keeps_still_directions_from_being_blown_up() -> None:
    cells = torch.randn(500, CHANNELS)
    cells[:, 0] = 1.0
    head = new_head(embedding_size=CHANNELS)
    head.fit_whitening(cells)
    assert torch.isfinite(head.projection).all()
    assert head.projection.abs().max() < 10


@pytest.mark.parametrize("shape", [(0, CHANNELS), (1, CHANNELS), (10, 5), (10,)])
def test_cells_that_can_not_be_whitened_with(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"cells must be \(N > 1, 12\), got"):
        new_head().fit_whitening(torch.zeros(shape))


@pytest.mark.parametrize("embedding_size", [3, 12, 40])
def test_embeddings_are_unit_vectors(embedding_size: int) -> None:
    head = new_head(embedding_size=embedding_size)
    embedded = head.embed(torch.randn(2, CHANNELS, 4, 5))
    assert embedded.shape == (2, min(embedding_size, CHANNELS), 4, 5)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(2, 4, 5))


def test_a_feature_without_direction_gives_zeros_not_nan() -> None:
    assert (new_head().embed(torch.zeros(1, CHANNELS, 2, 2)) == 0).all()


@pytest.mark.parametrize("head", [new_head, learned_head], ids=["untrained", "trained"])
def test_together_as_one_by_one(head: Callable[[], ExemplarHead]) -> None:
    pairs, network = pairs_of(6), head().eval()
    together = network(pairs)
    for number in range(6):
        alone = network(take(pairs, slice(number, number + 1)))
        torch.testing.assert_close(alone.logits[0], together.logits[number])
        torch.testing.assert_close(alone.offsets[0], together.offsets[number])


# Boxes.


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        ([0, 0, 0, 0], [10, 20, 50, 40]),
        ([0.5, 0, 0, 0], [30, 20, 70, 40]),
        ([0, -0.5, 0, 0], [10, 10, 50, 30]),
        ([0, 0, math.log(2), 0], [-10, 20, 70, 40]),
        ([0, 0, 0, math.log(0.5)], [10, 25, 50, 35]),
        ([0.25, 0.25, math.log(2), math.log(2)], [0, 15, 80, 55]),
    ],
    ids=["stays", "right", "up", "wider", "flatter", "all at once"],
)
def test_refined_boxes(offsets: list[float], expected: list[float]) -> None:
    box = torch.tensor([[10.0, 20, 50, 40]])
    torch.testing.assert_close(
        refine_boxes(box, torch.tensor([offsets])), torch.tensor([expected], dtype=torch.float32)
    )


# The loss.


def outputs_of(logits: list[float], boxes: list[list[float]]) -> PairOutputs:
    offsets = torch.zeros(len(logits), 4, requires_grad=True)
    return PairOutputs(torch.tensor(logits, requires_grad=True), offsets, torch.tensor(boxes))


def test_match_loss_is_cross_entropy_of_what_is_known() -> None:
    outputs = outputs_of([1.0, -2.0, 5.0], [[0.0, 0, 10, 10]] * 3)
    targets = PairTargets(
        torch.tensor([1.0, 0.0, -1.0]), torch.zeros(3, 4), torch.zeros(3, dtype=torch.bool)
    )
    losses = new_head().loss(outputs, targets)
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-2))) / 2
    assert float(losses["match"].detach()) == pytest.approx(expected)
    assert float(losses["box"].detach()) == 0
    losses["match"].backward()
    assert outputs.logits.grad is not None
    assert outputs.logits.grad[2] == 0  # what can't be said is not taught


@pytest.mark.parametrize(
    ("match", "has_box", "counts"), [(1, True, True), (1, False, False), (0, True, False)]
)
def test_box_loss_is_of_matches_with_a_box(match: float, has_box: bool, counts: bool) -> None:
    outputs = outputs_of([0.0], [[0.0, 0, 10, 10]])
    targets = PairTargets(
        torch.tensor([float(match)]), torch.tensor([[5.0, 0, 15, 10]]), torch.tensor([has_box])
    )
    loss = float(new_head().loss(outputs, targets)["box"].detach())
    # IoU 50 / 150; centres 5 apart, diagonal of the hull 15 x 10: 25 / 325; same form.
    assert loss == pytest.approx(1 - 1 / 3 + 25 / 325 if counts else 0, abs=1e-5)


def test_a_box_in_its_place_costs_nothing() -> None:
    outputs = outputs_of([0.0], [[3.0, 4, 13, 24]])
    targets = PairTargets(torch.ones(1), torch.tensor([[3.0, 4, 13, 24]]), torch.ones(1).bool())
    assert float(new_head().loss(outputs, targets)["box"].detach()) == pytest.approx(0, abs=1e-6)


def test_loss_falls_on_one_batch() -> None:
    head, pairs = new_head().requires_grad_(True), pairs_of(24)
    generator = torch.Generator().manual_seed(1)
    targets = PairTargets(
        (torch.rand(24, generator=generator) < 0.4).float(),
        pairs.boxes + torch.tensor([3.0, -2, 6, 1]),
        torch.ones(24, dtype=torch.bool),
    )
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    seen = []
    for _ in range(40):
        losses = head.loss(head(pairs), targets)
        total = losses["match"] + losses["box"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        seen.append({name: float(loss.detach()) for name, loss in losses.items()})
    assert seen[-1]["match"] < 0.5 * seen[0]["match"]
    assert seen[-1]["box"] < 0.7 * seen[0]["box"]


def test_every_item_learns_and_what_holds_of_all_stays() -> None:
    head, pairs = learned_head(), pairs_of(12)
    targets = PairTargets(
        torch.arange(12).remainder(2).float(),
        pairs.boxes + 4,
        torch.ones(12, dtype=torch.bool),
    )
    losses = head.loss(head(pairs), targets)
    (losses["match"] + losses["box"]).backward()
    learning = {name for name, each in head.named_parameters() if each.grad is not None}
    assert learning == {"item_weights"}
    assert (head.item_weights.grad.abs().sum(1) > 0).all()


def test_pairs_in_half_precision_become_float32() -> None:
    pairs = pairs_of(3)
    half = replace(pairs, scene=pairs.scene.half(), view=pairs.view.half())
    moved = half.to("cpu")
    assert moved.scene.dtype == moved.view.dtype == torch.float32
    assert torch.equal(moved.item, pairs.item)
    assert moved.item.dtype == torch.int64
    assert new_head()(moved).logits.dtype == torch.float32


def test_what_holds_of_all_items_is_taken_from_another_head() -> None:
    head, teacher, pairs = new_head(), learned_head(), pairs_of(7)
    head.load_general(teacher.general.state_dict())
    expected, offsets = teacher.general(head.likeness(pairs), pairs.evidence)
    torch.testing.assert_close(head(pairs).logits, pairs.prior - 2.5 + expected / 2)
    torch.testing.assert_close(head(pairs).offsets, offsets)


def test_a_box_that_points_verify_stays_the_more_of_them_the_better() -> None:
    """A homography is more exact than a grid of cells."""
    pairs, points = pairs_of(4), torch.tensor([0.0, 5, 10, 60])
    alike = Pairs(*(value[:1].expand(4, *value.shape[1:]) for value in vars(pairs).values()))
    head = learned_head()
    with torch.no_grad():  # so that points count for nothing else
        head.general.inner.weight[:, -1] = 0
    evidence = torch.cat([alike.evidence[:, :2], points.log1p()[:, None]], 1)
    offsets = head(replace(alike, evidence=evidence)).offsets.detach()
    assert offsets[0].abs().min() > 1e-4
    torch.testing.assert_close(offsets[1], offsets[0] / 2)
    torch.testing.assert_close(offsets[2:], torch.zeros(2, 4))


def test_a_comparison_of_another_size_is_not_taken() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        new_head().load_general(new_head(general_hidden=3).general.state_dict())


def test_likeness_is_the_cosine_to_the_scene_s_cells_around() -> None:
    """By plain loops: each of nine shifts, then how much the item covers."""
    head, pairs = new_head(), pairs_of(2)
    scene = head.embed(pairs.scene).numpy()
    view = head.embed(pairs.view).numpy()
    expected = np.zeros((2, 10, 8, 8), np.float32)
    for y, x in np.ndindex(8, 8):
        for down, right in np.ndindex(3, 3):
            there = scene[:, :, y + down, x + right]
            expected[:, 3 * down + right, y, x] = (there * view[:, :, y, x]).sum(1)
    expected[:, 9] = pairs.weights.numpy()
    np.testing.assert_allclose(head.likeness(pairs).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("trust", [0.0, 0.5, 1.0])
def test_tempered_scores_lie_between_untrained_and_learned(trust: float) -> None:
    learned, pairs = learned_head(), pairs_of(9)
    before = learned(pairs)
    general, _ = learned.general(learned.likeness(pairs), pairs.evidence)
    learned.temper(trust)
    after = learned(pairs)
    expected = (1 - trust) * (pairs.prior - 2.5 + general / 2) + trust * before.logits
    torch.testing.assert_close(after.logits, expected)
    torch.testing.assert_close(after.offsets, before.offsets)
