"""The predictor: a bundle in use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv
import torch

from visionkit.data.demo import stock_backgrounds
from visionkit.data.framing import Framing
from visionkit.inference.device import pick_device
from visionkit.inference.engines.choice import Started, chosen_export, start_export
from visionkit.inference.engines.exported import EXPORTERS
from visionkit.inference.engines.graph import Graph
from visionkit.inference.engines.network import Network, TorchNetwork
from visionkit.inference.parts import ClassificationPart, LocalizationPart
from visionkit.inference.pictures import Picture, batches, checked, each_of, pixels_of, view_of
from visionkit.inference.prediction import Prediction, above_threshold, chosen_tasks
from visionkit.inference.seen import see
from visionkit.inference.store import Parts, load_parts, save_parts
from visionkit.inference.video.frames import Frame, FramePrediction
from visionkit.inference.video.pipeline import predict_video
from visionkit.inference.video.reader import Reading
from visionkit.inference.video.sampling import EVERY_FRAME, Sampling
from visionkit.matching.finder import Finder, FinderSettings
from visionkit.matching.new_finder import new_finder
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.types import Image


class Predictor:
    """Says what pictures show: items that it was shown, classes of pictures, classes of boxes.

    One backbone sees each picture for all heads. Items can be added and removed without training.

    >>> predictor = Predictor.create()                              # doctest: +SKIP
    >>> predictor.add_item("soda", ["soda_1.jpg", "soda_2.jpg"])    # doctest: +SKIP
    >>> detections = predictor.find("shelf.jpg")                    # doctest: +SKIP
    >>> predictions = predictor.predict(["shelf.jpg", "door.jpg"])  # doctest: +SKIP

    Args:
        backbone: of which all heads see; with all its layers, if heads are to be added later.
        finder: the exemplar head with its gallery; made with this backbone or a view of it.
        classification: a trained head that says what whole pictures show.
        localization: a trained head that says which objects are where.
        metadata: JSON values that travel with the bundle (metrics, data, versions).
        exports: as of `Parts`.
        reference: as of `Parts`.

    Attributes:
        backbone: a view of the one given, with every map that a head may want, in evaluation mode.
        network: what runs it with the trained heads.
        engine: the name of what runs the network, such as "torch" or "openvino_int8".

    Raises:
        ValueError: there is no head, or one is of another backbone.
    """

    def __init__(
        self,
        backbone: Backbone,
        finder: Finder | None = None,
        classification: ClassificationPart | None = None,
        localization: LocalizationPart | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        exports: Sequence[Path] = (),
        reference: Path | None = None,
    ) -> None:
        # Set here whatever heads there are, since convolutions differ in the last digit by it.
        self.backbone = backbone.to(memory_format=torch.channels_last).full().eval()
        self._finder = finder
        self.classification, self.localization = classification, localization
        self.metadata = dict(metadata or {})
        self._exports, self._reference = tuple(exports), reference
        self._parts.check()
        device = next(backbone.parameters()).device
        for part in (classification, localization):
            if part is not None:
                part.head.to(device).to(memory_format=torch.channels_last).eval()
        self.engine = "torch"
        self.network: Network = self._torch_network()

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
        backbone = build_backbone() if backbone is None else backbone
        backbone = backbone.freeze().to(pick_device(device)).eval()
        return cls(backbone, new_finder(backbone, background or stock_backgrounds(), settings))

    @classmethod
    def load(cls, bundle: str | Path, *, device: str = "auto", engine: str = "auto") -> Predictor:
        """The predictor of a bundle.

        Args:
            bundle: folder that training or `save` wrote.
            device: "auto", "cpu", "cuda" and so on.
            engine: what runs the network: "auto", "torch", "torch_compiled", or one for which it
                was exported, "openvino" or "onnx", with "_fp32", "_fp16" or "_int8" where a
                precision is meant. "auto" is OpenVINO on a CPU, where it is installed and
                the bundle has a network for it, else torch.

        Raises:
            FileNotFoundError: there is no bundle.
            ValueError: it is of another version, or damaged; names the file. Or there is no such
                engine, or nothing was exported for it.
            ModuleNotFoundError: the engine is not installed.
        """
        exported = engine.startswith(EXPORTERS)
        place = pick_device("cpu" if exported and device == "auto" else device)
        parts = load_parts(bundle, place)
        predictor = cls(
            parts.backbone,
            parts.finder,
            parts.classification,
            parts.localization,
            metadata=parts.metadata,
            exports=parts.exports,
            reference=parts.reference,
        )
        predictor._take_engine(engine, Path(bundle), place)
        return predictor

    def _take_engine(self, engine: str, bundle: Path, device: torch.device) -> None:
        name = chosen_export(engine, bundle, device)
        if name is not None:
            self.take(start_export(name, bundle, self.graphs()))
        elif engine == "torch_compiled":
            self.engine, self.network = engine, self._torch_network(compiled=True)

    def take(self, started: Started) -> None:
        """Sees by an exported network from now on; views of items are still seen by torch."""
        self.engine = started.name
        if started.network is not None:
            self.network = started.network
        if self._finder is not None:
            self._finder.look = started.look

    def _torch_network(self, *, compiled: bool = False) -> TorchNetwork:
        classes, boxes = self.classification, self.localization
        return TorchNetwork(
            self.backbone,
            None if classes is None else classes.head,
            None if boxes is None else boxes.head,
            compiled=compiled,
        )

    def save(self, bundle: str | Path, *, overwrite: bool = False) -> None:
        """Writes a bundle, whole or not at all.

        Raises:
            FileExistsError: the folder is there and `overwrite` is False.
            RuntimeError: the disk is full.
        """
        save_parts(self._parts, bundle, overwrite=overwrite)

    @property
    def _parts(self) -> Parts:
        return Parts(
            self.backbone,
            self._finder,
            self.classification,
            self.localization,
            self.metadata,
            self._exports,
            self._reference,
        )

    def graphs(self) -> dict[str, Graph]:
        """The network as other engines take it, as of `Parts.graphs`."""
        return self._parts.graphs()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The heads that there are, among "exemplar", "classification" and "localization"."""
        return self._parts.tasks

    @property
    def finder(self) -> Finder:
        """The exemplar head with its gallery.

        Raises:
            ValueError: there is none; `start_gallery` makes it.
        """
        if self._finder is None:
            raise ValueError(
                f"there must be an exemplar head to look for items, got {', '.join(self.tasks)} "
                "only; add an item (visionkit gallery add, or Predictor.start_gallery)"
            )
        return self._finder

    def start_gallery(
        self, *, background: Sequence[Image] = (), settings: FinderSettings | None = None
    ) -> None:
        """Adds an exemplar head with an empty gallery; what the other heads answer stays the same.

        Args:
            background: as of `create`.
            settings: as of `create`.

        Raises:
            ValueError: there is one already.
        """
        if self._finder is not None:
            raise ValueError(f"there must be no gallery yet, got one of {len(self.items)} items")
        self._finder = new_finder(self.backbone, background or stock_backgrounds(), settings)

    @property
    def items(self) -> list[str]:
        """Names of the items, sorted: `class_id` of a find is a place in this list."""
        return [] if self._finder is None else self._finder.item_names

    @property
    def thresholds(self) -> dict[str, float]:
        """Item -> score 0..1 from which on a find is reported."""
        return {} if self._finder is None else self._finder.thresholds

    def add_item(
        self,
        item: str,
        images: Picture | Iterable[Picture],
        *,
        boxes: Sequence[Sequence[float]] | None = None,
    ) -> None:
        """Adds pictures of an item, new or known, without training.

        Where there is no exemplar head yet, one is begun, calibrated on stock photos.

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
        if isinstance(images, (str, Path, np.ndarray, Frame)):
            images = [images]
        pictures = [each for picture in images for each in each_of(picture)]
        if not pictures:
            raise ValueError(f"an item must have at least one picture, got none for {item}")
        if boxes is not None and len(boxes) != len(pictures):
            raise ValueError(
                f"boxes must be one a picture, got {len(boxes)} for {len(pictures)} pictures"
            )
        views = [
            view_of(item, picture, None if boxes is None else boxes[index])
            for index, picture in enumerate(pictures)
        ]
        if self._finder is None:
            self.start_gallery()
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
        found = self.finder.find(pixels_of(image))
        return above_threshold(found, self.items, self.thresholds, score_threshold)

    def predict(
        self,
        images: Picture | Iterable[Picture],
        tasks: Sequence[str] | None = None,
        *,
        score_threshold: float | None = None,
        batch_size: int = 8,
    ) -> list[Prediction]:
        """What every head says of each picture; heads that frame pictures alike share one pass.

        A localization head that also sees tiles has passes of its own.

        No head's answer depends on which others are there or are asked.

        Args:
            images: paths, (H, W, 3) uint8 RGB arrays, or frames of videos; a single one is a list
                of one. For trained heads a JPEG file is decoded no larger than they need, which is
                quicker, and gives slightly other scores than an array of all its pixels.
            tasks: which heads are asked, of `tasks`; None asks all.
            score_threshold: 0..1, one for all items and classes; None takes each one's own.
            batch_size: pictures that are held and seen at once.

        Raises:
            FileNotFoundError: a picture is not there.
            ValueError: a head is not there, or a picture can't be read.
        """
        if isinstance(images, (str, Path, np.ndarray, Frame)):
            images = [images]
        asked = chosen_tasks(tasks, self.tasks)
        predictions: list[Prediction] = []
        for batch in batches(images, batch_size):
            predictions += self._predict(batch, asked, score_threshold)
        return predictions

    def video(
        self,
        source: str | Path,
        tasks: Sequence[str] | None = None,
        *,
        sampling: Sampling = EVERY_FRAME,
        start: float | None = None,
        end: float | None = None,
        score_threshold: float | None = None,
        batch_size: int | None = None,
    ) -> Iterator[FramePrediction]:
        """What every head says of each frame of a video, as it goes, with constant memory.

        The next frames are decoded while the network sees these. What can be read of a damaged
        video is used; what is lost is a warning.

        Args:
            source: path, address of a stream, or pattern of numbered pictures (`%04d.png`).
            tasks: as of `predict`.
            sampling: which frames, of visionkit.inference.video.sampling.
            start: seconds; frames from there on. None begins at the video's start.
            end: seconds; frames before that. None goes to the video's end.
            score_threshold: as of `predict`.
            batch_size: frames seen at once; None chooses.

        Raises:
            FileNotFoundError: there is no such video.
            ValueError: a head is not there, or nothing of the video can be read.
        """
        reading = Reading(sampling, start, end)
        return predict_video(
            self, source, reading, tasks, score_threshold=score_threshold, batch_size=batch_size
        )

    def _predict(
        self, batch: Sequence[Picture], asked: Collection[str], score_threshold: float | None
    ) -> list[Prediction]:
        """The answers of the heads in `asked` on a few pictures."""
        pictures = [checked(each) if isinstance(each, np.ndarray) else each for each in batch]
        classes = self.classification if "classification" in asked else None
        objects = self.localization if "localization" in asked else None
        tiled = objects if objects is not None and objects.tiles is not None else None
        sharing = [part for part in (classes, objects) if part is not None and part is not tiled]
        tasks: dict[Framing, list[str]] = {}
        for part in sharing:
            tasks.setdefault(part.framing, []).append(part.task)
        seen = {
            framing: see(self.network, pictures, framing, asked_here)
            for framing, asked_here in tasks.items()
        }
        predictions = [Prediction()] * len(pictures)
        for part in sharing:
            predictions = part.answer(seen[part.framing], predictions, score_threshold)
        if tiled is not None:
            images = [pixels_of(picture) for picture in pictures]
            predictions = tiled.answer_in_tiles(self.network, images, predictions, score_threshold)
        if "exemplar" in asked:
            predictions = [
                replace(into, exemplar=self.find(picture, score_threshold=score_threshold))
                for picture, into in zip(pictures, predictions, strict=True)
            ]
        return predictions
