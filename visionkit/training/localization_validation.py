"""How well a localization head finds the boxes of pictures that nobody learns from."""

from __future__ import annotations

from collections.abc import Iterator

import supervision as sv
import torch

from visionkit.data.images import ImageError
from visionkit.data.problems import Problem
from visionkit.evaluation.metrics import Truth, evaluate_boxes
from visionkit.training.boxed import BoxBatch, FramedPicture, FramedPictures, ShownPicture, join
from visionkit.training.localization_module import Localizer


class BoxJudge:
    """Measures a localizer on the same pictures whenever it is called.

    Args:
        pictures: to measure on.
        batch_size: pictures at once.
    """

    def __init__(self, pictures: FramedPictures, *, batch_size: int) -> None:
        self._pictures, self._batch_size = pictures, batch_size
        self._problems: dict[str, Problem] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Pictures that could not be read, each once."""
        return tuple(self._problems.values())

    def __call__(self, model: Localizer) -> dict[str, float]:
        """AP over IoU 0.5 to 0.95 as "val/ap", and "val/ap50"; 0 where no picture holds a box.

        Args:
            model: in evaluation mode.
        """
        truths, found = [], []
        for batch in self._batches():
            truths += [
                Truth(boxes.numpy(), labels.numpy())
                for boxes, labels in zip(batch.boxes, batch.labels, strict=True)
            ]
            found += _found(model, batch)
        names = [str(index) for index in range(self._pictures.class_count)]
        measured = evaluate_boxes(truths, found, names, bootstrap_rounds=1)
        if not measured.truths:
            return {"val/ap": 0.0, "val/ap50": 0.0}
        return {"val/ap": measured.ap, "val/ap50": measured.ap50}

    def _batches(self) -> Iterator[BoxBatch]:
        shown: list[ShownPicture] = []
        for index in range(len(self._pictures)):
            try:
                shown.append(_as_it_is(self._pictures[index], self._pictures.class_count))
            except (ImageError, FileNotFoundError) as error:
                uri = self._pictures.samples[index].uri
                self._problems[uri] = Problem(uri, None, f"{error}")
            if len(shown) == self._batch_size:
                yield join(shown)
                shown = []
        if shown:
            yield join(shown)


@torch.no_grad()
def _found(model: Localizer, batch: BoxBatch) -> list[sv.Detections]:
    device = next(model.parameters()).device
    return model.head.decode(model(batch.images.to(device)), batch.inner)


def _as_it_is(picture: FramedPicture, class_count: int) -> ShownPicture:
    zeros = torch.zeros(class_count, dtype=torch.int64).numpy()
    inner = picture.placement.inner
    return ShownPicture(picture.image, picture.boxes, picture.labels, inner, zeros, zeros)
