"""Composed scenes: items pasted into photos, with the boxes of what is seen of them.

Items are warped, bent, lit, mounted on signs, blended, covered and surrounded by clutter and by
things that are not to be found (Dwibedi et al., "Cut, Paste and Learn", ICCV 2017; distractors
as universal negatives as in IDOW, CVPR 2025). The same seed gives the same scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.blending import lay_over
from visionkit.data.camera import take_photo
from visionkit.data.cutouts import Cutout, FloatMap, Placed, Pose, photo_patch, place, sheet
from visionkit.data.mounts import fitted_ground, random_sheet
from visionkit.types import BoxArray, Image

__all__ = ["ComposeSettings", "ComposedScene", "Cutout", "compose_scene", "photo_patch"]

_ATTEMPTS = 4
_SMALLEST_SIDE = 10.0  # pixels; a wordmark thinner than this is a line
_SMALLEST_AREA = 12  # pixels of ink
_NOBODY = -1


@dataclass(frozen=True)
class ComposeSettings:
    """How scenes are composed. Pairs are least and most.

    Attributes:
        image_size: height and width of the scenes in pixels.
        items: how many items a scene that is not empty holds.
        empty: share of scenes without items, 0..1.
        item_side: root of an item's area: pixels at least, share of the scene's shorter side at
            most. Small items are drawn more often than large ones.
        min_visible: share of an item that is never covered or out of the picture, 0..1.
        roll, tilt: standard deviations in degrees of the turn within the picture, and of the turn
            away from the camera to the side and upwards.
        bend: share of items that are bent like cloth.
        mount: share of items that lie on a sign, a label or a poster.
        cover: share of items that something lies on.
        distractors: how many other items.
        patches: how many pieces of photo.
        camera: strength of exposure, blur, noise and JPEG; 0 is none, 1 is usual.

    Raises:
        ValueError: a setting is out of its range.
    """

    image_size: tuple[int, int] = (360, 480)
    items: tuple[int, int] = (1, 5)
    empty: float = 0.1
    item_side: tuple[float, float] = (24.0, 0.8)
    min_visible: float = 0.55
    roll: float = 12.0
    tilt: float = 20.0
    bend: float = 0.3
    mount: float = 0.35
    cover: float = 0.25
    distractors: tuple[int, int] = (0, 4)
    patches: tuple[int, int] = (0, 4)
    camera: float = 1.0

    def __post_init__(self) -> None:
        if min(self.image_size) < 32:
            raise ValueError(f"image_size must be at least 32x32 pixels, got {self.image_size}")
        for name in ("items", "distractors", "patches"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be (least, most) from 0 up, got {(low, high)}")
        for name in ("empty", "min_visible", "bend", "mount", "cover"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        if self.item_side[0] < 8 or not 0 < self.item_side[1] <= 1:
            raise ValueError(
                "item_side must be pixels from 8 up and a share in 0..1 of the scene's shorter "
                f"side, got {self.item_side}"
            )


@dataclass(frozen=True)
class ComposedScene:
    """A scene and what is to be found in it; all have the same length N, which may be 0.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) float32 xyxy pixels, tight around what is visible of each item.
        labels: of the items.
        views: which view of the item was pasted.
        quads: (N, 4, 2) float32 x, y: the corners of the view's picture, clockwise from its top
            left; they may lie outside the scene.
        visible: (N,) float32, share of the item that is seen, 0..1.
    """

    image: Image
    boxes: BoxArray
    labels: list[str | int]
    views: list[str]
    quads: NDArray[np.float32]
    visible: NDArray[np.float32]


class _Table:
    """The scene while things are laid on it: colours, and whose each pixel is."""

    def __init__(self, background: Image) -> None:
        self.colour = background.astype(np.float32)
        self.size = background.shape[0], background.shape[1]
        self.owner: NDArray[np.int16] = np.full(self.size, _NOBODY, np.int16)
        self.cutouts: list[Cutout] = []
        self.quads: list[FloatMap] = []
        self.areas: list[int] = []

    def window(self, placed: Placed) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
        """Where the frame meets the scene: slices of the scene and of the frame."""
        rows, columns = self.size
        height, width = placed.opacity.shape
        top, left = max(placed.top, 0), max(placed.left, 0)
        bottom, right = min(placed.top + height, rows), min(placed.left + width, columns)
        if top >= bottom or left >= right:
            return None
        there = (slice(top, bottom), slice(left, right))
        here = (
            slice(top - placed.top, bottom - placed.top),
            slice(left - placed.left, right - placed.left),
        )
        return there, here

    def hides_too_much(
        self, covered: NDArray[np.bool_], there: tuple[slice, slice], share: float
    ) -> bool:
        """Whether covering these pixels would leave less than `share` of an item."""
        if not self.areas:
            return False
        lost = self._count(self.owner[there][covered])
        seen = self._count(self.owner)
        return bool(((seen - lost) < share * np.array(self.areas))[lost > 0].any())

    def _count(self, owner: NDArray[np.int16]) -> NDArray[np.int64]:
        return np.bincount(owner.ravel() + 1, minlength=len(self.areas) + 1)[1:]


def compose_scene(
    rng: np.random.Generator,
    background: Image,
    cutouts: Sequence[Cutout],
    distractors: Sequence[Cutout] = (),
    settings: ComposeSettings | None = None,
) -> ComposedScene:
    """A scene of `settings.image_size` with items of `cutouts` in it and their visible boxes.

    Labels are drawn evenly, then one of the label's views. An item for which no place is found
    where enough of it and of the others would stay visible is left out.

    Args:
        rng: numbers to draw from.
        background: (H, W, 3) uint8 RGB photo without any of the items; cropped to fit.
        cutouts: views of the items to be found; none gives empty scenes.
        distractors: things that may lie about and are not to be found. Pieces of the background
            are used besides; add more with `photo_patch`.
        settings: None takes the defaults.

    Raises:
        ValueError: the background is no uint8 RGB picture.
    """
    settings = settings or ComposeSettings()
    _check_background(background)
    table = _Table(fitted_ground(rng, background, settings.image_size))
    for _ in range(int(rng.integers(settings.patches[0], settings.patches[1] + 1))):
        patch = photo_patch(rng, background)
        _lay_bare(rng, table, patch, settings, _pose(rng, patch, settings, table))
    things: list[tuple[Cutout, bool]] = []
    if distractors:
        count = int(rng.integers(settings.distractors[0], settings.distractors[1] + 1))
        picked = rng.integers(len(distractors), size=count)
        things += [(distractors[index], False) for index in picked]
    if cutouts and rng.random() >= settings.empty:
        count = int(rng.integers(settings.items[0], settings.items[1] + 1))
        things += [(cutout, True) for cutout in _pick(rng, cutouts, count)]
    for index in rng.permutation(len(things)):
        thing, wanted = things[index]
        if wanted:
            _lay_item(rng, table, thing, settings)
        else:
            _lay_distractor(rng, table, thing, settings)
    for index in range(len(table.areas)):
        if rng.random() < settings.cover:
            _cover(rng, table, index, background, distractors, settings)
    return _finish(rng, table, settings)


def _check_background(background: Image) -> None:
    shape = background.shape
    if background.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or min(shape[:2]) < 8:
        raise ValueError(
            "background must be a (H, W, 3) uint8 RGB picture of at least 8x8 pixels, "
            f"got {shape} {background.dtype}; read it with visionkit.data.images.read_image"
        )


def _pick(rng: np.random.Generator, cutouts: Sequence[Cutout], count: int) -> list[Cutout]:
    by_label: dict[str | int, list[Cutout]] = {}
    for cutout in cutouts:
        by_label.setdefault(cutout.label, []).append(cutout)
    groups = list(by_label.values())
    picked: list[Cutout] = []
    for _ in range(count):
        if picked and rng.random() < 0.15:  # the same item again
            group = by_label[picked[-1].label]
        else:
            group = groups[int(rng.integers(len(groups)))]
        picked.append(group[int(rng.integers(len(group)))])
    return picked


def _pose(
    rng: np.random.Generator, cutout: Cutout, settings: ComposeSettings, table: _Table
) -> Pose:
    rows, columns = cutout.image.shape[:2]
    aspect = np.sqrt(columns / rows)
    height, width = settings.image_size
    most = min(
        settings.item_side[1] * min(height, width), 0.95 * width / aspect, 0.95 * height * aspect
    )
    least = min(max(settings.item_side[0], _SMALLEST_SIDE * max(aspect, 1 / aspect)), most)
    side = float(np.exp(rng.uniform(np.log(least), np.log(most))))
    tilt = np.radians(settings.tilt)
    wide = 4.0 if rng.random() < 0.08 else 1.0
    bent = rng.random() < settings.bend
    return Pose(
        centre=_free_place(rng, table, side),
        side=side,
        roll=float(np.radians(settings.roll) * wide * rng.normal()),
        yaw=float(np.clip(tilt * rng.normal(), -0.9, 0.9)),
        pitch=float(np.clip(0.7 * tilt * rng.normal(), -0.7, 0.7)),
        distance=float(rng.uniform(1.8, 5.0)),
        bend=float(rng.uniform(0.008, 0.035)) if bent else 0.0,
        waves=(
            float(rng.uniform(-1.6, 1.6)),
            float(rng.uniform(-1, 1)),
            float(rng.uniform(0, 6.3)),
        ),
    )


def _free_place(rng: np.random.Generator, table: _Table, side: float) -> tuple[float, float]:
    """Of three random places the one that lies least on other items."""
    rows, columns = table.size
    reach = 0.35 * side
    best, least = (columns / 2, rows / 2), np.inf
    for _ in range(3):
        x = float(rng.uniform(min(reach, columns / 2), max(columns - reach, columns / 2)))
        y = float(rng.uniform(min(reach, rows / 2), max(rows - reach, rows / 2)))
        half = max(4, int(side / 2))
        around = table.owner[
            max(int(y) - half, 0) : int(y) + half, max(int(x) - half, 0) : int(x) + half
        ]
        taken = float((around != _NOBODY).mean())
        if taken < least:
            best, least = (x, y), taken
        if taken == 0:
            break
    return best


def _around(table: _Table, pose: Pose) -> FloatMap:
    """What lies where the item will be; at least one pixel."""
    rows, columns = table.size
    x, y = int(np.clip(pose.centre[0], 0, columns - 1)), int(np.clip(pose.centre[1], 0, rows - 1))
    half = max(2, int(pose.side / 2))
    return table.colour[max(y - half, 0) : y + half, max(x - half, 0) : x + half]


def _lay_item(
    rng: np.random.Generator, table: _Table, cutout: Cutout, settings: ComposeSettings
) -> None:
    """Lays an item on the table where enough of it and of the others shows, if that is found."""
    # A little in hand, so that something may still cover it.
    share = min(settings.min_visible + 0.1, 1.0)
    for _ in range(_ATTEMPTS):
        pose = _pose(rng, cutout, settings, table)
        mounted = random_sheet(rng, cutout, pose.side, _around(table, pose), settings.mount)
        placed = place(mounted, pose)
        window = table.window(placed)
        if window is None:
            continue
        there, here = window
        inside = placed.item[here] > 0.5
        area = int((placed.item > 0.5).sum())
        if area < _SMALLEST_AREA or inside.sum() < share * area:
            continue
        if _lay(rng, table, cutout, placed, settings, printed=not mounted.mounted):
            table.owner[there][inside] = len(table.areas)
            table.areas.append(area)
            table.cutouts.append(cutout)
            table.quads.append(placed.quad)
            return


def _lay_distractor(
    rng: np.random.Generator, table: _Table, cutout: Cutout, settings: ComposeSettings
) -> None:
    pose = _pose(rng, cutout, settings, table)
    mounted = random_sheet(rng, cutout, pose.side, _around(table, pose), settings.mount)
    _lay(rng, table, cutout, place(mounted, pose), settings, printed=not mounted.mounted)


def _lay_bare(
    rng: np.random.Generator, table: _Table, cutout: Cutout, settings: ComposeSettings, pose: Pose
) -> None:
    _lay(rng, table, cutout, place(sheet(cutout, pose.side), pose), settings, printed=False)


def _lay(
    rng: np.random.Generator,
    table: _Table,
    cutout: Cutout,
    placed: Placed,
    settings: ComposeSettings,
    *,
    printed: bool,
) -> bool:
    """Whether it was laid on the table: not if it missed it, or hid too much of an item."""
    window = table.window(placed)
    if window is None:
        return False
    there, here = window
    covered = placed.opacity[here] > 0.5
    if table.hides_too_much(covered, there, settings.min_visible):
        return False
    lay_over(
        rng,
        table.colour[there],
        placed.colour[here],
        placed.opacity[here],
        crop=cutout.alpha is None,
        printed=printed,
    )
    table.owner[there][covered] = _NOBODY
    return True


def _cover(
    rng: np.random.Generator,
    table: _Table,
    index: int,
    background: Image,
    distractors: Sequence[Cutout],
    settings: ComposeSettings,
) -> None:
    """Lays something on the rim of an item, if enough of it stays to be seen."""
    x, y, width, height = cv2.boundingRect((table.owner == index).astype(np.uint8))
    if width < 8 or height < 8:
        return
    cutout = photo_patch(rng, background)
    if distractors and rng.random() < 0.4:
        cutout = distractors[int(rng.integers(len(distractors)))]
    angle = rng.uniform(0, 2 * np.pi)
    centre = (
        x + width / 2 * (1 + float(np.cos(angle))),
        y + height / 2 * (1 + float(np.sin(angle))),
    )
    side = float(np.sqrt(width * height) * rng.uniform(0.35, 0.9))
    pose = Pose(centre, max(side, 6.0), roll=float(rng.uniform(-3, 3)), distance=3.0)
    _lay_bare(rng, table, cutout, settings, pose)


def _finish(rng: np.random.Generator, table: _Table, settings: ComposeSettings) -> ComposedScene:
    image = np.clip(table.colour + 0.5, 0, 255).astype(np.uint8)
    image = take_photo(rng, image, settings.camera)
    count = len(table.areas)
    boxes = np.zeros((count, 4), np.float32)
    visible = np.zeros(count, np.float32)
    for index in range(count):
        mask = (table.owner == index).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        boxes[index] = (x, y, x + width, y + height)
        visible[index] = cv2.countNonZero(mask) / table.areas[index]
    return ComposedScene(
        image=image,
        boxes=boxes,
        labels=[cutout.label for cutout in table.cutouts],
        views=[cutout.view for cutout in table.cutouts],
        quads=np.stack(table.quads) if count else np.zeros((0, 4, 2), np.float32),
        visible=visible,
    )
