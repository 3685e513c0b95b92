"""Videos cut into pieces, and watched by several processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clips import write_clip
from tests.worlds import classification_part, localization_part, whole_backbone
from visionkit.inference.predictor import Predictor
from visionkit.inference.video.many import Asking, watch_many
from visionkit.inference.video.pieces import Seen, cut, watch
from visionkit.inference.video.reader import Place, Reading
from visionkit.inference.video.sampling import Rate


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = tmp_path_factory.mktemp("many") / "bundle"
    Predictor(
        whole_backbone(),
        classification=classification_part(size=(48, 64)),
        localization=localization_part(threshold=0.05, size=(48, 64)),
    ).save(bundle)
    return bundle


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """45 frames at 10 a second."""
    return write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", 45)


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (Reading(), [(None, 2.0), (2.0, 4.0), (4.0, None)]),
        (Reading(start=1.5), [(1.5, 2.0), (2.0, 4.0), (4.0, None)]),
        (Reading(end=3.0), [(None, 2.0), (2.0, 3.0)]),
        (Reading(start=2.5, end=3.5), [(2.5, 3.5)]),
        (Reading(after=Place(24, 2.4)), [(None, 4.0), (4.0, None)]),
    ],
)
def test_pieces_lie_side_by_side(
    clip: Path, reading: Reading, expected: list[tuple[float | None, float | None]]
) -> None:
    pieces = cut(str(clip), reading, 2)
    assert [(piece.reading.start, piece.reading.end) for piece in pieces] == expected
    assert [piece.is_last for piece in pieces] == [False] * (len(expected) - 1) + [True]
    assert [piece.reading.after for piece in pieces[1:]] == [None] * (len(expected) - 1)


@pytest.mark.parametrize("source", ["rtsp://camera/1", "gone.mp4"])
def test_what_has_no_known_length_is_one_piece(source: str) -> None:
    assert len(cut(source, Reading(), 1)) == 1


@pytest.mark.parametrize("reading", [Reading(), Reading(Rate(4.0), start=0.7)])
def test_pieces_together_say_what_the_whole_says(
    bundle: Path, clip: Path, reading: Reading
) -> None:
    predictor = Predictor.load(bundle, device="cpu")
    whole = watch(predictor, cut(str(clip), reading, 100)[0], None, batch_size=4)
    parts = [watch(predictor, piece, None, batch_size=4) for piece in cut(str(clip), reading, 1)]
    assert len(parts) > 3
    assert_same(parts, [whole])


def test_a_video_that_is_gone_is_a_problem(bundle: Path) -> None:
    seen = watch(Predictor.load(bundle, device="cpu"), cut("gone.mp4", Reading(), 1)[0], None)
    assert [problem.file for problem in seen.problems] == ["gone.mp4"]
    assert list(seen.lines) == []


def assert_same(some: list[Seen], others: list[Seen]) -> None:
    """The same frames and finds; scores but for the last digits, which batches change."""
    mine, theirs = ([line for seen in each for line in seen.lines] for each in (some, others))
    assert [line["frame"] for line in mine] == [line["frame"] for line in theirs]
    for line, other in zip(mine, theirs, strict=True):
        assert line["time"] == other["time"]
        assert len(line["finds"]) == len(other["finds"])
        for find, same in zip(line["finds"], other["finds"], strict=True):
            assert find.get("label") == same.get("label")
            assert find["score"] == pytest.approx(same["score"], abs=1e-4)
            assert find.get("box", 0) == pytest.approx(same.get("box", 0), abs=0.05)


@pytest.fixture
def ray() -> Iterator[Any]:
    """Ray on this machine, with two processes at once, ended after the test."""
    ray = pytest.importorskip("ray", reason="many processes need the extra `ray`")
    yield ray
    ray.shutdown()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_two_processes_one_of_which_is_killed_say_the_same(
    bundle: Path, clip: Path, ray: Any
) -> None:
    psutil = pytest.importorskip("psutil")
    pieces = cut(str(clip), Reading(), 0.5)
    expected = [
        watch(Predictor.load(bundle, device="cpu"), piece, None, batch_size=4) for piece in pieces
    ]
    asking = Asking(str(bundle), batch_size=4, device="cpu")
    seen = []
    for one in watch_many(pieces, asking, workers=2, address=None):
        seen.append(one)
        if len(seen) == 2:
            watchers = [
                process
                for process in psutil.Process().children(recursive=True)  # of this test alone
                if any("Watcher" in word for word in process.cmdline())
            ]
            with contextlib.suppress(psutil.NoSuchProcess):
                watchers[0].kill()
    assert [one.piece for one in seen] == pieces
    assert_same(seen, expected)
