from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.worlds import classification_part, photo, whole_backbone
from visionkit.files import atomic_folder
from visionkit.inference import converted as module
from visionkit.inference.converted import NAME, Converted, cache_folder, can_be_converted, converted
from visionkit.inference.engines.choice import is_installed
from visionkit.inference.predictor import Predictor

pytestmark = pytest.mark.skipif(
    not is_installed("openvino"), reason="needs the extra: pip install 'visionkit[openvino]'"
)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """Run by torch; not to be changed."""
    return Predictor(whole_backbone(), None, classification_part())


@pytest.fixture(scope="module")
def kept(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the network; not to be changed."""
    cache = tmp_path_factory.mktemp("kept")
    assert converted(predictor, cache).is_new
    return cache


@pytest.fixture
def cache(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "cache"))


def file_in(cache: Path, suffix: str) -> Path:
    (found,) = cache.glob(f"engines/*/{NAME}/*{suffix}")
    return found


def test_a_network_is_converted_once_and_answers_as_torch(
    predictor: Predictor, cache: Path
) -> None:
    before = file_in(cache, ".bin").stat().st_mtime_ns
    found = converted(predictor, cache)
    assert (found.is_new, found.started.name) == (False, NAME)
    assert file_in(cache, ".bin").stat().st_mtime_ns == before
    other = Predictor(whole_backbone(), None, classification_part())
    assert can_be_converted(other)
    other.take(found.started)
    assert not can_be_converted(other)
    pictures = [photo(seed) for seed in range(3)]
    for mine, its in zip(predictor.predict(pictures), other.predict(pictures), strict=True):
        assert mine.classification is not None
        assert its.classification is not None
        assert mine.classification.confidence is not None
        assert its.classification.confidence is not None
        np.testing.assert_allclose(
            mine.classification.confidence, its.classification.confidence, atol=1e-3
        )


def test_other_weights_are_converted_anew(cache: Path) -> None:
    part = classification_part()
    part.head.weight.data.neg_()
    assert converted(Predictor(whole_backbone(), None, part), cache).is_new
    assert len(list(cache.glob(f"engines/*/{NAME}"))) == 2


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_what_is_damaged_is_made_again(predictor: Predictor, cache: Path, damage: str) -> None:
    weights = file_in(cache, ".bin")
    content = weights.read_bytes()
    if damage == "gone":
        file_in(cache, ".xml").unlink()
    elif damage == "cut":
        weights.write_bytes(content[: len(content) // 2])
    else:  # of the same length, so that only answers tell
        noise = np.random.default_rng(0).normal(size=len(content) // 4).astype(np.float32)
        weights.write_bytes(noise.tobytes() + content[len(content) // 4 * 4 :])
    assert converted(predictor, cache).is_new
    assert file_in(cache, ".bin").read_bytes() == content
    assert not converted(predictor, cache).is_new


def test_what_answers_unlike_torch_is_refused(
    predictor: Predictor, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "visionkit.inference.agreement.Distances.beyond", lambda *_: {"confidence": 0.25}
    )
    with pytest.raises(ValueError, match=r"beyond the tolerance of fp32: confidence 0\.25"):
        converted(predictor, cache)


def test_what_another_process_made_meanwhile_is_used(
    predictor: Predictor, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw that there was none; the other is done first."""
    cache = tmp_path / "cache"
    inode = 0

    def slow(graphs: object, engine: str, precision: str, made: Path, **_: object) -> None:
        nonlocal inode
        (made / "heads.xml").write_bytes(b"mine")
        theirs = file_in(kept, ".xml").parent
        with atomic_folder(cache / theirs.relative_to(kept)) as folder:
            shutil.copytree(theirs, folder, dirs_exist_ok=True)
        inode = file_in(cache, ".bin").stat().st_ino

    monkeypatch.setattr(module, "write_graphs", slow)
    found: Converted = converted(predictor, cache)
    assert found.started.network is not None
    assert file_in(cache, ".bin").stat().st_ino == inode
    assert [path.name for path in file_in(cache, ".bin").parents[1].iterdir()] == [NAME]


def test_the_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.CACHE_VARIABLE, str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv(module.CACHE_VARIABLE)
    assert cache_folder().is_absolute()
