"""Several heads in one predictor: one pass, each answer as if the head were alone."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision as sv
import torch

from tests.inference.bundles import change, reseal
from tests.inference.test_predictor import write_picture
from tests.worlds import (
    SETTINGS,
    PastedScenes,
    classification_part,
    localization_part,
    mark,
    new_finder,
    photo,
    same_finds,
    three_items,
    whole_backbone,
)
from visionkit.inference.locate import Tiles, locate
from visionkit.inference.parts import ClassificationPart, LocalizationPart
from visionkit.inference.prediction import TASKS, Prediction
from visionkit.inference.predictor import Predictor
from visionkit.models.build_backbone import build_backbone

SUBSETS = [subset for count in (1, 2, 3) for subset in itertools.combinations(TASKS, count)]


def predictor_of(tasks: Sequence[str], **changes: Any) -> Predictor:
    """A predictor with some of the heads; `changes` replace some of them."""
    makers: dict[str, Callable[[], Any]] = {
        "finder": lambda: new_finder(three_items()),
        "classification": classification_part,
        "localization": localization_part,
    }
    wanted = {"finder" if task == "exemplar" else task for task in tasks}
    parts = {name: changes.get(name) or make() for name, make in makers.items() if name in wanted}
    return Predictor(whole_backbone(), **parts, metadata={"subset": list(tasks)})


@pytest.fixture(scope="module")
def every() -> Predictor:
    """A predictor with all heads; not to be changed."""
    return predictor_of(TASKS)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Pictures of several sizes."""
    return [
        PastedScenes(3)[0].image,
        PastedScenes(3)[1].image,
        photo(5, 61, 207),
        photo(6, 300, 90),
    ]


@pytest.fixture(scope="module")
def saved(every: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of all heads; not to be changed."""
    folder = tmp_path_factory.mktemp("saved") / "bundle"
    every.save(folder)
    return folder


def same_to_the_bit(first: Prediction, second: Prediction, task: str) -> None:
    """Passes if both say the very same, for one of the heads."""
    one, other = getattr(first, task), getattr(second, task)
    assert one is not None
    assert other is not None
    for name in ("class_id", "confidence") + (("xyxy",) if task != "classification" else ()):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    if task == "classification":
        assert first.labels == second.labels
        assert first.class_names == second.class_names
        return
    assert one.data.keys() == other.data.keys()
    for name, values in one.data.items():
        np.testing.assert_array_equal(values, other.data[name])


@contextmanager
def passes_of(predictor: Predictor) -> Iterator[list[tuple[int, ...]]]:
    """The shapes of all batches that the backbone of the trained heads sees in the block."""
    shapes: list[tuple[int, ...]] = []
    handle = predictor.backbone.register_forward_pre_hook(
        lambda _, arguments: shapes.append(tuple(arguments[0].shape))
    )
    try:
        yield shapes
    finally:
        handle.remove()


# One pass.


def test_heads_of_equal_framing_share_one_pass(every: Predictor, images: list[Any]) -> None:
    with passes_of(every) as shapes:
        every.predict(images)
    assert shapes == [(4, 3, 96, 128)]


def test_heads_of_other_framing_see_for_themselves(images: list[Any]) -> None:
    predictor = predictor_of(TASKS[1:], classification=classification_part(size=(64, 64)))
    with passes_of(predictor) as shapes:
        predictor.predict(images)
    assert sorted(shapes) == [(4, 3, 64, 64), (4, 3, 96, 128)]


def test_batches_bound_what_is_seen_at_once(every: Predictor, images: list[Any]) -> None:
    with passes_of(every) as shapes:
        every.predict(iter(images), ["localization"], batch_size=3)
    assert shapes == [(3, 3, 96, 128), (1, 3, 96, 128)]


def test_looking_for_items_alone_costs_no_pass_of_the_whole_network(
    every: Predictor, images: list[Any]
) -> None:
    with passes_of(every) as shapes:
        (found,) = every.predict(images[:1], ["exemplar"])
    assert shapes == []
    assert found.tasks == ("exemplar",)
    stage = every.finder.backbone
    assert (stage.strides, stage.pool_stride) == ((8,), 8)
    assert len(list(stage.network.modules())) < len(list(every.backbone.network.modules())) / 2


# The same answers.


@pytest.mark.parametrize("tasks", SUBSETS[:-1], ids="+".join)
def test_another_head_changes_no_answer(
    every: Predictor, images: list[Any], tasks: tuple[str, ...]
) -> None:
    alone = predictor_of(tasks)
    assert alone.tasks == tasks
    for few, all_of_them, asked in zip(
        alone.predict(images), every.predict(images), every.predict(images, tasks), strict=True
    ):
        assert few.tasks == asked.tasks == tasks
        assert all_of_them.tasks == TASKS
        for task in tasks:
            same_to_the_bit(few, all_of_them, task)
            same_to_the_bit(few, asked, task)


def test_a_batch_as_one_by_one(every: Predictor, images: list[Any]) -> None:
    for together, image in zip(every.predict(images), images, strict=True):
        (alone,) = every.predict([image])
        assert together.exemplar is not None
        assert alone.exemplar is not None
        same_finds(together.exemplar, alone.exemplar)
        np.testing.assert_allclose(
            together.classification.confidence,  # type: ignore[union-attr, arg-type]
            alone.classification.confidence,  # type: ignore[union-attr, arg-type]
            atol=1e-5,
        )
        assert together.labels == alone.labels
        boxes, single = together.localization, alone.localization
        assert boxes is not None
        assert single is not None
        assert len(boxes) == len(single) > 0
        # Ties may come in another order, so the nearest box of each must be itself.
        overlap = sv.box_iou_batch(boxes.xyxy, single.xyxy).max(1)
        assert overlap.min() > 0.999
        np.testing.assert_allclose(
            np.sort(boxes.confidence),  # type: ignore[type-var]
            np.sort(single.confidence),  # type: ignore[type-var]
            atol=1e-5,
        )


def test_no_pictures_have_no_predictions(every: Predictor) -> None:
    assert every.predict([]) == []
    assert every.predict([], ["classification"]) == []


def test_a_single_picture_is_a_list_of_one(every: Predictor, tmp_path: Path) -> None:
    image = photo(5, 61, 207)
    path = write_picture(tmp_path / "one.png", image)
    for given in (image, path, str(path)):
        (single,) = every.predict(given, TASKS[1:])
        (listed,) = every.predict([image], TASKS[1:])
        same_to_the_bit(single, listed, "classification")
        same_to_the_bit(single, listed, "localization")


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 5)])
def test_tiny_pictures_have_answers(every: Predictor, size: tuple[int, int]) -> None:
    (answer,) = every.predict([np.full((*size, 3), 90, np.uint8)], score_threshold=0.0)
    assert answer.tasks == TASKS
    assert answer.localization is not None
    assert (answer.localization.xyxy <= [size[1], size[0]] * 2).all()
    assert (answer.localization.xyxy >= 0).all()


# What the answers are.


def test_classes_are_those_of_the_head_on_the_pooled_vector() -> None:
    part = classification_part(threshold=0.5)
    predictor = predictor_of(["classification"], classification=part)
    image = photo(9, 96, 128)  # of the frame's own size: nothing is resized
    (answer,) = predictor.predict([image])
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        pooled = whole_backbone()(pixels).pooled[0].numpy().astype(np.float64)
    weight, bias = part.head.weight.detach().numpy(), part.head.bias.detach().numpy()
    # The head has learned no mean or deviation yet; it brings the vector to length sqrt(C).
    logits = weight.astype(np.float64) @ (pooled * np.sqrt(pooled.size / (pooled @ pooled))) + bias
    odds = np.exp(logits - logits.max())
    assert answer.classification is not None
    assert answer.classification.class_id.tolist() == [0, 1, 2]
    np.testing.assert_allclose(
        answer.classification.confidence,  # type: ignore[arg-type]
        odds / odds.sum(),
        atol=1e-5,
    )
    assert answer.class_names == ("cat", "dog", "none of both")
    best = int(np.argmax(odds))
    expected = (answer.class_names[best],) if odds[best] / odds.sum() >= 0.5 else ()
    assert answer.labels == expected


@pytest.mark.parametrize(
    ("multi_label", "threshold", "given", "labels"),
    [
        (False, 0.2, None, ("dog",)),
        (False, 0.7, None, ()),
        (False, 0.7, 0.5, ("dog",)),
        (True, 0.2, None, ("dog", "cat")),
        (True, 0.7, None, ()),
        (True, 0.7, 0.1, ("dog", "cat", "none of both")),
    ],
)
def test_labels_are_the_classes_that_reach_their_thresholds(
    multi_label: bool, threshold: float, given: float | None, labels: tuple[str, ...]
) -> None:
    part = classification_part(multi_label=multi_label, threshold=threshold)
    with torch.no_grad():  # whatever the picture, 0.3, 0.6 and 0.1
        part.head.weight.zero_()
        odds = torch.tensor([0.3, 0.6, 0.1])
        part.head.bias.copy_(odds.logit() if multi_label else odds.log())
    predictor = predictor_of(["classification"], classification=part)
    (answer,) = predictor.predict([photo(1)], score_threshold=given)
    assert answer.labels == labels


def test_boxes_are_in_pixels_of_the_picture() -> None:
    part = localization_part()
    predictor = predictor_of(["localization"], localization=part)
    frame = photo(9, 96, 128)
    (small,) = predictor.predict([frame])
    large = np.repeat(np.repeat(frame, 3, 0), 3, 1)  # the mean of areas gives the frame again
    (enlarged,) = predictor.predict([large])
    assert small.localization is not None
    assert enlarged.localization is not None
    np.testing.assert_allclose(enlarged.localization.xyxy, small.localization.xyxy * 3, atol=1e-3)
    np.testing.assert_array_equal(enlarged.localization.class_id, small.localization.class_id)
    assert small.localization.class_id is not None
    expected = [("car", "bus")[number] for number in small.localization.class_id]
    assert small.localization.data["class_name"].tolist() == expected
    confidence = small.localization.confidence
    assert confidence is not None
    assert (np.diff(confidence) <= 0).all()


def test_each_class_of_boxes_has_its_own_threshold(images: list[Any]) -> None:
    part = localization_part()
    (whole,) = predictor_of(["localization"], localization=part).predict(images[:1])
    assert whole.localization is not None
    ids, scores = whole.localization.class_id, whole.localization.confidence
    assert ids is not None
    assert scores is not None
    limits = {"car": float(np.median(scores)), "bus": 1.0}
    strict = LocalizationPart(part.head, part.class_names, part.framing, limits)
    predictor = predictor_of(["localization"], localization=strict)
    (some,) = predictor.predict(images[:1])
    expected = [s for s, i in zip(scores, ids, strict=True) if i == 0 and s >= limits["car"]]
    assert some.localization is not None
    assert some.localization.confidence is not None
    assert some.localization.confidence.tolist() == expected
    (every_box,) = predictor.predict(images[:1], score_threshold=0.0)
    assert len(every_box.localization or []) == len(scores)


def test_large_pictures_are_also_seen_in_tiles(tmp_path: Path) -> None:
    plain = localization_part()
    tiles = Tiles(scale=1.0, overlap=0.25)
    part = LocalizationPart(
        plain.head, plain.class_names, plain.framing, plain.thresholds, tiles=tiles
    )
    predictor = predictor_of(TASKS[1:], localization=part)
    large, small = photo(7, 192, 256), photo(8, 90, 120)
    with passes_of(predictor) as shapes:
        answers = predictor.predict([large, small])
    # Both in one pass for their classes; then both whole, and the large one in 3 x 3 tiles.
    assert [shape[0] for shape in shapes] == [2, 8, 3]
    expected = locate(predictor.network, plain.head, [large, small], plain.framing, tiles=tiles)
    for answer, boxes in zip(answers, expected, strict=True):
        assert answer.localization is not None
        np.testing.assert_array_equal(answer.localization.xyxy, boxes.xyxy)
        np.testing.assert_array_equal(answer.localization.confidence, boxes.confidence)
        assert set(answer.localization.data["class_name"]) <= {"car", "bus"}
    predictor.save(tmp_path / "bundle")
    loaded = Predictor.load(tmp_path / "bundle", device="cpu")
    assert loaded.localization is not None
    assert loaded.localization.tiles == tiles
    path = write_picture(tmp_path / "large.png", large)
    same_to_the_bit(loaded.predict(path)[0], predictor.predict([large])[0], "localization")


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["localisation"], "did you mean localization"),
        (["drift"], r"exemplar, classification, localization\), got drift"),
        ([], "got none"),
    ],
)
def test_tasks_that_there_are_not(every: Predictor, tasks: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        every.predict([photo(1)], tasks)


def test_a_head_that_is_not_there_is_named() -> None:
    predictor = predictor_of(["classification"])
    with pytest.raises(ValueError, match=r"\(classification\), got localization"):
        predictor.predict([photo(1)], ["localization"])
    with pytest.raises(ValueError, match="exemplar head to look for items"):
        predictor.find(photo(1))
    assert (predictor.items, predictor.thresholds) == ([], {})


# Which heads go together.


def test_a_predictor_must_have_a_head() -> None:
    with pytest.raises(ValueError, match="there must be a head"):
        Predictor(whole_backbone())


def test_heads_of_another_backbone_are_refused() -> None:
    other = build_backbone("mobilenetv4_conv_small_035", weights="random")
    with pytest.raises(ValueError, match="but exemplar is not"):
        Predictor(other, new_finder())
    wider = build_backbone("mobilenetv4_conv_small", weights="random", pool_stride=16)
    with pytest.raises(ValueError, match="classification and localization are not"):
        Predictor(wider, None, classification_part(), localization_part())


def test_a_gallery_can_be_begun_beside_a_trained_head(images: list[Any]) -> None:
    predictor = predictor_of(["classification", "localization"])
    before = predictor.predict(images)
    predictor.start_gallery(background=[photo(seed) for seed in range(900, 904)], settings=SETTINGS)
    predictor.add_item("soda", mark(1)[..., :3])
    assert predictor.tasks == TASKS
    assert predictor.items == ["soda"]
    for old, new in zip(before, predictor.predict(images), strict=True):
        same_to_the_bit(old, new, "classification")
        same_to_the_bit(old, new, "localization")
        assert new.exemplar is not None
    with pytest.raises(ValueError, match="no gallery yet, got one of 1 items"):
        predictor.start_gallery()


# Saving and loading.


@pytest.mark.parametrize("tasks", SUBSETS, ids="+".join)
def test_any_heads_come_back_as_they_were(
    tasks: tuple[str, ...], images: list[Any], tmp_path: Path
) -> None:
    predictor = predictor_of(tasks)
    predictor.save(tmp_path / "bundle")
    loaded = Predictor.load(tmp_path / "bundle", device="cpu")
    assert loaded.tasks == tasks
    assert loaded.metadata == {"subset": list(tasks)}
    assert loaded.backbone.weights_id == predictor.backbone.weights_id
    assert loaded.backbone.spec == predictor.backbone.spec
    for before, after in zip(predictor.predict(images), loaded.predict(images), strict=True):
        for task in tasks:
            same_to_the_bit(before, after, task)
    assert (tmp_path / "bundle" / "gallery").exists() == ("exemplar" in tasks)


def test_a_head_joins_a_bundle_and_changes_nothing_of_it(images: list[Any], tmp_path: Path) -> None:
    predictor_of(["exemplar"]).save(tmp_path / "bundle")
    old = Predictor.load(tmp_path / "bundle", device="cpu")
    before = old.predict(images)
    joined = Predictor(old.backbone, old.finder, classification_part(), localization_part())
    joined.save(tmp_path / "bundle", overwrite=True)
    after = Predictor.load(tmp_path / "bundle", device="cpu").predict(images)
    for first, second in zip(before, after, strict=True):
        same_to_the_bit(first, second, "exemplar")
        assert second.tasks == TASKS


def test_a_loaded_bundle_has_its_network_once_in_memory(saved: Path) -> None:
    loaded = Predictor.load(saved, device="cpu")
    whole = {parameter.data_ptr() for parameter in loaded.backbone.network.parameters()}
    part = [parameter.data_ptr() for parameter in loaded.finder.backbone.network.parameters()]
    assert 0 < len(part) < len(whole)
    assert whole.issuperset(part)


def test_the_settings_of_parts_come_back(saved: Path, every: Predictor) -> None:
    loaded = Predictor.load(saved, device="cpu")
    for name in ("classification", "localization"):
        part = getattr(loaded, name)
        assert part.describe() == getattr(every, name).describe()
        assert not part.head.training
    assert loaded.localization is not None
    assert loaded.localization.head.score_threshold == 0.0


def test_a_bundle_of_the_format_before_is_named(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(saved, folder)
    change(folder, lambda content: content.update(format_version=2))
    with pytest.raises(ValueError, match=r"format 3, got 2 of an earlier visionkit.*train again"):
        Predictor.load(folder, device="cpu")


def _head(task: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda content: content["heads"][task]


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "no heads": lambda content: content.update(heads={}),
    "heads are a list": lambda content: content.update(heads=["exemplar"]),
    "heads are null": lambda content: content.update(heads=None),
    "an unknown head": lambda content: content["heads"].update(drift={}),
    "classification is null": lambda content: content["heads"].update(classification=None),
    "a class too few": lambda content: _head("classification")(content)["class_names"].pop(),
    "a class twice": lambda content: _head("localization")(content).update(
        class_names=["car", "car"]
    ),
    "no threshold": lambda content: _head("localization")(content)["thresholds"].pop("bus"),
    "a threshold above 1": lambda content: _head("classification")(content)["thresholds"].update(
        cat=2
    ),
    "another fit": lambda content: _head("localization")(content)["framing"].update(fit="fill"),
    "no size": lambda content: _head("localization")(content)["framing"].update(size=[0, 0]),
    "more classes": lambda content: _head("classification")(content)["head"].update(class_count=4),
    "another kind": lambda content: _head("classification")(content)["head"].update(kind="os"),
    "an unknown setting": lambda content: _head("localization")(content)["head"].update(file="/"),
    "tiles without size": lambda content: _head("localization")(content).update(tiles={"scale": 0}),
    "no word of tiles": lambda content: _head("localization")(content).pop("tiles"),
    "channels are a list": lambda content: _head("localization")(content)["head"].update(
        channels=[8, 16]
    ),
    "a narrower pyramid": lambda content: _head("localization")(content)["head"].update(width=8),
    "a backbone that ends early": lambda content: content["backbone"].update(
        strides=[8, 16], pool_stride=16
    ),
}


@pytest.mark.parametrize("damage", HOSTILE.values(), ids=HOSTILE.keys())
def test_heads_that_do_not_belong_together(
    saved: Path, tmp_path: Path, damage: Callable[[dict[str, Any]], object]
) -> None:
    folder = tmp_path / "bad bundle"
    shutil.copytree(saved, folder)
    change(folder, damage)
    reseal(folder)
    with pytest.raises(ValueError, match="bad bundle"):
        Predictor.load(folder, device="cpu")


def test_the_manifest_is_plain_json(saved: Path) -> None:
    content = json.loads((saved / "bundle.json").read_text())
    assert content["format_version"] == 3
    assert sorted(content["heads"]) == sorted(TASKS)
    assert content["backbone"]["strides"] == [8, 16, 32]
    assert content["heads"]["localization"]["framing"] == {"size": [96, 128], "fit": "letterbox"}


@pytest.mark.parametrize(
    ("names", "thresholds", "message"),
    [
        (("cat", "dog"), {"cat": 0.5, "dog": 0.5}, "class_names .* must be 3 different ones"),
        (("a", "b", "b"), {"a": 0.5, "b": 0.5}, "class_names .* must be 3 different ones"),
        (("a", "b", "c"), {"a": 0.5, "b": 0.5}, "thresholds .* one in 0..1 for each"),
        (("a", "b", "c"), {"a": 0.5, "b": 0.5, "c": float("nan")}, "thresholds .* one in 0..1"),
    ],
)
def test_parts_whose_names_do_not_fit_the_head(
    names: tuple[str, ...], thresholds: dict[str, float], message: str
) -> None:
    part = classification_part()
    with pytest.raises(ValueError, match=message):
        ClassificationPart(part.head, names, part.framing, thresholds)
