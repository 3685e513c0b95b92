"""Videos of which every frame says its number: what is read, at which times, and what is said."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image as PillowImage

from tests.clips import number_of, numbered_image, write_clip
from tests.worlds import photo
from visionkit.data.framing import Framing, frame, resized
from visionkit.data.problems import Problem
from visionkit.inference.video.frames import Frame
from visionkit.inference.video.opening import VideoError, find_videos
from visionkit.inference.video.reader import Place, Reading, read_frames
from visionkit.inference.video.sampling import (
    Every,
    KeyFrames,
    Rate,
    Sampling,
    may_skip_unreferenced,
)

UNEVEN = [0.0, 0.1, 0.5, 0.55, 2.0, 2.1, 4.0, 4.04, 4.5, 7.25]


def numbers(source: Path | str, **reading: Any) -> list[int]:
    """The numbers that the frames show, each of which must be its index."""
    found = []
    for each in read_frames(source, Reading(**reading)):
        assert number_of(each.image) == each.index
        found.append(each.index)
    return found


# Times, turns and formats.


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.mp4", {}),
        ("plain.mkv", {}),
        ("plain.ts", {}),
        ("fragmented.mp4", {"options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("other.avi", {"codec": "mpeg4"}),
        ("moving.gif", {"codec": "gif", "pixel_format": "rgb8"}),
        ("full_colour.mp4", {"pixel_format": "yuv444p"}),
        ("full_range.avi", {"codec": "mjpeg", "pixel_format": "yuvj422p"}),
        ("ten_bits.mkv", {"codec": "ffv1", "pixel_format": "yuv422p10le"}),
        ("alpha.mov", {"codec": "png", "pixel_format": "rgba"}),
    ],
)
def test_all_frames_of_every_format_have_index_and_time(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    path = write_clip(tmp_path / name, 24, **options)
    problems: list[Problem] = []
    frames = list(read_frames(path, problems=problems))
    assert [each.index for each in frames] == list(range(24))
    assert [number_of(each.image) for each in frames] == list(range(24))
    assert [each.time for each in frames] == pytest.approx(np.arange(24) / 10, abs=0.011)
    assert problems == []
    assert numbers(path, start=1.5) == list(range(15, 24))
    assert numbers(path, after=Place(16, frames[16].time)) == list(range(17, 24))


def test_times_of_a_variable_frame_rate_are_those_of_the_file(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "uneven.mp4", len(UNEVEN), times=UNEVEN)
    frames = list(read_frames(path))
    assert [each.time for each in frames] == pytest.approx(UNEVEN, abs=1e-3)
    assert numbers(path, start=0.5, end=4.04) == [2, 3, 4, 5, 6]
    # Nearest to 0, 1, 2 ... 7 s: of 0.55 and 2.0 the former is nearer to 1.
    assert numbers(path, sampling=Rate(1)) == [0, 3, 4, 5, 6, 8, 9]


@pytest.mark.parametrize("rotation", [90, -90, 180])
@pytest.mark.parametrize("fit", ["letterbox", "crop"])
def test_turned_videos_stand_upright(rotation: int, fit: Any, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "turned.mp4", 5, rotation=rotation)
    for each in read_frames(path):
        assert each.size == (96, 128)
        assert number_of(each.image) == each.index
        if fit == "letterbox":
            small, placement = each.framed(Framing((64, 64), fit))
            assert placement.inner == (48, 64)
            assert number_of(small[:48]) == each.index


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    clear = np.zeros((32, 32, 4), np.uint8)
    PillowImage.fromarray(clear).save(tmp_path / "0.png")
    (only,) = read_frames(tmp_path / "%d.png")
    assert only.image.min() == 255


def test_numbered_pictures_are_a_video(tmp_path: Path) -> None:
    for number in (7, 8, 9):
        PillowImage.fromarray(numbered_image(number)).save(tmp_path / f"shot_{number:03d}.png")
    shots = tmp_path / "shot_%03d.png"
    assert [number_of(each.image) for each in read_frames(shots)] == [7, 8, 9]
    assert find_videos(shots) == ([str(shots)], [])


def numbered_pictures(folder: Path, *numbers: int) -> Path:
    """A pattern of pictures that show their numbers."""
    for number in numbers:
        PillowImage.fromarray(numbered_image(number)).save(folder / f"{number:02d}.png")
    return folder / "%02d.png"


@pytest.mark.parametrize(
    ("there", "empty", "found", "words"),
    [
        (range(1, 21), 18, 17, "have 20 pictures by their numbers, got 17: 18.png is empty (0 byt"),
        (range(1, 21), 20, 19, "have 20 pictures by their numbers, got 19: 20.png is empty (0 byt"),
        ([*range(3, 9), *range(60, 63)], None, 6, "got 6: the one of number 9 is missing"),
    ],
)
def test_numbered_pictures_that_end_early_are_said(
    there: Sequence[int], empty: int | None, found: int, words: str, tmp_path: Path
) -> None:
    shots = numbered_pictures(tmp_path, *there)
    (tmp_path / "019.png").write_bytes(b"")  # nothing that %02d means
    if empty is not None:
        (tmp_path / f"{empty}.png").write_bytes(b"")
    problems: list[Problem] = []
    seen = [number_of(each.image) for each in read_frames(shots, problems=problems)]
    assert seen == list(there[:found])
    (problem,) = problems
    assert (problem.file, problem.level) == (str(shots), "error")
    assert words in problem.reason


@pytest.mark.parametrize(("end", "is_said"), [(0.2, False), (0.32, False), (0.36, True)])
def test_of_numbered_pictures_those_that_are_asked_for_are_missed(
    end: float, is_said: bool, tmp_path: Path
) -> None:
    shots = numbered_pictures(tmp_path, *range(20))  # 25 a second
    (tmp_path / "08.png").write_bytes(b"")
    problems: list[Problem] = []
    found = list(read_frames(shots, Reading(end=end), problems=problems))
    assert (len(found), bool(problems)) == (min(round(25 * end), 8), is_said)


def test_numbered_pictures_of_which_the_first_is_empty(tmp_path: Path) -> None:
    shots = numbered_pictures(tmp_path, 10, 11)
    (tmp_path / "09.png").write_bytes(b"")
    with pytest.raises(VideoError, match=r"it has no frames: 09.png is empty \(0 bytes\)"):
        list(read_frames(shots))


@pytest.mark.parametrize("fit", ["letterbox", "crop"])
@pytest.mark.parametrize("size", [(48, 48), (40, 100), (192, 256)])
def test_frames_are_framed_as_pictures_are(fit: Any, size: tuple[int, int], clip: Path) -> None:
    framing = Framing(size, fit)
    each = next(read_frames(clip, Reading(framings=frozenset([framing]))))
    framed, placement = each.framed(framing)
    expected, where = frame(each.image, framing)
    assert framed.shape == expected.shape
    assert framed.flags.c_contiguous
    assert np.abs(framed.astype(int) - expected).mean() < 6
    for name, value in dataclasses.asdict(placement).items():
        assert value == pytest.approx(getattr(where, name), rel=0.03, abs=1.01)


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
@pytest.mark.parametrize("colours", [None, "ITU709", "BT2020"])
@pytest.mark.parametrize("kind", ["yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "gray"])
def test_small_frames_have_the_colours_of_whole_ones(
    kind: str, colours: str | None, size: tuple[int, int]
) -> None:
    picture = frame(photo(3, 96, 128), Framing((96, 128), "stretch"))[0]
    encoded = VideoFrame.from_ndarray(picture, format="rgb24").reformat(
        format=kind, dst_colorspace=colours
    )
    seen = Frame(0, 0.0, encoded)
    small, _ = seen.framed(Framing(size, "stretch"))
    away = small.astype(float) - resized(seen.image, size)
    # Rounding in two places; another matrix or range of colours would be 4 and more away.
    assert np.abs(away.mean((0, 1))).max() < 2
    assert np.abs(away).mean() < 2.5


# Which frames are taken.


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Every(7), [0, 7, 14, 21, 28]),
        (Rate(2), [0, 5, 10, 15, 20, 25]),
        (Rate(100), list(range(30))),
        (KeyFrames(), [0, 10, 20]),
    ],
)
def test_samples_of_a_clip(sampling: Sampling, expected: list[int], clip: Path) -> None:
    assert numbers(clip, sampling=sampling) == expected
    # Wherever reading begins, the same frames are taken.
    for start in (0.4, 1.0, 1.23):
        later = [index for index in expected if index / 10 >= start]
        assert numbers(clip, sampling=sampling, start=start) == later
    for index in expected:
        after = Place(index, index / 10)
        assert numbers(clip, sampling=sampling, after=after) == [n for n in expected if n > index]


def test_a_slow_rate_takes_frames_that_others_refer_to(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "long.mp4", 100, rate=20, key_every=50)
    assert may_skip_unreferenced(Rate(1), 20)
    assert not may_skip_unreferenced(Rate(5), 20)
    assert not may_skip_unreferenced(Every(20), 20)
    taken = list(read_frames(path, Reading(Rate(1))))
    assert len(taken) == 5
    for second, each in enumerate(taken):
        assert abs(each.time - second) <= 2 / 20 + 1e-6, "two frames away at most"
        assert number_of(each.image) == each.index == round(each.time * 20)


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        ({"start": 3.0, "end": 2.0}, "start before end, got 3.0 and 2.0"),
        ({"start": -1.0}, "from 0 up"),
        ({"start": 1.0, "end": 1.0}, "start before end"),
    ],
)
def test_a_start_behind_the_end(reading: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Reading(**reading)


# Damage.


def read_all(path: Path) -> tuple[list[int], list[Problem]]:
    problems: list[Problem] = []
    return [each.index for each in read_frames(path, problems=problems)], problems


def test_what_is_left_of_a_cut_video_is_used_and_the_loss_said(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", 60, options={"movflags": "faststart"})
    content = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) * 2 // 3])
    found, problems = read_all(cut)
    assert 10 < len(found) < 50
    assert found == list(range(len(found)))
    assert problems[0].file == str(cut)
    assert "must have 60 frames" in problems[0].reason
    assert problems[0].level == "error"


def test_a_cut_video_without_an_index_of_all_frames(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", 200)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    found, problems = read_all(cut)
    assert 50 < len(found) < 150
    assert "must have 20.0 s" in problems[0].reason


def test_damage_in_the_middle_is_said_and_the_rest_is_used(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "damaged.mp4", 60)
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 600] = b"\xff" * 600
    path.write_bytes(content)
    found, problems = read_all(path)
    assert len(found) >= 40
    assert found[-1] == 59, "indices count what was lost, too"
    assert any("damaged" in problem.reason for problem in problems)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"no video at all, but text\n" * 50, "can't be read as a video"),
    ],
)
def test_files_that_are_no_videos(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=message):
        list(read_frames(path))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no pictures, only audio"):
        list(read_frames(path))


def test_a_picture_is_a_video_of_one_frame_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "picture.mp4"
    PillowImage.fromarray(numbered_image(0)).save(path, format="JPEG")
    found, problems = read_all(path)
    assert found == [0]
    assert [problem.level for problem in problems] == ["warning"]


def test_a_video_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such video"):
        list(read_frames(tmp_path / "gone.mp4"))


@pytest.mark.parametrize("sampling", [Every(1), Every(7), Rate(1.0), KeyFrames()])
def test_time_stamps_that_begin_anew_go_on(tmp_path: Path, sampling: Sampling) -> None:
    # Two recordings of 15 seconds, one behind the other, as a receiver that restarts leaves them.
    recording = write_clip(tmp_path / "one.ts", 150).read_bytes()
    (tmp_path / "two.ts").write_bytes(recording * 2)
    problems: list[Problem] = []
    frames = list(read_frames(tmp_path / "two.ts", Reading(sampling), problems=problems))
    assert problems == []
    assert len({frame.index for frame in frames}) == len(frames)
    for each in frames:
        assert number_of(each.image) == each.index % 150
        assert each.time == pytest.approx(each.index / 10, abs=2e-3)
    assert frames[-1].time > 28
    middle = frames[len(frames) * 2 // 3]
    rest = read_frames(
        tmp_path / "two.ts", Reading(sampling, after=Place(middle.index, middle.time))
    )
    later = [frame.index for frame in frames if frame.index > middle.index]
    assert [frame.index for frame in rest] == later


def test_a_stream_that_stalls_is_given_up() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(VideoError, match=r"no data came for 0\.5 seconds"):
            list(read_frames(address, Reading(timeout=0.5)))
        assert time.monotonic() - began < 5


def test_malformed_files_of_the_test_data(shared_data: Path) -> None:
    folder = shared_data / "malformed" / "video"
    read = {}
    for name in ("ok_60_frames", "faststart_ok", "one_frame", "truncated_index_first"):
        found, problems = read_all(folder / f"{name}.mp4")
        read[name] = len(found), len(problems) > 0
    assert read["ok_60_frames"] == read["faststart_ok"] == (60, False)
    assert read["one_frame"] == (1, False)
    assert 30 <= read["truncated_index_first"][0] < 60
    assert read["truncated_index_first"][1]
    for name in ("text", "truncated_no_moov", "zero_byte"):
        with pytest.raises(VideoError, match=name):
            read_all(folder / f"{name}.mp4")
    found, problems = read_all(folder / "corrupt_middle.avi")
    assert len(found) >= 25
    assert problems
