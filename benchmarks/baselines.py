"""What visionkit is measured against: three textbook ways, which share no code with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import supervision as sv
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from visionkit.matching.gallery import View
from visionkit.models.backbone import Backbone
from visionkit.types import Image

Finder = Callable[[Image], sv.Detections]
_SCALES = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
_PER_ITEM = 20


def sift_baseline(views: Sequence[View], items: Sequence[str]) -> Finder:
    """SIFT, ratio test 0.8, one MAGSAC homography a view; scored by its inliers."""
    sift, matcher = cv2.SIFT_create(2000), cv2.BFMatcher()
    known = []
    for view in views:
        gray = cv2.cvtColor(view.crop(), cv2.COLOR_RGB2GRAY)
        scale = max(1.0, 160 / max(gray.shape))
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        known.append((*sift.detectAndCompute(gray, None), gray.shape, items.index(view.item)))

    def find(image: Image) -> sv.Detections:
        points, descriptors = sift.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
        rows = []
        for view_points, view_descriptors, shape, item in known:
            if descriptors is None or view_descriptors is None or len(view_descriptors) < 4:
                continue
            pairs = matcher.knnMatch(view_descriptors, descriptors, k=2)
            good = [p[0] for p in pairs if len(p) == 2 and p[0].distance < 0.8 * p[1].distance]
            if len(good) < 6:
                continue
            source = np.float32([view_points[match.queryIdx].pt for match in good])
            target = np.float32([points[match.trainIdx].pt for match in good])
            homography, mask = cv2.findHomography(source, target, cv2.USAC_MAGSAC, 5.0)
            if homography is None or mask.sum() < 6:
                continue
            corners = np.float32([[[0, 0], [shape[1], 0], [shape[1], shape[0]], [0, shape[0]]]])
            quad = cv2.perspectiveTransform(corners, homography)[0]
            rows.append((*quad.min(0), *quad.max(0), float(mask.sum()), item))
        return _detections(np.array(rows, np.float64).reshape(-1, 6), image)

    return find


def pixel_baseline(views: Sequence[View], items: Sequence[str]) -> Finder:
    """Normalised cross-correlation of gray pixels at seven scales; scenes at most 250 px."""
    templates = []
    for view in views:
        gray = cv2.cvtColor(view.crop(), cv2.COLOR_RGB2GRAY)
        scale = 32 / max(gray.shape)
        size = (max(4, round(gray.shape[1] * scale)), max(4, round(gray.shape[0] * scale)))
        templates.append((cv2.resize(gray, size, interpolation=cv2.INTER_AREA), view.item))

    def find(image: Image) -> sv.Detections:
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        base = 250 / max(gray.shape)
        rows = []
        for scale in (base * factor for factor in _SCALES):
            scene = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            for template, item in templates:
                height, width = template.shape
                if scene.shape[0] < height or scene.shape[1] < width:
                    continue
                response = cv2.matchTemplate(scene, template, cv2.TM_CCOEFF_NORMED)
                for value, y, x in _best(response, 3):
                    box = (x / scale, y / scale, (x + width) / scale, (y + height) / scale)
                    rows.append((*box, value, items.index(item)))
        return _detections(np.array(rows, np.float64).reshape(-1, 6), image)

    return find


def correlation_baseline(
    views: Sequence[View], items: Sequence[str], backbone: Backbone, mean: torch.Tensor
) -> Finder:
    """Plain correlation of centred, normalised features: templates of six cells, seven scales.

    Args:
        views: what to find.
        items: names, in the order of the class ids.
        backbone: gives a map of stride 16.
        mean: (C,) mean feature of background pictures.
    """

    def features(image: Image) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            found = backbone(pixels).maps[16]
        return F.normalize(found - mean[:, None, None], dim=1)

    templates = []
    for view in views:
        crop = view.crop()
        scale = 6 * 16 / max(crop.shape[:2])
        size = (max(16, round(crop.shape[1] * scale)), max(16, round(crop.shape[0] * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        kernel = features(np.asarray(cv2.resize(crop, size, interpolation=how)))
        templates.append((kernel / kernel[0, 0].numel(), size, view.item))

    def find(image: Image) -> sv.Detections:
        base = 500 / max(image.shape[:2])
        rows = []
        for scale in (base * factor for factor in _SCALES):
            size = (max(32, round(image.shape[1] * scale)), max(32, round(image.shape[0] * scale)))
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            scene = features(np.asarray(cv2.resize(image, size, interpolation=how)))
            for kernel, (width, height), item in templates:
                if scene.shape[2] < kernel.shape[2] or scene.shape[3] < kernel.shape[3]:
                    continue
                response = F.conv2d(scene, kernel)[0, 0].numpy()
                for value, y, x in _best(response, 3):
                    left, top = 16 * x / scale, 16 * y / scale
                    box = (left, top, left + width / scale, top + height / scale)
                    rows.append((*box, value, items.index(item)))
        return _detections(np.array(rows, np.float64).reshape(-1, 6), image)

    return find


def _best(response: NDArray[np.float32], count: int) -> list[tuple[float, int, int]]:
    """The highest local maxima: value, row, column."""
    peaks = np.where(response == cv2.dilate(response, np.ones((3, 3))), response, -1.0)
    places = np.argsort(-peaks, axis=None)[:count]
    rows, columns = np.unravel_index(places, peaks.shape)
    return [(float(peaks[y, x]), int(y), int(x)) for y, x in zip(rows, columns, strict=True)]


def _detections(rows: NDArray[np.float64], image: Image) -> sv.Detections:
    """The best finds of each item, without those that overlap a better one by 0.45."""
    if not len(rows):
        return sv.Detections.empty()
    height, width = image.shape[:2]
    boxes = np.clip(rows[:, :4], 0, [width, height, width, height]).astype(np.float32)
    # A monotone map to 0..1: AP only sees the order.
    found = sv.Detections(
        xyxy=boxes,
        confidence=(1 / (1 + np.exp(-np.clip(rows[:, 4], -50, 50)))).astype(np.float64),
        class_id=rows[:, 5].astype(int),
    )
    found = found[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
    kept = []
    for item in np.unique(found.class_id):
        mine = found[found.class_id == item]
        mine = mine[np.argsort(-mine.confidence)[:200]]
        kept.append(mine.with_nms(0.45)[:_PER_ITEM])
    return sv.Detections.merge(kept) if kept else sv.Detections.empty()
