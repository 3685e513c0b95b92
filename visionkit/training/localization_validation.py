"""How well a localization head finds the boxes of pictures that nobody learns from."""

from __future__ import annotations

from visionkit.data.problems import Problem
from visionkit.evaluation.metrics import Truth, evaluate_boxes
from visionkit.training.boxed import FramedPictures
from visionkit.training.localization_module import Localizer
from visionkit.training.locating import located


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
        for each in located(
            model, self._pictures, batch_size=self._batch_size, report=self._report
        ):
            truths.append(Truth(each.picture.boxes, each.picture.labels))
            found.append(each.found)
        names = [str(index) for index in range(self._pictures.class_count)]
        measured = evaluate_boxes(truths, found, names, bootstrap_rounds=1)
        if not measured.truths:
            return {"val/ap": 0.0, "val/ap50": 0.0}
        return {"val/ap": measured.ap, "val/ap50": measured.ap50}

    def _report(self, problem: Problem) -> None:
        self._problems[problem.file] = problem
