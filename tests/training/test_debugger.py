"""The training debugger: real trainings with one fault each, and trainings without any."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from faults import FAULTS, Stripes, Training, clean, named_classes, pictures, run

from tests.training.pictures import NAMES, samples
from tests.training.test_finetuned import FRAMING, QUICK, new_model
from visionkit import TrainingDebugger
from visionkit.training.classed import Classed, classed
from visionkit.training.debugger import (
    DebuggerSettings,
    Finding,
    TrainingWatch,
    read_findings,
    write_findings,
)
from visionkit.training.debugger.rules import RULES
from visionkit.training.finetuned import fit_finetuned

OFTEN = DebuggerSettings(interval=4)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Learner(L.LightningModule):
    """A module that knows nothing of visionkit, and of no validation."""

    def __init__(self, model: nn.Module, rate: float = 3e-3) -> None:
        super().__init__()
        self.net, self.rate = model, rate

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.net.parameters(), lr=self.rate)


class Foreign(Learner):
    """The same with a validation."""

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val_loss", F.cross_entropy(self.net(batch[0]), batch[1]))


def fitted(
    module: L.LightningModule,
    folder: Path,
    *,
    settings: DebuggerSettings = OFTEN,
    data: tuple[Any, Any] | None = None,
    held_out: tuple[Any, Any] | None = None,
    epochs: int = 3,
    **options: Any,
) -> TrainingDebugger:
    """The debugger after a training by Lightning."""
    debugger = TrainingDebugger(settings, say=lambda _: None)
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[debugger],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
    given = data or pictures(160, 1)
    loader = DataLoader(TensorDataset(*given), batch_size=32, shuffle=True)
    validation = DataLoader(TensorDataset(*(held_out or pictures(64, 2))), batch_size=64)
    trainer.fit(module, loader, validation)
    return debugger


def test_every_rule_has_a_fault() -> None:
    assert set(FAULTS) == {rule.__name__ for rule in RULES} | {"nonfinite"}


@pytest.mark.parametrize("rule", FAULTS)
def test_a_planted_fault_is_found_and_named_first(rule: str) -> None:
    found = run(FAULTS[rule]())
    assert [finding.rule for finding in found][:1] == [rule]
    assert len({finding.rule for finding in found}) == len(found)  # each once
    assert found[0].layer
    assert found[0].why.count(".") >= 2
    assert found[0].override


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_training_gives_no_finding(seed: int) -> None:
    assert run(clean(seed)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda training: replace(training, rate=1e-4),
        lambda training: replace(training, model=Stripes(nn.GELU, norm=False)),
        lambda training: replace(training, rate=0.05, momentum=0.9),
        lambda training: _frozen_backbone(training),
        lambda training: replace(training, settings=DebuggerSettings(interval=1), epochs=3),
    ],
    ids=["slow", "gelu", "sgd", "frozen", "every_step"],
)
def test_other_clean_trainings_give_none_either(change: Any) -> None:
    assert run(change(clean())) == []


def _frozen_backbone(training: Training) -> Training:
    """All but the head is frozen, batch norms too."""
    model = training.model
    for part in (model.stem, model.norm, model.middle, model.neck):
        part.requires_grad_(False).eval()
    return training


def test_a_clean_training_that_tells_how_it_names_classes_gives_none_either() -> None:
    assert run(replace(clean(count=640), confusion=named_classes)) == []


def test_classes_that_are_seen_later_begin_the_count_of_confusion_anew() -> None:
    sizes = iter([3, 3, 4, 4, 4])
    wrong = lambda _: np.roll(np.eye(next(sizes), dtype=np.int64) * 40, 1, axis=1)  # noqa: E731
    found = run(replace(clean(), epochs=5, confusion=wrong))
    assert found == []  # three validations with the same classes
    sizes = iter([3, 3, 4, 4, 4, 4])
    found = run(replace(clean(), epochs=6, confusion=wrong))
    assert [one.rule for one in found] == ["confusion"]


def test_confusion_is_told_with_its_classes() -> None:
    found = run(FAULTS["confusion"]())[0]
    assert found.what.startswith("class 3 is named as class 2")
    assert 0.5 < found.figure <= 1


def test_a_figure_of_validation_takes_the_place_of_a_loss() -> None:
    def findings(figures: list[float]) -> list[Finding]:
        training = replace(clean(), epochs=1, rate=1e-3)
        optimizer = torch.optim.AdamW(training.model.parameters(), lr=1e-3)
        watch = TrainingDebugger(OFTEN, say=lambda _: None).watch(training.model, optimizer)
        for epoch, figure in enumerate(figures):
            for images, labels in watch.batches(training.batches(epoch)):
                loss = F.cross_entropy(training.model(images), labels)
                watch.loss(loss)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            watch.validated(figure=figure)
        return [one for one in watch.finish() if one.rule in ("overfitting", "overtraining")]

    # 0.6, 0.45 below it by a quarter for four validations; the training loss falls all the while.
    found = findings([0.2, 0.6, 0.4, 0.45, 0.41, 0.43])
    assert [(one.rule, one.step) for one in found] == [("overfitting", 20)]
    assert found[0].figure == pytest.approx(0.25)
    assert findings([0.2, 0.6, 0.4, 0.55, 0.41, 0.43]) == []  # one of them was near the best
    assert findings([0.0, 0.0, 0.0, 0.0, 0.0, 0.0]) == []


def test_a_figure_that_another_callback_measures_is_seen(tmp_path: Path) -> None:
    class Judge(L.Callback):
        """Measures at the end of each epoch, as visionkit's own localization does."""

        figures = iter([0.2, 0.6, 0.4, 0.45, 0.41, 0.43])

        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            pl_module.log("val/ap", next(self.figures))

    torch.manual_seed(0)
    debugger = TrainingDebugger(OFTEN, say=lambda _: None)
    trainer = L.Trainer(
        max_epochs=6,
        accelerator="cpu",
        callbacks=[Judge(), debugger],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    loader = DataLoader(TensorDataset(*pictures(160, 1)), batch_size=32, shuffle=True)
    trainer.fit(Learner(Stripes(), rate=1e-3), loader)
    assert [(one.rule, one.step) for one in debugger.findings] == [("overfitting", 10)]


def test_what_weights_of_the_loss_even_out_is_no_imbalance(tmp_path: Path) -> None:
    images, labels = pictures(960, 0, weights=[0.97, 0.01, 0.01, 0.01])
    even = len(labels) / torch.bincount(labels, minlength=4)

    class Weighed(Foreign):
        """The same with a criterion of its own."""

        def __init__(self, weights: Tensor | None) -> None:
            super().__init__(Stripes())
            self.criterion = nn.CrossEntropyLoss(weights)

        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            loss: Tensor = self.criterion(self.net(batch[0]), batch[1])
            return loss

    torch.manual_seed(0)
    weighed, plain = (
        fitted(Weighed(weights), tmp_path, data=(images, labels)).findings
        for weights in (even, None)
    )
    assert "class_imbalance" in {one.rule for one in plain}
    assert "class_imbalance" not in {one.rule for one in weighed}
    told = TrainingDebugger(OFTEN, class_weights=even, say=lambda _: None)
    assert told.watch(Stripes()).history.class_weights == pytest.approx(
        dict(enumerate(even.tolist()))
    )


def test_a_foreign_module_that_confuses_two_classes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images, labels = pictures(320, 1)
    wrong = (labels == 3) & (torch.arange(len(labels)) % 5 > 0)
    data = (images, torch.where(wrong, 2, labels))
    debugger = fitted(Foreign(Stripes()), tmp_path, data=data, held_out=pictures(160, 2), epochs=8)
    assert "class 3 is named as class 2" in " ".join(one.what for one in debugger.findings)


def test_the_first_steps_of_weights_that_begin_at_zero_are_no_finding() -> None:
    """As in the exemplar demo: a rate that is right, and a few noisy losses up to a validation."""
    head = nn.Linear(24, 1, bias=False)
    nn.init.zeros_(head.weight)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    watch = TrainingDebugger(say=lambda _: None).watch(head, optimizer)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(9, 16, 24, generator=generator)
    noisy = [0.30, 0.21, 0.18, 0.14, 0.16, 0.15, 0.26, 0.24, 0.39]  # as they came in that training
    for step, batch in enumerate(watch.batches(list(inputs))):
        loss = (head(batch) - batch.sum(1, keepdim=True)).square().mean()
        watch.loss(loss.detach() * 0 + noisy[step])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    watch.validated(0.19)
    assert watch.history.looks[3].step == 3
    assert watch.finish() == []


def test_where_and_what_and_since_when() -> None:
    found = run(FAULTS["unchanged_tensor"]())[0]
    assert (found.layer, found.step, found.figure) == ("middle.weight", 0, 0.0)
    found = run(FAULTS["nonfinite"]())[0]
    assert (found.layer, found.step, found.hopeless) == ("neck", 30, True)
    found = run(FAULTS["dead_relu"]())[0]
    assert (found.layer, found.figure) == ("second", 1.0)
    found = run(FAULTS["boxes_lost"]())[0]
    assert found.figure == pytest.approx(0.5, abs=0.05)  # half of each class, rounded down


def test_a_picture_that_is_not_finite_is_the_input() -> None:
    images, labels = pictures(64, 0)
    images[40, 0, 3, 3] = torch.nan
    training = replace(
        clean(), batches=lambda _: [(images[:32], labels[:32]), (images[32:], labels[32:])]
    )
    found = run(training)[0]
    assert (found.rule, found.layer, found.step) == ("nonfinite", "input", 1)


def test_weights_that_became_nan_are_named() -> None:
    training = clean()

    def break_neck(model: nn.Module) -> None:
        with torch.no_grad():
            model.neck.weight[0, 0] = torch.inf  # type: ignore[union-attr,index,operator]

    found = run(replace(training, each=break_neck))[0]
    assert (found.rule, found.layer, found.step) == ("nonfinite", "neck.weight", 0)


def test_a_training_that_cannot_recover_is_ended_where_asked() -> None:
    training = FAULTS["nonfinite"]()
    steps: list[int] = []
    stopping = replace(training, settings=replace(OFTEN, stop=True), each=lambda _: steps.append(1))
    assert run(stopping)[0].rule == "nonfinite"
    assert len(steps) == 31
    steps.clear()
    assert (
        run(replace(FAULTS["nonfinite"](), each=lambda _: steps.append(1)))[0].rule == "nonfinite"
    )
    assert len(steps) == 60


def test_a_foreign_module_that_is_sound(tmp_path: Path) -> None:
    torch.manual_seed(0)
    debugger = fitted(Foreign(Stripes()), tmp_path)
    assert debugger.findings == []
    assert json.loads((tmp_path / "findings.json").read_text("utf-8")) == []
    series = json.loads((tmp_path / "debugger.json").read_text("utf-8"))
    assert series["layers"] == [f"net.{name}.weight" for name in ("stem", "middle", "neck", "head")]
    assert len(series["gradients"]) == 4
    assert all(len(row) == len(series["steps"]) for row in series["gradients"])
    assert series["steps"] == [0, 1, 2, 3, 4, 8, 12]
    assert [step for step, _ in series["losses"]] == list(range(15))
    assert [step for step, _ in series["validation"]] == [5, 10, 15]


def test_a_foreign_module_with_dead_units(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Stripes()
    nn.init.constant_(model.middle.bias, -30.0)
    debugger = fitted(Foreign(model), tmp_path)
    assert debugger.findings[0].rule == "dead_relu"
    assert debugger.findings[0].layer == "net.second"
    assert read_findings(tmp_path / "findings.json") == debugger.findings


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2}], ids=["", "accumulated"])
def test_a_foreign_module_whose_loss_is_nan(tmp_path: Path, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    images, labels = pictures(160, 1)
    images[:] = torch.where(images > 2, torch.inf, images) if options else images
    images[7] = torch.nan
    debugger = fitted(Foreign(Stripes()), tmp_path, data=(images, labels), **options)
    assert (debugger.findings[0].rule, debugger.findings[0].layer) == ("nonfinite", "input")


def test_gradients_that_are_summed_over_batches_are_seen(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Stripes()
    module = Foreign(model)
    module.configure_optimizers = lambda: torch.optim.AdamW(  # type: ignore[method-assign]
        [*model.stem.parameters(), *model.neck.parameters(), *model.head.parameters()], lr=3e-3
    )
    debugger = fitted(module, tmp_path, accumulate_grad_batches=2, epochs=6)
    assert debugger.findings[0].rule == "unchanged_tensor"
    assert debugger.findings[0].layer == "net.middle.weight"


def test_a_validation_that_breaks_off_leaves_no_hooks(tmp_path: Path) -> None:
    class Broken(Foreign):
        def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
            if not self.trainer.sanity_checking:
                raise RuntimeError("the disk is gone")

    module = Broken(clean(0).model)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        fitted(module, tmp_path)
    assert not any(each._forward_hooks for each in module.modules())


def test_the_folder_of_findings_may_be_a_string(tmp_path: Path) -> None:
    debugger = TrainingDebugger(folder=str(tmp_path / "new"), say=lambda _: None)
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[debugger],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Learner(Stripes()), DataLoader(TensorDataset(*pictures(64, 1)), batch_size=32))
    assert debugger.findings == []
    assert json.loads((tmp_path / "new/findings.json").read_text("utf-8")) == []


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    model = Stripes()
    nn.init.constant_(model.middle.bias, -30.0)
    debugger = fitted(Foreign(model), tmp_path, settings=DebuggerSettings(enabled=False))
    assert debugger.findings == []
    assert not (tmp_path / "findings.json").exists()


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Classed:
    folder = tmp_path_factory.mktemp("pictures")
    return classed(samples(folder, 32), NAMES, multi_label=False)


def finetuned(labelled: Classed, folder: Path, *, enabled: bool = True, rate: float = 5e-3) -> str:
    backbone, head = new_model()
    settings = replace(QUICK, debugger=DebuggerSettings(enabled=enabled), learning_rate=rate)
    fit_finetuned(backbone, head, labelled, labelled.part([]), FRAMING, folder, settings)
    return backbone.weights_id


def test_watching_changes_nothing(labelled: Classed, tmp_path: Path) -> None:
    watched = finetuned(labelled, tmp_path / "watched")
    assert watched == finetuned(labelled, tmp_path / "alone", enabled=False)
    assert read_findings(tmp_path / "watched" / "findings.json") == []
    assert (tmp_path / "watched" / "findings.json").is_file()


def test_a_training_of_ours_whose_loss_is_no_number_says_where(
    labelled: Classed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="the loss must be finite"):
        finetuned(labelled, tmp_path, rate=1e30)
    found = read_findings(tmp_path / "findings.json")
    assert "nonfinite" in {finding.rule for finding in found}
    assert "nonfinite: the loss is" in capsys.readouterr().out


def test_findings_come_back_from_their_file(tmp_path: Path) -> None:
    first = Finding("a", "b", "c", 3, 0.5, 0.1, "Why. So.", "x=1")
    nan = replace(first, rule="d", figure=math.nan, hopeless=True)
    write_findings(tmp_path / "f.json", [first, nan])
    again = read_findings(tmp_path / "f.json")
    assert again[0] == first
    assert math.isnan(again[1].figure)
    assert again[1].hopeless
    assert read_findings(tmp_path / "none.json") == []
    (tmp_path / "f.json").write_text('[{"rule": "a"}]', "utf-8")
    with pytest.raises(ValueError, match="must be a list of findings"):
        read_findings(tmp_path / "f.json")


def test_a_model_without_anything_to_learn() -> None:
    watch = TrainingWatch(nn.Identity(), settings=OFTEN, say=lambda _: None)
    for _ in watch.batches([torch.zeros(2, 3), torch.zeros(2, 3)]):
        watch.loss(torch.zeros(()))
    assert watch.finish() == []


def test_settings_out_of_range() -> None:
    with pytest.raises(ValueError, match="1 or more, got 0 and 4"):
        DebuggerSettings(interval=0)
