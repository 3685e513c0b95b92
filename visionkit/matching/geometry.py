"""Geometric verification: do the fine points of a view and of the scene agree on a plane?

Local features are SIFT (Lowe, IJCV 2004) in RootSIFT form (Arandjelovic and Zisserman, "Three
things everyone should know", CVPR 2012), matched with Lowe's ratio test; homographies come
from MAGSAC++ (Barath et al., CVPR 2020) in OpenCV's implementation. All descriptors of the
views are matched in one matrix product, which is 6 times as fast as OpenCV's brute-force
matcher called view by view.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from visionkit.matching.gallery import View
from visionkit.matching.regions import parts_around
from visionkit.matching.templates import on_calm_ground
from visionkit.types import BoxArray, Image

_MIN_POINTS = 5
"""A view with fewer points has no texture to verify."""
_MAX_TAPER = 2.5
"""How much longer a side may be than the one opposite: more is a chance fit, not perspective."""
_VIEW_SIDE = 200
"""Smaller views are enlarged to this, in pixels: SIFT finds little in thumbnails."""


@dataclass(frozen=True)
class GeometrySettings:
    """When a match counts.

    Attributes:
        keypoints: most local features of a scene; the strongest are kept.
        scene_side: smaller scenes are enlarged to this longest side, in pixels. 1000 with 2,000
            keypoints takes 2.5 times as long and finds no more (AP50 on FlickrLogos-27's second
            subset: 0.312 against 0.326).
        max_scene_side: larger scenes are reduced to this longest side, in pixels. At 1280 it takes
            four times as long and finds no more, in refrigerators to choose on as in photos of that
            size that show FlickrLogos-27's second subset small.
        ratio: a match must be so many times as near as the second best.
        min_inliers: matches that must agree on one homography.
        instances: how often one view is looked for in one scene.
        reprojection: error that an inlier may have, in pixels.
        verified_views: most views that are looked for in one picture, those first that
            correlation finds best; 40 finds as much as all 172 (AP50 on FlickrLogos-27's second
            subset: 0.539 and 0.539 with the starter weights, 0.599 and 0.598 with
            MobileNetV2's).
    """

    keypoints: int = 1000
    scene_side: int = 640
    max_scene_side: int = 640
    ratio: float = 0.85
    min_inliers: int = 5
    instances: int = 3
    reprojection: float = 5.0
    verified_views: int = 40


@dataclass(frozen=True)
class Points:
    """Local features.

    Attributes:
        xy: (N, 2) float32, pixels of the picture.
        descriptors: (N, 128) float32, L2-normalised RootSIFT.
    """

    xy: NDArray[np.float32]
    descriptors: NDArray[np.float32]


@dataclass(frozen=True)
class Verified:
    """Views that were found by their points; N may be 0.

    Attributes:
        boxes: (N, 4) float32 xyxy around the quads, cut at the scene's rim.
        quads: (N, 4, 2) float32, the view's corners in the scene.
        inliers: (N,) int64, different points of the scene that agree.
        view: (N,) int64, index of the view in the gallery.
    """

    boxes: BoxArray
    quads: NDArray[np.float32]
    inliers: NDArray[np.int64]
    view: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.inliers)


class GeometryIndex:
    """The local features of all views, looked for when a view is first verified.

    Args:
        views: of the gallery, in its order.
        settings: when a match counts.
        known: points of views by the same settings; those of others are put in. 5,000 views take
            65 seconds.
    """

    def __init__(
        self,
        views: Sequence[View],
        settings: GeometrySettings,
        known: MutableMapping[View, Points] | None = None,
    ) -> None:
        self.settings = settings
        self._views = tuple(views)
        self._known = {} if known is None else known

    def verify(
        self, image: Image, views: NDArray[np.int64], around: BoxArray | None = None
    ) -> Verified:
        """Where the views lie in the scene.

        Args:
            image: (H, W, 3) uint8 RGB.
            views: (K,) different indices of the views to look for, ascending.
            around: (N, 4) float32 xyxy of the places that are looked at; None looks everywhere.
        """
        points = {int(view): self._points_of(self._views[view]) for view in views}
        points = {view: own for view, own in points.items() if len(own.xy) >= _MIN_POINTS}
        if not points:
            return _nothing()
        scene = scene_points(image, self.settings, around)
        if len(scene.xy) < _MIN_POINTS:
            return _nothing()
        descriptors = torch.from_numpy(np.concatenate([own.descriptors for own in points.values()]))
        nearest, is_clear = _match(descriptors, scene.descriptors, self.settings.ratio)
        found, start = [], 0
        for view, own in points.items():
            matched = np.flatnonzero(is_clear[start : start + len(own.xy)])
            source, target = own.xy[matched], scene.xy[nearest[start + matched]]
            start += len(own.xy)
            for quad, inliers in self._planes(source, target, _size(self._views[view]), image):
                found.append((quad, inliers, view))
        return _verified(found, image)

    def _points_of(self, view: View) -> Points:
        if view not in self._known:
            self._known[view] = view_points(view, self.settings)
        return self._known[view]

    def _planes(
        self,
        source: NDArray[np.float32],
        target: NDArray[np.float32],
        size: tuple[float, float],
        image: Image,
    ) -> list[tuple[NDArray[np.float32], int]]:
        """Quads and inlier counts, the plane with most matches first."""
        planes = []
        for _ in range(self.settings.instances):
            if len(source) < self.settings.min_inliers:
                break
            homography, mask = cv2.findHomography(
                source,
                target,
                cv2.USAC_MAGSAC,
                self.settings.reprojection,
                maxIters=2000,
                confidence=0.999,
            )
            if homography is None:  # which the type stubs of OpenCV leave out
                break  # type: ignore[unreachable]
            agrees = mask.ravel() > 0
            # Several points of the view on one point of the scene say no more than one.
            inliers = len(np.unique(target[agrees].round(), axis=0))
            if inliers < self.settings.min_inliers:
                break
            quad = _project(size, np.asarray(homography, np.float64))
            if _is_plausible(quad, size, image.shape):
                planes.append((quad, inliers))
            source, target = source[~agrees], target[~agrees]
        return planes


def scene_points(
    image: Image, settings: GeometrySettings, around: BoxArray | None = None
) -> Points:
    """Local features of a scene.

    Args:
        image: (H, W, 3) uint8 RGB.
        settings: of what size it is seen at, and how many are kept.
        around: (N, 4) float32 xyxy of the places that are looked at; None looks everywhere.
    """
    longest = max(image.shape[:2])
    side = min(max(longest, settings.scene_side), settings.max_scene_side)
    if around is None:
        return _points(image, side / longest, settings.keypoints)
    parts = []
    for rows, columns in parts_around(around, image.shape[:2]):
        found = _points(image[rows, columns], side / longest, settings.keypoints)
        corner = np.array([columns.start, rows.start], np.float32)
        parts.append(replace(found, xy=found.xy + corner))
    return Points(
        np.concatenate([np.zeros((0, 2), np.float32), *(part.xy for part in parts)]),
        np.concatenate([np.zeros((0, 128), np.float32), *(part.descriptors for part in parts)]),
    )


def view_points(view: View, settings: GeometrySettings) -> Points:
    """Local features of a view within its box; positions are relative to the box."""
    x_min, y_min, x_max, y_max = view.box
    image = on_calm_ground(view)
    left, top = int(x_min), int(y_min)
    crop = image[top : max(int(np.ceil(y_max)), top + 1), left : max(int(np.ceil(x_max)), left + 1)]
    scale = max(1.0, _VIEW_SIDE / max(crop.shape[:2]))
    points = _points(np.ascontiguousarray(crop), scale, settings.keypoints)
    offset = np.array([left - x_min, top - y_min], np.float32)
    return Points(points.xy + offset, points.descriptors)


def _points(image: Image, scale: float, limit: int) -> Points:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
    if scale != 1:
        kind = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        resized = cv2.resize(gray, size, interpolation=kind)
    else:
        resized = gray
    sift = cv2.SIFT.create(nfeatures=limit, contrastThreshold=0.02)
    keypoints, descriptors = sift.detectAndCompute(resized, None)
    if not len(keypoints):
        return Points(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    to_image = np.array([gray.shape[1] / size[0], gray.shape[0] / size[1]], np.float32)
    xy = np.array([point.pt for point in keypoints], np.float32) * to_image
    root = np.sqrt(descriptors / (descriptors.sum(1, keepdims=True) + 1e-9))
    return Points(xy.astype(np.float32), root.astype(np.float32))


def _match(
    descriptors: torch.Tensor, scene: NDArray[np.float32], ratio: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each descriptor its nearest point of the scene, and whether it is clearly nearest."""
    similarity = descriptors @ torch.from_numpy(scene).T
    best, places = similarity.topk(2, 1)
    distance = (2 - 2 * best).clamp(min=0).sqrt()
    is_clear = distance[:, 0] < ratio * distance[:, 1]
    return places[:, 0].numpy(), is_clear.numpy()


def _size(view: View) -> tuple[float, float]:
    """(width, height) of the item in pixels."""
    x_min, y_min, x_max, y_max = view.box
    return x_max - x_min, y_max - y_min


def _project(size: tuple[float, float], homography: NDArray[np.float64]) -> NDArray[np.float32]:
    width, height = size
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float32)
    return np.asarray(cv2.perspectiveTransform(corners, homography)[0], np.float32)


def _is_plausible(
    quad: NDArray[np.float32], size: tuple[float, float], shape: tuple[int, ...]
) -> bool:
    """Whether a view of that size can look like the quad: no bow tie, no sliver, no triangle."""
    if not np.isfinite(quad).all() or not cv2.isContourConvex(quad):
        return False
    area = cv2.contourArea(quad)
    width, height = np.ptp(quad, axis=0)
    scale = np.sqrt(area / (size[0] * size[1]))
    top, right, bottom, left = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1) + 1e-6
    stretch = ((top + bottom) / size[0]) / ((left + right) / size[1])
    return bool(
        area > 150
        and 0.1 < scale < 10
        and 1 / 3 < stretch < 3
        and max(top / bottom, bottom / top, left / right, right / left) < _MAX_TAPER
        and width < 1.5 * shape[1]
        and height < 1.5 * shape[0]
    )


def _verified(found: Sequence[tuple[NDArray[np.float32], int, int]], image: Image) -> Verified:
    if not found:
        return _nothing()
    quads = np.stack([quad for quad, _, _ in found])
    limit = np.array([image.shape[1], image.shape[0]], np.float32)
    low = np.clip(quads.min(1), 0, limit)
    high = np.clip(quads.max(1), 0, limit)
    return Verified(
        np.concatenate([low, high], 1).astype(np.float32),
        quads,
        np.array([inliers for _, inliers, _ in found], np.int64),
        np.array([view for _, _, view in found], np.int64),
    )


def _nothing() -> Verified:
    return Verified(
        np.zeros((0, 4), np.float32),
        np.zeros((0, 4, 2), np.float32),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
    )
