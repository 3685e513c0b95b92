"""Pairs of pictures of which is known where each point of one lies in the other, in batches.

Two kinds: two views of one photo, and one item (a drawn mark, a piece of a photo) laid on two
different photos. The second kind is what finding an item in a scene asks for: the same thing
before another background. All of it is drawn anew for each step, on the device that learns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from visionkit.training.pretrain import warp
from visionkit.training.pretrain.bank import Bank
from visionkit.training.pretrain.light import relight
from visionkit.training.pretrain.warp import Bend, normal, uniform


@dataclass(frozen=True)
class Pairs:
    """Two views each of the same things.

    Attributes:
        first, second: (P, 3, S, S) float in 0..1; in `first` the thing may stand alone.
        matrices: (P, 3, 3) from pixels of `first` to those of `second` before it was bent.
        bend: of `second`.
        shared: (P, S, S) bool, where in `first` the shared thing is; it may still lie outside
            the frame of `second`.
        covered: (P, S, S) bool, where `second` hides what lies there.
    """

    first: Tensor
    second: Tensor
    matrices: Tensor
    bend: Bend
    shared: Tensor
    covered: Tensor


@dataclass(frozen=True)
class PairSettings:
    """How pairs are made.

    Attributes:
        size: of a view in pixels, a multiple of 32.
        cutout_part: part of the pairs that show an item on two photos; the others show a photo.
        alone_part: part whose first view is cut to a rectangle, as a picture of an item is.
        bent_part, covered_part: parts whose second view is bent, and partly covered.
        colour: RGB in 0..1 around a view that stands alone.
    """

    size: int
    cutout_part: float
    alone_part: float
    bent_part: float
    covered_part: float
    colour: tuple[float, float, float]


def make_pairs(bank: Bank, count: int, settings: PairSettings, generator: torch.Generator) -> Pairs:
    """So many new pairs, photos first; `generator` is on the bank's device."""
    items = round(count * settings.cutout_part)
    device, size = bank.photos.device, settings.size
    change = random_change(count, size, generator, device)
    bend = warp.random_bend(
        count, size, part=settings.bent_part, generator=generator, device=device
    )
    first, second, shared = [], [], []
    for part, make in ((slice(0, count - items), _photos), (slice(count - items, count), _items)):
        own = Bend(bend.waves[part], bend.phases[part], bend.amplitudes[part])
        if len(change[part]):
            views = make(bank, change[part], own, size, generator)
            first.append(views[0])
            second.append(views[1])
            shared.append(views[2])
    scene, covered = _cover(bank, torch.cat(second), settings.covered_part, generator)
    template, inside = _alone(torch.cat(first), torch.cat(shared), settings, generator)
    return Pairs(template, relight(scene, generator), change, bend, inside, covered)


def random_change(
    count: int, size: int, generator: torch.Generator, device: torch.device
) -> Tensor:
    """(P, 3, 3) homographies between two views: shift, scale, turn and tilt."""
    scales = torch.exp(uniform((count, 1), math.log(0.7), math.log(1.4), generator, device))
    scales = scales * torch.exp(0.06 * normal((count, 2), generator, device))
    turn = warp.turn_and_scale(math.radians(10) * normal((count,), generator, device), scales)
    half = torch.full((count, 2), size / 2, device=device)
    moved = half + uniform((count, 2), -0.2, 0.2, generator, device) * size
    tilted = warp.tilt(0.04 * size * normal((count, 4, 2), generator, device), float(size))
    return tilted @ warp.shift(moved) @ turn @ warp.shift(-half)


def photo_views(
    bank: Bank, count: int, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(B, 3, h, w) photos, some mirrored by their matrices, and (B, 3, 3) to a view of a part."""
    device = bank.photos.device
    photos = bank.photo(count, generator)
    side = photos.shape[-1] * torch.exp(
        uniform((count,), math.log(0.35), math.log(0.95), generator, device)
    )
    room = (photos.shape[-1] - side)[:, None]
    centre = side[:, None] / 2 + room * torch.rand((count, 2), generator=generator, device=device)
    mirror = torch.where(torch.rand(count, generator=generator, device=device) < 0.5, -1.0, 1.0)
    scales = size / side[:, None] * torch.stack([mirror, torch.ones_like(mirror)], dim=1)
    angles = math.radians(5) * normal((count,), generator, device)
    half = torch.full((count, 2), size / 2, device=device)
    return photos, warp.shift(half) @ warp.turn_and_scale(angles, scales) @ warp.shift(-centre)


def shown_views(
    bank: Bank, count: int, size: int, item_part: float, generator: torch.Generator
) -> Tensor:
    """(B, 3, size, size) float in 0..1: parts of photos; the first have an item laid on them."""
    photos, place = photo_views(bank, count, size, generator)
    views = warp.look(photos, place, size, outside="reflection")
    laid = round(count * item_part)
    if laid:
        items = _textures(bank, laid, generator)
        onto = _item_place(laid, size, items.shape[-1], generator, photos.device)
        over = warp.look(items, onto, size, outside="zeros")
        views[:laid] = views[:laid] * (1 - over[:, 3:]) + over[:, :3]
    return views.clamp_(0, 1)


def _photos(
    bank: Bank, change: Tensor, bend: Bend, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    photos, first = photo_views(bank, len(change), size, generator)
    views = [
        warp.look(photos, matrix, size, bend=bent, outside="reflection")
        for matrix, bent in ((first, None), (change @ first, bend))
    ]
    shared = warp.look(torch.ones_like(photos[:, :1]), first, size, outside="zeros")[:, 0] > 0.5
    return views[0], views[1], shared


def _items(
    bank: Bank, change: Tensor, bend: Bend, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    count, device = len(change), change.device
    items = _textures(bank, count, generator)
    first = _item_place(count, size, items.shape[-1], generator, device)
    views, alpha = [], []
    for matrix, bent in ((first, None), (change @ first, bend)):
        photos, place = photo_views(bank, count, size, generator)
        under = warp.look(photos, place, size, outside="reflection")
        over = warp.look(items, matrix, size, bend=bent, outside="zeros")
        views.append(under * (1 - over[:, 3:]) + over[:, :3])
        alpha.append(over[:, 3])
    return views[0], views[1], alpha[0] > 0.5


def _item_place(
    count: int, size: int, side: int, generator: torch.Generator, device: torch.device
) -> Tensor:
    """(B, 3, 3) from items of `side` pixels to some place in views of `size` pixels."""
    scales = size / side * uniform((count,), 0.35, 0.95, generator, device)
    angles = math.radians(8) * normal((count,), generator, device)
    centre = size * uniform((count, 2), 0.35, 0.65, generator, device)
    middle = torch.full((count, 2), side / 2, device=device)
    return warp.shift(centre) @ warp.turn_and_scale(angles, scales) @ warp.shift(-middle)


def _textures(bank: Bank, count: int, generator: torch.Generator) -> Tensor:
    """(B, 4, c, c) items with premultiplied colours: drawn marks, and pieces of photos."""
    marks = bank.mark(count, generator)
    side = marks.shape[-1]
    photos, place = photo_views(bank, count, side, generator)
    pieces = warp.look(photos, place, side, outside="reflection")
    outline = bank.outline(count, generator)
    pieces = torch.cat([pieces, outline], dim=1)
    device = marks.device
    is_mark = torch.rand((count, 1, 1, 1), generator=generator, device=device) < 0.5
    items = torch.where(is_mark, marks, pieces)
    return torch.cat([items[:, :3] * items[:, 3:], items[:, 3:]], dim=1)


def _cover(
    bank: Bank, scenes: Tensor, part: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Scenes of which some are partly hidden by a piece of another scene, and where."""
    count, _, size, _ = scenes.shape
    device = scenes.device
    outline = bank.outline(count, generator)
    side = outline.shape[-1]
    scales = size / side * uniform((count, 2), 0.15, 0.5, generator, device)
    turn = warp.turn_and_scale(uniform((count,), -0.5, 0.5, generator, device), scales)
    centre = size * torch.rand((count, 2), generator=generator, device=device)
    middle = torch.full((count, 2), side / 2, device=device)
    place = warp.shift(centre) @ turn @ warp.shift(-middle)
    alpha = warp.look(outline, place, size, outside="zeros")
    alpha = alpha * (torch.rand((count, 1, 1, 1), generator=generator, device=device) < part)
    return torch.lerp(scenes, scenes.roll(1, 0), alpha), alpha[:, 0] > 0.5


def _alone(
    views: Tensor, shared: Tensor, settings: PairSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """First views in another light, some cut to a rectangle; and what of them is shared then.

    Where all is shared, the rectangle is any; else it surrounds what is shared.
    """
    count, size, device = len(views), settings.size, views.device
    views = relight(views, generator)
    line = torch.arange(size, device=device)
    sides = size * uniform((count, 2), 0.3, 0.8, generator, device)
    start = (size - sides) * torch.rand((count, 2), generator=generator, device=device)
    whole = shared.flatten(1).float().mean(1) > 0.97
    inside = torch.ones(count, size, size, dtype=torch.bool, device=device)
    for axis, other in ((0, 1), (1, 2)):
        seen = shared.any(dim=other)  # (P, S) along x, then along y
        low = torch.where(whole, start[:, axis], seen.float().argmax(1).float())
        last = size - 1 - seen.flip(1).float().argmax(1)
        high = torch.where(whole, start[:, axis] + sides[:, axis], last.float() + 1)
        within = (line >= low[:, None].floor()) & (line < high[:, None].floor())
        inside &= within[:, None, :] if axis == 0 else within[:, :, None]
    is_alone = torch.rand((count, 1, 1), generator=generator, device=device) < settings.alone_part
    inside |= ~is_alone
    colour = torch.tensor(settings.colour, device=device).view(1, 3, 1, 1)
    return torch.where(inside[:, None], views, colour), shared & inside
