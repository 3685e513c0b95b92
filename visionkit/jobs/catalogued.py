"""Pictures and what a bundle says of them, put into a catalog."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from visionkit.data.images import ImageError, content_hash, read_image
from visionkit.evaluation.summary import counted
from visionkit.flywheel.answers import Proposal
from visionkit.flywheel.catalog import Catalog, Model, Status
from visionkit.inference.embedding import embed
from visionkit.inference.prediction import Prediction, above_threshold
from visionkit.inference.predictor import Predictor
from visionkit.inference.records import prediction_records
from visionkit.jobs.known import KnownPictures
from visionkit.jobs.terminal import say
from visionkit.models.bundle import bundle_hash
from visionkit.types import Image, Sample

Thresholds = Mapping[str, Mapping[str, float]]
"""Task -> item or class -> score 0..1 from which it is taken to be there."""

MODEL_DIGITS = 12
"""So much of a bundle's hash is its name in rows and in catalogs."""
_THUMBNAIL_SIDE = 256
_BATCH = 128
_MARGIN = 0.25
"""So far below its threshold a find is still something to ask about."""
_ALIKE = 0.6
"""Cosine of what two backbones see of a picture from which they count as one: 0.66 to 0.99 is it
for one backbone in another framing, below 0.5 for two backbones."""
_SEEN_AGAIN = 5  # pictures
_DOUBTFUL = 20
"""So many finds below their thresholds are kept of a picture, the surest."""


def model_name(bundle: str | Path) -> str:
    """What a bundle is called in the rows of predictions and in a catalog.

    Raises:
        FileNotFoundError: there is no bundle.
    """
    return bundle_hash(bundle)[:MODEL_DIGITS]


def thresholds_of(predictor: Predictor) -> Thresholds:
    """The thresholds of all heads of a predictor."""
    parts = {
        "classification": predictor.classification,
        "localization": predictor.localization,
    }
    known = {task: part.thresholds for task, part in parts.items() if part is not None}
    return {"exemplar": predictor.thresholds, **known}


def settled(prediction: Prediction, predictor: Predictor, limit: float | None) -> Prediction:
    """What of an answer that was given without thresholds reaches them.

    Args:
        prediction: made with a `score_threshold` of 0.
        predictor: that gave it.
        limit: 0..1, one threshold for all items and classes; None takes each one's own.
    """
    result = prediction
    if prediction.exemplar is not None:
        found = above_threshold(prediction.exemplar, predictor.items, predictor.thresholds, limit)
        result = replace(result, exemplar=found)
    boxes = predictor.localization
    if prediction.localization is not None and boxes is not None:
        names, limits = boxes.class_names, boxes.thresholds
        found = above_threshold(prediction.localization, names, limits, limit)
        result = replace(result, localization=found)
    classes = predictor.classification
    if prediction.classification is not None and classes is not None:
        labels = classes.labels(prediction.classification, limit)
        result = replace(result, labels=labels)
    return result


class CatalogWriter:
    """Adds pictures to a catalog, many at once, with thumbnails, embeddings and proposals.

    A picture that the catalog has, in its file or in a copy, is not added again; what the bundle
    says of it is, and where its file is gone, the copy takes that one's place. A file that shows
    another picture by now is a new one. The bundle joins the catalog's models; the first one is
    the champion.

    Attributes:
        added: how many pictures were new.

    Args:
        catalog: to add to.
        predictor: of the bundle, for embeddings and thresholds.
        bundle: its folder.
        tasks: of the bundle that are asked.
    """

    def __init__(
        self, catalog: Catalog, predictor: Predictor, bundle: str | Path, tasks: Sequence[str]
    ) -> None:
        self._catalog, self._predictor = catalog, predictor
        self._thresholds, self._tasks = thresholds_of(predictor), tuple(tasks)
        self._model = model_name(bundle)
        samples, embedded = catalog.samples(), catalog.embedded()
        self._known = KnownPictures(samples)
        self._replaced: list[str] = []
        self._moved: dict[str, str] = {}
        known = (sample for sample in samples if sample.id in embedded)
        self._embeds = _embeds_alike(catalog, predictor, known)
        if not self._embeds:
            say("The catalog's embeddings are of another backbone; pictures are added without.")
        self._whole = catalog.thumbnailed() & embedded
        self._samples: dict[str, Sample] = {}
        self._thumbnails: dict[str, bytes] = {}
        self._embeddings: dict[str, NDArray[np.float32]] = {}
        self._said: dict[str, list[Proposal]] = {}
        self.added = 0
        _register(catalog, self._model, bundle)

    @property
    def is_full(self) -> bool:
        """Whether enough was taken to be written by `flush`."""
        return len(self._said) >= _BATCH

    def add(
        self,
        uri: str,
        image: Image,
        records: Sequence[Mapping[str, Any]],
        *,
        seconds: float = math.nan,
    ) -> None:
        """Takes a picture and what is said of it.

        Args:
            uri: its file.
            image: (H, W, 3) uint8 RGB.
            records: as of `prediction_records`.
            seconds: from the start of the video; nan for a picture.
        """
        place = Path(uri).absolute().as_posix()
        digest = content_hash(image)
        height, width = image.shape[:2]
        sample = self._known.same(place, digest)
        if self._known.replaced(place, digest) is not None:
            self._replaced.append(place)
        if sample is None:
            sample = Sample(digest, place, width, height, digest)
            self._known.add(sample)
        elif sample.uri != place and self._known.is_lost(sample):
            self._moved[sample.id] = place
            self._known.move(replace(sample, uri=place))
        name = sample.id
        if name not in self._whole:
            self._whole.add(name)
            self._samples[name] = sample
            self._thumbnails[name] = thumbnail_of(image)
            if self._embeds:
                self._embeddings[name] = embed(self._predictor, [image])[0]
        self._said[name] = proposals_of(
            name, records, self._thresholds, self._model, seconds=seconds
        )

    def flush(self) -> None:
        """Writes what was taken: pictures first, then what is said of them."""
        if not self._said:
            return
        self.added += self._catalog.add_samples(
            list(self._samples.values()),
            thumbnails=list(self._thumbnails.values()),
            embeddings=np.stack([*self._embeddings.values()]) if self._embeddings else None,
        )
        self._catalog.move(self._moved)
        self._catalog.add_proposals(
            [proposal for said in self._said.values() for proposal in said],
            asked=[(name, self._model) for name in self._said],
            tasks=self._tasks,
        )
        if self._replaced:
            say(
                f"{counted(len(self._replaced), 'file')} showed another picture when the catalog "
                f"took it, and is taken as a new one: {self._replaced[0]}"
            )
        for taken in (
            self._moved,
            self._replaced,
            self._samples,
            self._thumbnails,
            self._embeddings,
            self._said,
        ):
            taken.clear()


def proposals_of(
    sample_id: str,
    records: Sequence[Mapping[str, Any]],
    thresholds: Thresholds,
    model: str,
    *,
    seconds: float = math.nan,
) -> list[Proposal]:
    """What is said of a picture, and what almost would be: finds somewhat below their thresholds.

    Args:
        sample_id: of the picture.
        records: as of `prediction_records`.
        thresholds: of the bundle; what has none is taken from 0.5 on.
        model: name of the bundle.
        seconds: from the start of the video; nan for a picture.
    """
    classes = [record for record in records if record["task"] == "classification"]
    result = []
    doubtful = 0
    for number, record in enumerate(records):
        label = str(record["item"] if record["task"] == "exemplar" else record["label"])
        score = float(record.get("score") or 0.0)
        threshold = thresholds.get(record["task"], {}).get(label, 0.5)
        if record["task"] == "classification" and not record["assumed"] and score >= threshold:
            threshold = _beaten(score, classes)
        if record.get("box") is not None and score < threshold:
            doubtful += 1
            if score < threshold - _MARGIN or doubtful > _DOUBTFUL:
                continue
        rival, rival_score = _runner_up(record, classes)
        result.append(
            Proposal(
                f"{sample_id}:{model}:{number}",
                sample_id,
                record["task"],
                label,
                score,
                threshold,
                _box(record),
                model,
                rival,
                rival_score,
                _whole_number(record.get("inliers")),
                _whole_number(record.get("track")),
                seconds,
            )
        )
    return result


def records_of(prediction: Prediction, final: Prediction) -> list[dict[str, Any]]:
    """The records of an answer without thresholds, with the classes that reach theirs.

    Args:
        prediction: made with a `score_threshold` of 0.
        final: of it what `settled` gives.
    """
    return prediction_records(replace(prediction, labels=final.labels))


def thumbnail_of(image: Image) -> bytes:
    """JPEG of (H, W, 3) uint8 RGB, at most 256 pixels a side."""
    small = PillowImage.fromarray(image)
    small.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    file = io.BytesIO()
    small.save(file, format="JPEG", quality=85)
    return file.getvalue()


def _embeds_alike(catalog: Catalog, predictor: Predictor, embedded: Iterable[Sample]) -> bool:
    """Whether a bundle's backbone sees pictures as the embeddings of the catalog say.

    Told by some pictures that are seen again: a backbone that has learned since has as many
    channels as before.

    Args:
        catalog: with its embeddings.
        predictor: of the bundle.
        embedded: pictures that have one.
    """
    length = catalog.embedding_length()
    if length is None:
        return True
    if length != predictor.backbone.pooled_channels:
        return False
    there = (sample for sample in embedded if Path(sample.uri).is_file())
    files = {sample.id: sample.uri for sample in islice(there, _SEEN_AGAIN)}
    if not files:
        return True
    likeness = []
    for name, before in zip(*catalog.embeddings(list(files)), strict=True):
        with suppress(ImageError, FileNotFoundError):  # it is listed where it is asked about
            now = embed(predictor, [read_image(files[name])])[0]
            likeness.append(float(now @ before))
    return not likeness or float(np.median(likeness)) >= _ALIKE


def _register(catalog: Catalog, name: str, bundle: str | Path) -> None:
    if name not in {model.name for model in catalog.models()}:
        status: Status = "challenger" if catalog.champion() else "champion"
        catalog.add_model(Model(name, Path(bundle).absolute().as_posix(), status=status))


def _beaten(score: float, classes: Sequence[Mapping[str, Any]]) -> float:
    """What a class had to reach that is not named because another one is surer: its score."""
    more = float(np.nextafter(np.float32(score), np.float32(2)))
    return max(more, *(float(each["score"]) for each in classes))


def _runner_up(
    record: Mapping[str, Any], classes: Sequence[Mapping[str, Any]]
) -> tuple[str, float]:
    """What else it may be: as the find says, or of the classes the surest other one."""
    if record["task"] == "classification":
        others = (each for each in classes if each["label"] != record["label"])
        other = next(others, {})
        return str(other.get("label", "")), float(other.get("score") or 0.0)
    return str(record.get("runner_up") or ""), float(record.get("runner_up_score") or 0.0)


def _box(record: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    if record.get("box") is None:
        return None
    x_min, y_min, x_max, y_max = (float(edge) for edge in record["box"])
    return x_min, y_min, x_max, y_max


def _whole_number(value: float | None) -> int:
    return -1 if value is None else int(value)
