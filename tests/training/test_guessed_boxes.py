"""Boxes that a localization head is sure of in pictures that nobody has labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision as sv
import torch

from tests.training.boxes import (
    FRAMING,
    NAMES,
    Trained,
    equal,
    new_network,
    samples_in,
    stopped_at,
    train,
)
from visionkit.flywheel.boxes import overlap
from visionkit.heads.localization import DenseOutputs, LocalizationHead
from visionkit.training import localization_course
from visionkit.training.boxed import (
    OPEN,
    FramedPictures,
    ShownPicture,
    TrainingPictures,
    Turn,
    join,
)
from visionkit.training.debugger import DebuggerSettings
from visionkit.training.guessed_boxes import GuessedBoxes, guess_boxes
from visionkit.training.localization import fit_localization
from visionkit.training.localization_course import LocalizationCourse, LocalizationFit
from visionkit.training.localization_module import Localizer, box_losses
from visionkit.training.localization_settings import LocalizationSettings
from visionkit.types import ObjectBox, Sample

LONG = LocalizationSettings(
    max_epochs=12,
    batch_size=2,
    learning_rate=3e-3,
    average=0.98,
    sure=0.35,
    validations=2,
    debugger=DebuggerSettings(enabled=False),
    accelerator="cpu",
    progress=False,
)
Pictures = tuple[list[Sample], list[Sample], list[Sample]]


def blank(samples: Sequence[Sample]) -> list[Sample]:
    return [replace(sample, objects=()) for sample in samples]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """To learn from, to choose on, and others, of which nobody but this test knows the boxes."""
    folder = tmp_path_factory.mktemp("pictures")
    return samples_in(folder, 16), samples_in(folder, 3, seed=1), samples_in(folder, 12, seed=2)


@pytest.fixture(scope="module")
def without(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What the labelled pictures alone teach; not to be changed."""
    return train(tmp_path_factory.mktemp("without"), *pictures[:2], LONG)


@pytest.fixture(scope="module")
def guessed(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    """A training with the others, and its folder; not to be changed."""
    folder = tmp_path_factory.mktemp("guessed")
    gone = replace(pictures[2][0], id="gone", uri=f"{pictures[2][0].uri}.gone")
    return folder, train(folder, *pictures[:2], LONG, [gone, *blank(pictures[2])])


# What it is sure of.


class Scripted(LocalizationHead):
    """Finds the same in every picture."""

    def decode(
        self, outputs: DenseOutputs, context: Sequence[tuple[int, int]], *, least: float = 0.0
    ) -> list[sv.Detections]:
        found = sv.Detections(
            xyxy=np.array([[10, 10, 30, 30], [40, 8, 60, 20], [0, 0, 8, 8], [1, 1, 9, 9]], float),
            confidence=np.array([0.8, 0.5, 0.49, 0.1]),
            class_id=np.array([1, 0, 0, 1]),
        )
        return [found for _ in context]


def scripted() -> Localizer:
    backbone = new_network()[0]
    return Localizer(backbone, Scripted(backbone.channels, 2, width=16, depth=1))


def test_what_it_is_sure_of_is_taken_and_what_it_half_sees_left_open(tmp_path: Path) -> None:
    samples = samples_in(tmp_path, 2)
    samples.insert(1, replace(samples[0], id="gone", uri=f"{tmp_path}/gone.png"))
    seen: list[int] = []
    found = guess_boxes(
        scripted(), FramedPictures(samples, NAMES, FRAMING), NAMES,
        sure=0.5, doubt=0.2, batch_size=2, progress=seen.append,
    )  # fmt: skip
    # The frame is half as large as the picture.
    sure = (("square", (20, 20, 60, 60)), ("disc", (80, 16, 120, 40)))
    assert [sample.id for sample in found.samples] == [samples[0].id, samples[2].id]
    for sample, lesson in zip(found.samples, found.lessons, strict=True):
        assert tuple((each.label, each.box) for each in sample.objects) == sure
        assert {each.source for each in sample.objects} == {"model"}
        assert sample.labels == ()
        assert lesson.objects[:2] == sample.objects
        assert [(each.label, each.box) for each in lesson.objects[2:]] == [(OPEN, (0, 0, 16, 16))]
    assert found.scores == ((0.8, 0.5), (0.8, 0.5))
    assert found.boxes == 4
    assert [problem.file for problem in found.problems] == [samples[1].uri]
    assert sum(seen) == 3


def test_pictures_in_which_it_is_sure_of_nothing_are_left_out(tmp_path: Path) -> None:
    framed = FramedPictures(samples_in(tmp_path, 2), NAMES, FRAMING)
    found = guess_boxes(scripted(), framed, NAMES, sure=0.9, doubt=0.2, batch_size=2)
    assert (found.samples, found.lessons, found.boxes) == ((), [], 0)


# What it learns from that.


def test_what_it_is_sure_of_is_there_far_more_often_than_by_chance(
    guessed: tuple[Path, Trained], pictures: Pictures
) -> None:
    guesses = guessed[1][2].guesses
    truth = {sample.uri: sample.objects for sample in pictures[2]}
    right = [
        any(each.label == one.label and overlap(each.box, one.box) > 0.5 for one in truth[uri])
        for uri, objects in ((sample.uri, sample.objects) for sample in guesses.samples)
        for each in objects
    ]
    assert len(right) >= 5
    assert np.mean(right) > 0.3
    assert [problem.file for problem in guesses.problems] == [f"{pictures[2][0].uri}.gone"]
    assert set(guesses.problems) <= set(guessed[1][2].problems)


def test_it_goes_on_for_half_as_long(guessed: tuple[Path, Trained], without: Trained) -> None:
    fitted, alone = guessed[1][2], without[2]
    assert fitted.ap_without == alone.best_ap
    assert fitted.best_ap == max(fitted.ap_with, fitted.ap_without)
    assert 1.4 * alone.steps < fitted.steps < 1.6 * alone.steps
    assert (fitted.given, fitted.lost) == (alone.given, alone.lost)


def guessing(samples: Sequence[Sample]) -> Callable[..., GuessedBoxes]:
    """Stands for a head that is sure of all boxes of these pictures."""
    scores = tuple((0.9,) * len(sample.objects) for sample in samples)
    return lambda *_, **__: GuessedBoxes(tuple(samples), scores, ((),) * len(samples))


def wrong(model: Localizer, framed: FramedPictures, *_: object, **__: object) -> GuessedBoxes:
    """All there is in the upper left corner, and called a disc."""
    objects = (ObjectBox("disc", (0, 0, 40, 40), "model"),)
    return guessing([replace(sample, objects=objects) for sample in framed.samples])()


def test_guesses_by_which_more_is_found_are_taken(
    without: Trained, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = [sample for sample in pictures[2] if sample.objects]
    monkeypatch.setattr(localization_course, "guess_boxes", guessing(right))
    trained = train(tmp_path, *pictures[:2], LONG, blank(pictures[2]))
    fitted, alone = trained[2], without[2]
    assert fitted.took_guesses
    assert fitted.best_ap == fitted.ap_with > fitted.ap_without
    assert alone.epochs < fitted.best_epoch <= fitted.epochs == len(fitted.curve)
    assert fitted.curve[: alone.epochs] == alone.curve
    kept = trained[1].state_dict()
    assert any(
        not torch.equal(kept[name], value) for name, value in without[1].state_dict().items()
    )


def test_a_training_that_has_ended_is_not_trained_again(
    guessed: tuple[Path, Trained], pictures: Pictures
) -> None:
    again = train(guessed[0], *pictures[:2], LONG, blank(pictures[2]))
    equal(again, guessed[1])
    assert again[2].seconds == ()
    assert again[2].curve == guessed[1][2].curve


def test_one_that_was_stopped_as_it_learned_from_guesses_goes_on(
    guessed: tuple[Path, Trained],
    pictures: Pictures,
    tmp_path: Path,
) -> None:
    passes = LONG.max_epochs + 2  # type: ignore[operator]
    with stopped_at(passes):
        train(tmp_path, *pictures[:2], LONG, blank(pictures[2]))
    again = train(tmp_path, *pictures[:2], LONG, blank(pictures[2]))
    equal(again, guessed[1])
    assert again[2].curve == guessed[1][2].curve
    assert len(again[2].seconds) == again[2].epochs - passes + 1


def test_what_it_unlearns_as_it_goes_on_is_not_kept(
    without: Trained, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = LocalizationCourse.longer

    def reckless(*arguments: Any) -> LocalizationSettings:
        return replace(longer(*arguments), learning_rate=0.3, warm_up=0.0)

    monkeypatch.setattr(localization_course, "guess_boxes", wrong)
    monkeypatch.setattr(LocalizationCourse, "longer", reckless)
    trained = train(tmp_path, *pictures[:2], LONG, blank(pictures[2]))
    fitted, alone = trained[2], without[2]
    assert alone.best_ap > 0.3
    assert not fitted.took_guesses
    assert (fitted.best_ap, fitted.best_epoch) == (alone.best_ap, alone.best_epoch)
    equal(trained, without)


@pytest.mark.parametrize("shown", ["nothing", "no box", "another class"])
def test_where_nothing_can_judge_nothing_is_guessed(
    pictures: Pictures, tmp_path: Path, shown: str
) -> None:
    other = ObjectBox("triangle", (0, 0, 40, 40))
    val = {
        "nothing": [],
        "no box": blank(pictures[1]),
        "another class": [replace(sample, objects=(other,)) for sample in pictures[1]],
    }[shown]
    settings = replace(LONG, max_epochs=2, sure=0.01)
    alone = train(tmp_path / "alone", pictures[0], val, settings)
    trained = train(tmp_path / "all", pictures[0], val, settings, blank(pictures[2]))
    equal(trained, alone)
    assert trained[2].steps == alone[2].steps
    assert trained[2].guesses.samples == ()
    assert not trained[2].took_guesses


def test_one_labelled_picture_is_enough_to_begin(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localization_course, "guess_boxes", wrong)
    settings = replace(LONG, max_epochs=3, batch_size=4)
    fitted = train(tmp_path, pictures[0][:1], pictures[1], settings, blank(pictures[2]))[2]
    assert fitted.steps == 5  # three of one picture, two of it and one more


def test_where_it_is_sure_of_nothing_nothing_changes(
    without: Trained, pictures: Pictures, tmp_path: Path
) -> None:
    settings = replace(LONG, sure=1.0)
    trained = train(tmp_path, *pictures[:2], settings, blank(pictures[2]))
    equal(trained, without)
    assert trained[2].steps == without[2].steps
    assert trained[2].guesses.samples == ()
    assert not trained[2].took_guesses


def test_no_epochs_guess_nothing(pictures: Pictures, tmp_path: Path) -> None:
    fitted = train(tmp_path, *pictures[:2], replace(LONG, max_epochs=0), blank(pictures[2]))[2]
    assert (fitted.steps, fitted.guesses.samples) == (0, ())


def test_the_clock_is_for_both_and_it_goes_on_from_where_it_stood(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes: list[float | None] = []
    states: list[dict[str, torch.Tensor]] = []  # before and after each part
    run = LocalizationCourse.run

    def recorded(
        self: LocalizationCourse, folder: Path, settings: LocalizationSettings
    ) -> tuple[LocalizationFit, torch.device]:
        minutes.append(settings.minutes)
        states.append({name: value.clone() for name, value in self.model.state_dict().items()})
        done = run(self, folder, settings)
        states.append({name: value.clone() for name, value in self.model.state_dict().items()})
        return done

    monkeypatch.setattr(localization_course, "guess_boxes", wrong)
    monkeypatch.setattr(LocalizationCourse, "run", recorded)
    settings = replace(LONG, max_epochs=1, minutes=6.0)
    train(tmp_path, *pictures[:2], settings, blank(pictures[2]))
    assert minutes == pytest.approx([4.0, 2.0])
    start, left, again, end = states
    assert all(torch.equal(value, again[name]) for name, value in left.items())
    for before, after in ((start, left), (again, end)):
        assert not all(torch.equal(value, after[name]) for name, value in before.items())


def test_of_guessed_boxes_it_learns_what_is_there_and_not_where(pictures: Pictures) -> None:
    model = Localizer(*new_network()).eval()
    framed = FramedPictures(pictures[0][:2], NAMES, FRAMING)
    rng = np.random.default_rng(0)
    drawn, guessed = (
        box_losses(
            model,
            join([TrainingPictures(framed, None, further=further)[Turn(0, 1)]]),
            (1.0, 1.0),
            rng,
        )
        for further in (0, 1)
    )
    assert drawn["boxes"] > 0
    assert guessed["boxes"] == 0
    for name in ("quality", "classes"):
        torch.testing.assert_close(guessed[name], drawn[name])


def test_where_something_may_be_a_training_step_judges_nothing(pictures: Pictures) -> None:
    """A network that claims something everywhere, and a doubtful box all over the picture."""
    model = Localizer(*new_network()).eval()
    for name, value in model.head.named_parameters():
        if name in ("box_branch.quality.bias", "class_branch.logits.bias"):
            torch.nn.init.constant_(value, 2.0)
    sample = pictures[0][0]
    whole = replace(sample, objects=(*sample.objects, ObjectBox(OPEN, (0, 0, 192, 128))))
    rng = np.random.default_rng(0)
    losses = []
    for one in (sample, whole):
        shown = TrainingPictures(FramedPictures([one], NAMES, FRAMING), None)[Turn(0, 0)]
        losses.append(box_losses(model, join([shown]), (1.0, 1.0), rng))
    plain, doubtful = losses
    torch.testing.assert_close(doubtful["boxes"], plain["boxes"])
    assert 0 < doubtful["quality"] < 0.2 * plain["quality"]
    assert 0 < doubtful["classes"] < 0.2 * plain["classes"]


def test_mosaics_of_guessed_pictures_are_of_guessed_ones_alone(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    framed = FramedPictures([*pictures[0][:4], *pictures[2]], NAMES, FRAMING)
    asked: list[int] = []
    read = FramedPictures.__getitem__
    monkeypatch.setattr(
        FramedPictures,
        "__getitem__",
        lambda self, index: asked.append(index) or read(self, index),  # type: ignore[func-returns-value]
    )
    shown = TrainingPictures(framed, None, mosaic=1.0, further=12)
    for epoch in range(5):
        for index in (0, 9):
            asked.clear()
            assert len(shown[Turn(epoch, index)].labels) >= 1
            assert len(asked) == 4
            assert {number < 4 for number in asked} == {index < 4}


def test_a_picture_that_is_gone_is_replaced_by_one_of_its_kind(pictures: Pictures) -> None:
    samples = [*pictures[0][:3], *pictures[2][:3]]
    for index in (2, 5):  # the last of either kind
        samples[index] = replace(samples[index], uri=f"{samples[index].uri}.gone")
    framed = FramedPictures(samples, NAMES, FRAMING)
    shown = TrainingPictures(framed, None, further=3)
    for index, instead in ((2, 0), (5, 3)):
        picture = shown[Turn(0, index)]
        np.testing.assert_array_equal(picture.boxes, framed[instead].boxes)
        assert picture.guessed == (index > 2)
        assert [problem.file for problem in picture.problems] == [samples[index].uri]


def test_drawn_pictures_are_shown_otherwise_than_before(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views: list[tuple[int, bytes]] = []
    whole = TrainingPictures.__getitem__

    def recorded(self: TrainingPictures, turn: Turn) -> ShownPicture:
        picture = whole(self, turn)
        if not picture.guessed:
            views.append((turn.index, picture.image.tobytes()))
        return picture

    monkeypatch.setattr(localization_course, "guess_boxes", wrong)
    monkeypatch.setattr(TrainingPictures, "__getitem__", recorded)
    train(tmp_path, *pictures[:2], replace(LONG, max_epochs=2), blank(pictures[2]))
    first, again = set(views[:32]), views[32:]  # two epochs of sixteen, and one more
    assert len(again) == 16
    # Some are shown as they are, by chance.
    assert sum(view in first for view in again) < 8


def test_a_run_that_goes_on_learns_what_it_had_guessed(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[GuessedBoxes] = []
    settings = replace(LONG, max_epochs=2)
    monkeypatch.setattr(localization_course, "guess_boxes", wrong)
    for unlabelled in (pictures[2], pictures[2][1:], []):
        backbone, head = new_network()
        fit_localization(
            backbone, head, *pictures[:2], NAMES, FRAMING, tmp_path, settings,
            unlabelled=blank(unlabelled), guessed=told.append,
        )  # fmt: skip
        monkeypatch.undo()
    first, second = told  # without pictures there is nothing to tell
    assert second.samples == first.samples[1:]
    assert (second.scores, second.doubtful) == (first.scores[1:], first.doubtful[1:])
