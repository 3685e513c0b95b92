"""The predictor: a bundle in use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv
import torch

import visionkit
from visionkit.data.demo import stock_backgrounds
from visionkit.data.images import find_images, read_image, read_rgba
from visionkit.matching.finder import Finder, FinderSettings, new_head
from visionkit.matching.gallery import View, make_view
from visionkit.matching.pyramid import scene_pyramid
from visionkit.matching.store import describe_finder, load_finder, save_finder
from visionkit.models.backbone import Backbone, build_backbone
from visionkit.models.bundle import read_manifest, write_bundle
from visionkit.types import Image

Picture = str | Path | Image
"""A path, or a (H, W, 3) uint8 RGB array."""


class Predictor:
    """Finds items in pictures; items can be added and removed without training.

    >>> predictor = Predictor.create()                              # doctest: +SKIP
    >>> predictor.add_item("soda", ["soda_1.jpg", "soda_2.jpg"])    # doctest: +SKIP
    >>> detections = predictor.find("shelf.jpg")                    # doctest: +SKIP

    Args:
        finder: what does the work.
        metadata: JSON values that travel with the bundle (metrics, data, versions).
    """

    def __init__(self, finder: Finder, metadata: Mapping[str, Any] | None = None) -> None:
        self.finder = finder
        self.metadata = dict(metadata or {})

    @classmethod
    def create(
        cls,
        backbone: Backbone | None = None,
        *,
        background: Sequence[Image] = (),
        settings: FinderSettings | None = None,
        device: str = "auto",
    ) -> Predictor:
        """A predictor with an empty gallery, which needs no training.

        Args:
            backbone: any; by default the starter weights that come with visionkit.
            background: (H, W, 3) uint8 RGB pictures that show none of the items; views are
                calibrated on them. By default a few photos that come with visionkit; a dozen
                of one's own make thresholds truer.
            settings: how items are found.
            device: "auto", "cpu", "cuda" and so on, as torch names them.
        """
        settings = settings or FinderSettings()
        stride = settings.pyramid.stride
        if backbone is None:
            backbone = build_backbone(strides=(stride,), pool_stride=stride)
        backbone = backbone.freeze().to(pick_device(device)).eval()
        reference = [
            scene_pyramid(image, backbone, settings.pyramid)
            for image in background or stock_backgrounds()
        ]
        head = new_head(backbone, reference, stride=stride)
        return cls(Finder(backbone, head, settings, reference))

    @classmethod
    def load(cls, bundle: str | Path, *, device: str = "auto") -> Predictor:
        """The predictor of a bundle.

        Args:
            bundle: folder that training or `save` wrote.
            device: "auto", "cpu", "cuda" and so on.

        Raises:
            FileNotFoundError: there is no bundle.
            ValueError: it is of a newer version, or damaged; names the file.
        """
        folder = Path(bundle)
        manifest = read_manifest(folder)
        if "exemplar" not in manifest:
            raise ValueError(f"the bundle must have an exemplar head, got none [{folder}]")
        finder = load_finder(folder, manifest["exemplar"], pick_device(device))
        return cls(finder, manifest.get("metadata", {}))

    def save(self, bundle: str | Path, *, overwrite: bool = False) -> None:
        """Writes a bundle, whole or not at all.

        Raises:
            FileExistsError: the folder is there and `overwrite` is False.
            RuntimeError: the disk is full.
        """
        manifest = {
            "visionkit_version": visionkit.__version__,
            "exemplar": describe_finder(self.finder),
            "metadata": self.metadata,
        }
        write_bundle(
            bundle, manifest, lambda folder: save_finder(self.finder, folder), overwrite=overwrite
        )

    @property
    def items(self) -> list[str]:
        """Names of the items, sorted: `class_id` of a detection is a place in this list."""
        return self.finder.item_names

    @property
    def thresholds(self) -> dict[str, float]:
        """Item -> score 0..1 from which on a find is reported."""
        return self.finder.thresholds

    def add_item(
        self,
        item: str,
        images: Picture | Iterable[Picture],
        *,
        boxes: Sequence[Sequence[float]] | None = None,
    ) -> None:
        """Adds pictures of an item, new or known, without training.

        Args:
            item: its name.
            images: pictures of it, each an array, a file, a folder or a glob: crops, or with
                `boxes` whole photos. Transparency is respected in files that have it.
            boxes: xyxy in pixels, one a picture; None if the pictures are crops.

        Raises:
            FileNotFoundError: there is no such picture.
            ValueError: a picture can't be read, a box holds no pixel, there is no picture, or
                there is not one box a picture.
        """
        if isinstance(images, (str, Path, np.ndarray)):
            images = [images]
        pictures = [each for picture in images for each in _each(picture)]
        if not pictures:
            raise ValueError(f"an item must have at least one picture, got none for {item}")
        if boxes is not None and len(boxes) != len(pictures):
            raise ValueError(
                f"boxes must be one a picture, got {len(boxes)} for {len(pictures)} pictures"
            )
        views = [
            _view(item, picture, None if boxes is None else boxes[index])
            for index, picture in enumerate(pictures)
        ]
        self.finder.add(views)

    def remove_item(self, item: str) -> None:
        """Removes an item with all its pictures.

        Raises:
            ValueError: there is no such item.
        """
        self.finder.remove(item)

    def find(self, image: Picture, *, score_threshold: float | None = None) -> sv.Detections:
        """The items in one picture, the surest first.

        Args:
            image: a path, or (H, W, 3) uint8 RGB.
            score_threshold: 0..1, one for all items; None takes each item's own.

        Returns:
            Boxes (N, 4) xyxy in pixels of the upright picture, `confidence` 0..1, `class_id`
            into `items`; in `data`: class_name, view, similarity, inliers, quad, runner_up and
            runner_up_score, as `Finder.find` says.
        """
        found = self.finder.find(_pixels(image))
        return above_threshold(found, self.items, self.thresholds, score_threshold)

    def predict(
        self, images: Iterable[Picture], *, score_threshold: float | None = None
    ) -> list[sv.Detections]:
        """The items in each picture; see `find`."""
        return [self.find(image, score_threshold=score_threshold) for image in images]


def above_threshold(
    detections: sv.Detections,
    items: Sequence[str],
    thresholds: Mapping[str, float],
    score_threshold: float | None,
) -> sv.Detections:
    """The detections whose score reaches the threshold, one for all or each item's own."""
    if not len(detections) or detections.class_id is None or detections.confidence is None:
        return detections
    limits = np.array([thresholds[item] for item in items], np.float32)[detections.class_id]
    if score_threshold is not None:
        limits = np.full(len(detections), score_threshold, np.float32)
    kept = detections[detections.confidence >= limits]
    if not isinstance(kept, sv.Detections):
        raise TypeError(f"detections must stay detections, got {type(kept).__name__}")
    return kept


def pick_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one.

    Raises:
        ValueError: torch knows no such device.
    """
    if name in ("auto", "gpu"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"device must be auto, or one that torch knows (cpu, cuda, cuda:1, mps), got {name!r}"
        ) from error


def _each(picture: Picture) -> list[Path | Image]:
    """The pictures that are meant: all of a folder or glob."""
    if isinstance(picture, np.ndarray):
        return [_checked(picture)]
    return list(find_images(picture))


def _view(item: str, picture: Path | Image, box: Sequence[float] | None) -> View:
    if isinstance(picture, np.ndarray):
        return make_view(item, picture, box=box)
    image, alpha = read_rgba(picture)
    return make_view(item, image, alpha=alpha, box=box, source=picture.as_posix())


def _pixels(picture: Picture) -> Image:
    return _checked(picture) if isinstance(picture, np.ndarray) else read_image(picture)


def _checked(picture: Image) -> Image:
    is_rgb = picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8
    if not is_rgb or not picture.size:
        raise ValueError(
            f"a picture must be (H, W, 3) uint8 RGB with pixels in it, got {picture.shape} "
            f"{picture.dtype}"
        )
    return picture
