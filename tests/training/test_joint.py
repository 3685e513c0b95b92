from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training import boxes, pictures
from visionkit.data.framing import Framing
from visionkit.data.views import ViewSettings
from visionkit.heads.classification import ClassificationHead
from visionkit.heads.localization import BoxTargets, LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.training.boxed import FramedPictures, TrainingPictures, Turn, Turns, join
from visionkit.training.classed import ClassedViews, classed
from visionkit.training.classification import ClassificationSettings, fit_classification
from visionkit.training.classification_module import Classifier
from visionkit.training.finetune_settings import FinetuneSettings
from visionkit.training.finetuned import fit_finetuned, outputs_of, plain_frames
from visionkit.training.frozen import FrozenSettings
from visionkit.training.joint import JointFit, Lesson, fit_joint
from visionkit.training.joint_module import JointNetwork, JointTraining
from visionkit.training.joint_settings import JointSettings
from visionkit.training.localization import fit_localization
from visionkit.training.localization_module import Localizer
from visionkit.training.localization_settings import LocalizationSettings
from visionkit.types import Sample

CROP, LETTERBOX = Framing((32, 32), "crop"), Framing(boxes.SIZE, "letterbox")
NAMING = FinetuneSettings(
    max_epochs=3,
    batch_size=8,
    learning_rate=5e-3,
    backbone_rate=0.5,
    average=0.5,
    warm_up=0.0,
    layer_decay=0.8,
    gradient_clip=0.0,
    fixed_norms=True,
    views=ViewSettings(area=(0.8, 1.0), light=0.1, colour=0.0),
    accelerator="cpu",
    progress=False,
)
LOCATING = LocalizationSettings(
    max_epochs=3,
    batch_size=2,
    validations=3,
    average=0.5,
    warm_up=0.0,
    gradient_clip=0.0,
    mosaic=0.3,
    accelerator="cpu",
    progress=False,
)
QUICK = JointSettings(
    classification=ClassificationSettings(
        views=1, frozen=FrozenSettings(shrinkages=(1.0,), penalties=()), finetune=NAMING
    ),
    localization=LOCATING,
    max_epochs=3,
    validations=3,
    average=0.5,
    warm_up=0.0,
    gradient_clip=0.0,
    accelerator="cpu",
    progress=False,
)


@dataclass(frozen=True)
class Data:
    """Pictures of both kinds."""

    classes: list[Sample]
    class_val: list[Sample]
    boxes: list[Sample]
    box_val: list[Sample]


@dataclass(frozen=True)
class Trained:
    """What a training left."""

    backbone: Backbone
    classification: ClassificationHead
    localization: LocalizationHead
    fit: JointFit

    @property
    def state(self) -> dict[str, torch.Tensor]:
        parts = (self.backbone, self.classification, self.localization)
        states = enumerate(part.state_dict() for part in parts)
        return {f"{n}.{key}": value for n, state in states for key, value in state.items()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("pictures")
    return Data(
        pictures.samples(folder / "train", 32),
        pictures.samples(folder / "val", 24, start=500),
        boxes.samples_in(folder, 6),
        boxes.samples_in(folder, 3, seed=1),
    )


def new_heads() -> tuple[Backbone, ClassificationHead, LocalizationHead]:
    backbone, localization = boxes.new_network()
    return backbone, ClassificationHead(backbone.pooled_channels, 2), localization


def train(
    folder: Path,
    data: Data,
    settings: JointSettings = QUICK,
    *,
    tasks: tuple[str, ...] = ("classification", "localization"),
) -> Trained:
    backbone, naming, locating = new_heads()
    classes = Lesson(naming, data.classes, data.class_val, pictures.NAMES, CROP)
    objects = Lesson(locating, data.boxes, data.box_val, boxes.NAMES, LETTERBOX)
    fit = fit_joint(
        backbone,
        classes if "classification" in tasks else None,
        objects if "localization" in tasks else None,
        folder,
        settings,
    )
    return Trained(backbone, naming, locating, fit)


def without_val(data: Data) -> Data:
    return replace(data, class_val=[], box_val=[])


def curve(fit: Any, name: str) -> list[float]:
    return [epoch[name] for epoch in fit.curve]


@torch.no_grad()
def plain_losses(trained: tuple[Any, ...], data: Data) -> tuple[float, float]:
    """Of both heads, on the pictures as they are: they don't differ by chance."""
    backbone, naming, locating = trained
    views = ClassedViews(classed(data.classes, pictures.NAMES, multi_label=False), CROP)
    shown = TrainingPictures(FramedPictures(data.boxes, boxes.NAMES, LETTERBOX), None)
    faces = views.collate([views[number] for number in range(len(views))])
    things = join([shown[Turn(0, number)] for number in range(len(shown))])
    outputs = Classifier(backbone, naming).eval()(faces.images)
    found = Localizer(backbone, locating).eval()(things.images)
    targets = BoxTargets(list(things.boxes), list(things.labels))
    losses = locating.loss(found, targets)
    return float(naming.loss(outputs, faces.targets)["class"]), float(sum(losses.values()))


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.fixture(scope="module")
def whole(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A whole training; not to be changed."""
    return train(tmp_path_factory.mktemp("whole"), data)


# What is refused.


def test_no_head(tmp_path: Path, data: Data) -> None:
    with pytest.raises(ValueError, match="must be a classification or localization head"):
        train(tmp_path, data, tasks=())


@pytest.mark.parametrize("part", ["classes", "boxes"])
def test_a_head_without_pictures(tmp_path: Path, data: Data, part: str) -> None:
    with pytest.raises(ValueError, match=r"at least one picture, got none"):
        train(tmp_path, replace(data, **{part: []}))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"average": 1.5}, "average"),
        ({"layer_decay": -0.1}, "layer_decay"),
        ({"max_epochs": None}, "minutes or max_epochs"),
        ({"minutes": 0.0}, "minutes"),
        ({"validations": 0}, "validations"),
        ({"freeze": "some"}, "freeze"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(QUICK, **wrong)  # type: ignore[arg-type]


def test_a_loss_that_is_not_finite(tmp_path: Path, data: Data) -> None:
    settings = replace(QUICK, localization=replace(LOCATING, learning_rate=1e30))
    with pytest.raises(RuntimeError, match=r"loss must be finite.*learning_rate"):
        train(tmp_path, data, settings)


# What training does.


def test_the_losses_of_one_batch_fall(data: Data) -> None:
    backbone, naming, locating = new_heads()
    views = ClassedViews(classed(data.classes, pictures.NAMES, multi_label=False), CROP)
    shown = TrainingPictures(FramedPictures(data.boxes, boxes.NAMES, LETTERBOX), None)
    batch = {
        "classification": views.collate([views[number] for number in range(8)]),
        "localization": join([shown[Turn(0, number)] for number in range(4)]),
    }
    locates = replace(LOCATING, scales=(1.0, 1.0), learning_rate=3e-3)
    settings = replace(QUICK, localization=locates)
    network = JointNetwork(backbone, {"classification": naming, "localization": locating})
    module = JointTraining(network, settings, Turns(4, 0))
    told: list[dict[str, float]] = []
    module.log = lambda *_, **__: None  # type: ignore[assignment, method-assign]
    module.log_dict = lambda values, **__: told.append(  # type: ignore[assignment, method-assign]
        {name: float(value) for name, value in values.items()}
    )
    optimizer = module.configure_optimizers()
    module.train()
    for _ in range(60):
        loss = module.training_step(batch, 0)
        assert loss is not None
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for task in batch:
        losses = [each[f"train/{task}"] for each in told]
        assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_a_whole_training(whole: Trained) -> None:
    fit = whole.fit
    assert fit.epochs == len(fit.curve) == len(fit.seconds) == 3
    assert fit.steps == 12  # 32 pictures, 8 a step: more batches than 6 by 2
    for epoch in fit.curve:
        assert epoch["train/loss_epoch"] == pytest.approx(
            epoch["train/classification"] + epoch["train/localization"], rel=1e-5
        )
    assert set(fit.start) == set(fit.best) == {"val/accuracy", "val/ap", "val/ap50"}
    assert fit.classification is not None
    assert set(fit.given) == set(fit.lost) == set(boxes.NAMES)
    assert sum(fit.given.values()) > 0
    assert not whole.backbone.training
    assert not whole.localization.training
    if fit.best_epoch:
        told = fit.curve[fit.best_epoch - 1]
        assert fit.best == {name: pytest.approx(told[name]) for name in fit.best}


def test_what_is_kept_has_the_figures_that_are_told(whole: Trained, data: Data) -> None:
    frames = plain_frames(classed(data.class_val, pictures.NAMES, multi_label=False), CROP)
    outputs, targets = outputs_of(Classifier(whole.backbone, whole.classification), frames)
    right = (outputs.argmax(1) == targets).float().mean()
    assert float(right) == pytest.approx(whole.fit.best["val/accuracy"])
    assert float(whole.classification.temperature) != 1


def test_the_same_seed_gives_the_same_numbers(whole: Trained, data: Data, tmp_path: Path) -> None:
    torch.rand(3)
    np.random.default_rng().random(7)
    same = train(tmp_path / "same", data)
    equal(same.state, whole.state)
    assert same.fit.curve == whole.fit.curve
    other = train(tmp_path / "other", data, replace(QUICK, seed=1))
    assert curve(other.fit, "train/loss_epoch") != curve(whole.fit, "train/loss_epoch")


def test_a_stopped_run_goes_on_as_if_nothing_had_been(
    whole: Trained, data: Data, tmp_path: Path
) -> None:
    with boxes.stopped_at(4):  # the second one of the second epoch
        train(tmp_path, data)
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    resumed = train(tmp_path, data)
    equal(resumed.state, whole.state)
    assert resumed.fit.curve == whole.fit.curve
    assert (resumed.fit.start, resumed.fit.best) == (whole.fit.start, whole.fit.best)
    assert resumed.fit.given == whole.fit.given
    assert len(resumed.fit.seconds) == 2


def test_the_shorter_set_begins_anew_in_another_order(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Turn] = []
    given = TrainingPictures.__getitem__
    monkeypatch.setattr(
        TrainingPictures,
        "__getitem__",
        lambda self, turn: shown.append(turn) or given(self, turn),  # type: ignore[func-returns-value]
    )
    train(tmp_path, without_val(data), replace(QUICK, max_epochs=2))
    # 4 steps an epoch of 2 pictures each: one pass over the 6, and the first 2 of another.
    assert [turn.epoch for turn in shown] == [0] * 6 + [1] * 2 + [2] * 6 + [3] * 2
    assert {turn.index for turn in shown[:6]} == set(range(6))
    assert [turn.index for turn in shown[:6]] != [turn.index for turn in shown[8:14]]


def test_no_epochs_leave_the_backbone(tmp_path: Path, data: Data) -> None:
    trained = train(tmp_path, data, replace(QUICK, max_epochs=0))
    assert trained.backbone.weights_id == new_heads()[0].weights_id
    assert (trained.fit.epochs, trained.fit.best, trained.fit.curve) == (0, {}, ())


def test_training_ends_when_the_time_is_over(tmp_path: Path, data: Data) -> None:
    settings = replace(QUICK, max_epochs=None, minutes=1 / 60)
    fit = train(tmp_path, without_val(data), settings).fit
    assert fit.epochs >= 1
    assert fit.best_epoch == fit.epochs
    assert fit.best == {}


@pytest.mark.parametrize("what", ["none", "early", "all"])
def test_what_is_frozen_stays_bit_by_bit_and_both_heads_learn(
    tmp_path: Path, data: Data, what: str
) -> None:
    settings = replace(QUICK, freeze=what)  # type: ignore[arg-type]
    trained = train(tmp_path, without_val(data), settings)
    before = new_heads()[0].network.state_dict()
    after = trained.backbone.network.state_dict()
    same = [torch.equal(before[name], after[name]) for name in before]
    assert all(same) == (what == "all")
    parameters = dict(new_heads()[0].network.named_parameters())
    assert any(torch.equal(parameters[name], after[name]) for name in parameters) == (
        what != "none"
    )
    untrained = plain_losses(new_heads(), data)
    learned = plain_losses((trained.backbone, trained.classification, trained.localization), data)
    assert learned[0] < untrained[0]
    assert learned[1] < untrained[1]


def test_pictures_that_are_gone_are_reported(tmp_path: Path, data: Data) -> None:
    gone = [replace(data.classes[0], uri="gone_a.png"), replace(data.boxes[0], uri="gone_b.png")]
    less = replace(data, classes=[gone[0], *data.classes[1:]], boxes=[gone[1], *data.boxes[1:]])
    fit = train(tmp_path, less, replace(QUICK, max_epochs=1)).fit
    errors = {
        task: {problem.file for problem in found if problem.level == "error"}
        for task, found in fit.problems.items()
    }
    assert errors == {"classification": {"gone_a.png"}, "localization": {"gone_b.png"}}


# A head by itself.


def test_classification_alone_is_its_own_training(tmp_path: Path, data: Data) -> None:
    joint = train(tmp_path / "joint", without_val(data), tasks=("classification",))
    backbone, head, _ = new_heads()
    began = fit_classification(
        backbone, head, data.classes, [], pictures.NAMES, CROP, tmp_path / "start", QUICK.start
    )
    alone = fit_finetuned(
        backbone, head, began.learned, began.learned.part([]), CROP, tmp_path / "alone", NAMING
    )
    torch.testing.assert_close(joint.classification.weight, head.weight, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        curve(joint.fit, "train/classification"), curve(alone, "train/loss_epoch")
    )


def test_localization_alone_is_its_own_training(tmp_path: Path, data: Data) -> None:
    joint = train(tmp_path / "joint", without_val(data), tasks=("localization",))
    backbone, _, head = new_heads()
    alone = fit_localization(
        backbone, head, data.boxes, [], boxes.NAMES, LETTERBOX, tmp_path / "alone", LOCATING
    )
    torch.testing.assert_close(
        joint.localization.state_dict(), head.state_dict(), rtol=1e-4, atol=1e-6
    )
    assert curve(joint.fit, "train/loss_epoch") == pytest.approx(curve(alone, "train/loss_epoch"))
    assert joint.fit.given == alone.given


def test_on_a_frozen_backbone_no_head_disturbs_the_other(tmp_path: Path, data: Data) -> None:
    few = replace(without_val(data), classes=data.classes[:8])  # one batch: boxes set the length
    frozen = replace(QUICK, freeze="all")
    both = train(tmp_path / "both", few, frozen)
    alone = train(tmp_path / "alone", few, frozen, tasks=("localization",))
    # How much a loss counts hardly moves a head: Adam's steps don't depend on the scale.
    assert curve(both.fit, "train/localization") == pytest.approx(
        curve(alone.fit, "train/localization"), rel=0.02
    )
