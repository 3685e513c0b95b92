from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.worlds import photo
from visionkit.data.framing import Framing, read_framed
from visionkit.data.images import content_hash, read_image
from visionkit.data.views import ViewSettings
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.training.feature_cache import FeatureCache, maps_of, pooled_features
from visionkit.types import Features, Sample

CROP, BOX = Framing((64, 64), "crop"), Framing((64, 96), "letterbox")


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    built = build_backbone("mobilenetv4_conv_small_035", weights="random", strides=(8, 16))
    return built.freeze()


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache", max_bytes=1 << 24)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Five pictures of different sizes; the third is damaged since, the fourth is gone."""
    made = []
    for number in range(5):
        image = photo(number, 70 + 20 * number, 90)
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        height, width = image.shape[:2]
        made.append(Sample(path.name, path.as_posix(), width, height, content_hash(image)))
    Path(made[2].uri).write_bytes(b"\x89PNG\r\n\x1a\n")
    Path(made[3].uri).unlink()
    return made


def plain(backbone: Backbone, sample: Sample, framing: Framing) -> Features:
    """The features of one picture by itself, without any of the module under test."""
    image, _ = read_framed(sample.uri, framing)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return backbone.eval()(pixels)


class Counted(list[int]):
    """Counts the pictures that a backbone sees."""

    def watch(self, backbone: Backbone) -> None:
        backbone.register_forward_pre_hook(lambda _, given: self.append(len(given[0])))


def test_no_samples_give_no_features(backbone: Backbone, cache: FeatureCache) -> None:
    found = pooled_features(backbone, [], CROP, cache=cache, views=2)
    assert found.features.shape == (3, 0, backbone.pooled_channels)
    assert found.kept.tolist() == found.problems == []
    assert len(maps_of(backbone, [], BOX, cache=cache)) == 0


def test_features_are_those_of_each_picture_alone(
    backbone: Backbone, samples: list[Sample], cache: FeatureCache
) -> None:
    found = pooled_features(backbone, samples, CROP, cache=cache, batch_size=3)
    assert found.kept.tolist() == [0, 1, 4]
    assert found.kept.dtype == torch.int64
    assert found.features.shape == (1, 3, backbone.pooled_channels)
    assert found.features.dtype == torch.float32
    for row, index in enumerate(found.kept.tolist()):
        expected = plain(backbone, samples[index], CROP).pooled[0]
        torch.testing.assert_close(found.features[0, row], expected, rtol=2e-3, atol=2e-3)


def test_pictures_that_cannot_be_read_are_reported_once(
    backbone: Backbone, samples: list[Sample], cache: FeatureCache
) -> None:
    found = pooled_features(backbone, samples, CROP, cache=cache, views=3)
    assert [problem.file for problem in found.problems] == [samples[2].uri, samples[3].uri]
    assert "left out" in found.problems[0].reason
    assert "gone" in found.problems[1].reason


def test_nothing_readable_gives_no_rows(backbone: Backbone, samples: list[Sample]) -> None:
    found = pooled_features(backbone, samples[2:4], CROP, cache=None, views=1)
    assert found.features.shape == (2, 0, backbone.pooled_channels)
    assert len(found.problems) == 2


def test_the_second_time_nothing_is_seen_and_all_is_the_same(
    backbone: Backbone, samples: list[Sample], cache: FeatureCache
) -> None:
    seen, good = Counted(), [samples[0], samples[1], samples[4]]
    seen.watch(backbone)
    first = pooled_features(backbone, good, CROP, cache=cache, views=2)
    assert sum(seen) == 9
    again = pooled_features(backbone, good[::-1], CROP, cache=cache, views=2, batch_size=1)
    assert sum(seen) == 9
    assert torch.equal(again.features.flip(1), first.features)
    more = pooled_features(backbone, good, CROP, cache=cache, views=3)
    assert sum(seen) == 12  # only the third view is new
    assert torch.equal(more.features[:3], first.features)


def test_with_and_without_a_cache_features_agree(
    backbone: Backbone, samples: list[Sample], cache: FeatureCache
) -> None:
    kept = pooled_features(backbone, samples, CROP, cache=cache, views=2)
    computed = pooled_features(backbone, samples, CROP, cache=None, views=2, batch_size=2)
    torch.testing.assert_close(kept.features, computed.features, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("change", ["seed", "settings", "framing", "weights", "content"])
def test_what_features_depend_on_is_not_taken_for_another(
    backbone: Backbone, samples: list[Sample], cache: FeatureCache, change: str
) -> None:
    seen, good = Counted(), [samples[0]]
    pooled_features(backbone, good, CROP, cache=cache, views=1)
    other, framing, options = backbone, CROP, {"views": 1}
    if change == "seed":
        options["seed"] = 1
    elif change == "settings":
        options["settings"] = ViewSettings(flip=0.1)  # type: ignore[assignment]
    elif change == "framing":
        framing = BOX
    elif change == "weights":
        with torch.no_grad():
            next(iter(other.network.parameters())).add_(0.1)
    else:
        good = [replace(samples[0], content_hash="0" * 32)]
    seen.watch(other)
    pooled_features(other, good, framing, cache=cache, **options)  # type: ignore[arg-type]
    # Plain frames have nothing to do with seed and settings of the views.
    assert sum(seen) == (1 if change in ("seed", "settings") else 2)


def test_views_differ_and_do_not_depend_on_their_neighbours(
    backbone: Backbone, samples: list[Sample]
) -> None:
    options = {"cache": None, "views": 3, "seed": 5}
    alone = pooled_features(backbone, [samples[4]], CROP, **options)  # type: ignore[arg-type]
    beside = pooled_features(backbone, samples, CROP, **options)  # type: ignore[arg-type]
    torch.testing.assert_close(alone.features[:, 0], beside.features[:, 2], rtol=1e-4, atol=1e-4)
    differences = torch.cdist(alone.features[:, 0], alone.features[:, 0])
    assert (differences + torch.eye(4) > 1e-3).all()


def test_progress_counts_every_frame_and_view(
    backbone: Backbone, samples: list[Sample], cache: FeatureCache
) -> None:
    for _ in range(2):
        counts: list[int] = []
        pooled_features(backbone, samples, CROP, cache=cache, views=1, progress=counts.append)
        assert sum(counts) == 10


def test_a_backbone_keeps_its_mode(backbone: Backbone, samples: list[Sample]) -> None:
    free = build_backbone("mobilenetv4_conv_small_035", weights="random").train()
    before = [buffer.clone() for buffer in free.buffers()]
    pooled_features(free, samples, CROP, cache=None)
    assert free.training
    assert all(torch.equal(a, b) for a, b in zip(before, free.buffers(), strict=True))


def test_a_sample_without_a_hash_is_refused(backbone: Backbone, samples: list[Sample]) -> None:
    with pytest.raises(ValueError, match="content hash"):
        pooled_features(backbone, [replace(samples[0], content_hash="")], CROP, cache=None)


def _maps_equal(found: dict[int, Tensor], expected: dict[int, Tensor]) -> None:
    assert set(found) == set(expected)
    for stride, part in expected.items():
        torch.testing.assert_close(found[stride], part[0], rtol=2e-3, atol=2e-3)


def test_maps_are_those_of_each_frame_and_know_where_the_picture_lies(
    backbone: Backbone, samples: list[Sample], cache: FeatureCache
) -> None:
    found = maps_of(backbone, samples, BOX, cache=cache)
    assert found.kept.tolist() == [0, 1, 4]
    assert [problem.file for problem in found.problems] == [samples[2].uri, samples[3].uri]
    for entry, index in enumerate(found.kept.tolist()):
        maps, placement = found[entry]
        assert placement == read_framed(samples[index].uri, BOX)[1]
        _maps_equal(maps, plain(backbone, samples[index], BOX).maps)


def test_maps_are_seen_once(backbone: Backbone, samples: list[Sample], cache: FeatureCache) -> None:
    seen, good, counts = Counted(), [samples[0], samples[4]], []
    seen.watch(backbone)
    first = maps_of(backbone, good, BOX, cache=cache)
    again = maps_of(backbone, good, BOX, cache=cache, progress=counts.append)
    _same(first[1][0], again[1][0])
    assert sum(seen) == 2
    assert sum(counts) == 2


def test_maps_that_had_to_go_are_computed_again(
    backbone: Backbone, samples: list[Sample], tmp_path: Path
) -> None:
    small = FeatureCache(tmp_path / "small", max_bytes=25_000)  # room for one picture
    whole = FeatureCache(tmp_path / "whole", max_bytes=1 << 24)
    good = [samples[0], samples[1], samples[4]]
    few, all_kept = (maps_of(backbone, good, BOX, cache=each) for each in (small, whole))
    used = sum(path.stat().st_size for path in small.folder.rglob("*.tensors"))
    assert 0 < used <= 25_000
    for index in range(3):
        for stride, part in all_kept[index][0].items():
            torch.testing.assert_close(few[index][0][stride], part, rtol=2e-3, atol=2e-3)
        assert few[index][1] == all_kept[index][1]


def _same(first: dict[int, Tensor], second: dict[int, Tensor]) -> None:
    assert all(torch.equal(part, second[stride]) for stride, part in first.items())


def test_maps_are_of_the_image_that_read_image_gives(
    backbone: Backbone, samples: Sequence[Sample], cache: FeatureCache
) -> None:
    """A picture of the frame's own size is seen as it is."""
    image = read_image(samples[0].uri)
    framing = Framing(image.shape[:2], "letterbox")  # type: ignore[arg-type]
    maps, _ = maps_of(backbone, [samples[0]], framing, cache=cache)[0]
    pixels = torch.from_numpy(np.moveaxis(image, 2, 0).copy())[None].float() / 255
    with torch.no_grad():
        _maps_equal(maps, backbone.eval()(pixels).maps)
