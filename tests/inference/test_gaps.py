"""Stretches in the middle of a video of which nothing is left."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from tests.clips import write_clip
from visionkit.data.problems import Problem
from visionkit.inference.video.reader import Place, Reading, read_frames
from visionkit.inference.video.sampling import KeyFrames, Rate

SAID = "the whole video must be decodable, got stretches where nothing could be decoded"
PAUSED = [number / 10 + (7.0 if number > 25 else 0.0) for number in range(60)]
"""Seconds of frames that come ten a second, but for a pause of 7.1 seconds."""


def destroyed(
    path: Path, first: int, last: int, fill: Callable[[int], bytes] = bytes, **own: Any
) -> Path:
    """A Matroska file of 100 frames, ten a second, without the bytes from one frame to another.

    Args:
        path: of the file.
        first, last: frames in the order of the file, between which all is destroyed.
        fill: what stands there instead.
        own: as of `write_clip`.
    """
    options = {"cluster_time_limit": "1000"} | own.pop("options", {})
    write_clip(path, 100, options=options, **({"b_frames": 0} | own))
    with av.open(str(path)) as container:
        packets = [(each.pos, each.size) for each in container.demux(video=0) if each.size]
    # Frames have four bytes in front of them: track, time and flags.
    place, end = packets[first][0] + 4 + packets[first][1], packets[last][0]
    content = bytearray(path.read_bytes())
    content[place:end] = fill(end - place)
    path.write_bytes(content)
    return path


def read_all(path: Path, **reading: Any) -> tuple[list[float], list[Problem]]:
    problems: list[Problem] = []
    frames = read_frames(path, Reading(**reading), problems=problems)
    return [frame.time for frame in frames], problems


def gaps_of(problems: list[Problem]) -> list[tuple[str, str]]:
    found = [each for each in problems if each.reason.startswith(SAID)]
    return [(each.level, each.reason.removeprefix(SAID).split(";")[0]) for each in found]


@pytest.mark.parametrize(
    "fill",
    [bytes, lambda count: b"\xff" * count, random.Random(0).randbytes],
    ids=["zeros", "ones", "anything"],
)
@pytest.mark.parametrize(
    "own",
    [
        {},
        {"b_frames": 2},
        {"options": {"live": "1"}},
        {"codec": "mpeg4"},
        {"codec": "libvpx", "options": {"reserve_index_space": "5000"}},
    ],
    ids=["usual", "both_ways", "live", "mpeg4", "vp8"],
)
def test_a_destroyed_stretch_of_a_matroska_file_is_said(
    fill: Callable[[int], bytes], own: dict[str, Any], tmp_path: Path
) -> None:
    times, problems = read_all(destroyed(tmp_path / "damaged.mkv", 32, 58, fill, **own))
    # The demuxer goes on with the next cluster, whichever that is: the times tell.
    since = 3.3 if own.get("b_frames") else 3.2  # 33 stands before 31 and 32
    until = min(time for time in times if time > since)
    assert 5.8 <= until <= 7.2
    assert max(b - a for a, b in pairwise(times)) >= until - since
    said = f": 1, {until - since:.2f} s in all, the first between {since:.2f} s and {until:.2f} s"
    assert gaps_of(problems) == [("error", said)]


def test_two_destroyed_stretches_are_counted(tmp_path: Path) -> None:
    path = destroyed(tmp_path / "damaged.mkv", 12, 18)
    later = destroyed(tmp_path / "later.mkv", 52, 58).read_bytes()
    half = len(later) // 3
    path.write_bytes(path.read_bytes()[:half] + later[half:])
    times, problems = read_all(path)
    gaps = [(a, b) for a, b in pairwise(times) if b - a > 0.15]
    assert len(gaps) == 2
    lost = sum(b - a for a, b in gaps)
    since, until = gaps[0]
    said = f": 2, {lost:.2f} s in all, the first between {since:.2f} s and {until:.2f} s"
    assert gaps_of(problems) == [("error", said)]


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        ({"end": 2.0}, []),
        ({"start": 8.0}, []),
        ({"start": 5.0}, [(5.0, None)]),
        ({"end": 5.0}, [(None, 5.0)]),
        ({"start": 4.5, "end": 5.0}, [(4.5, 5.0)]),
        ({"sampling": KeyFrames()}, [(None, None)]),
        ({"sampling": Rate(1.0)}, [(None, None)]),
    ],
    ids=["before", "behind", "from_within", "into", "within", "key_frames", "rate"],
)
def test_only_what_was_to_be_read_is_missed(
    reading: dict[str, Any], said: list[tuple[float | None, float | None]], tmp_path: Path
) -> None:
    path = destroyed(tmp_path / "damaged.mkv", 32, 58)
    ((since, until),) = [(a, b) for a, b in pairwise(read_all(path)[0]) if b - a > 0.5]
    expected = []
    for first, last in said:
        first, last = first or since, last or until
        words = f": 1, {last - first:.2f} s in all, the first between {first:.2f} s and {last:.2f}"
        expected.append(("error", f"{words} s"))
    assert gaps_of(read_all(path, **reading)[1]) == expected


@pytest.mark.parametrize("threads", [1, 3])
def test_whoever_goes_on_within_a_damaged_video_misses_the_same(
    threads: int, tmp_path: Path
) -> None:
    path = destroyed(tmp_path / "damaged.mkv", 32, 58)
    whole: list[Problem] = []
    frames = list(read_frames(path, Reading(threads=threads), problems=whole))
    assert len(gaps_of(whole)) == 1
    for frame in frames[20:50:5]:
        after = Place(frame.index, frame.time, frame.lost)
        rest: list[Problem] = []
        list(read_frames(path, Reading(after=after, threads=threads), problems=rest))
        assert rest == whole


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("paused.mkv", {}),
        ("paused.mp4", {}),
        ("live.mkv", {"options": {"live": "1"}}),
        ("index_in_front.mkv", {"options": {"reserve_index_space": "5000"}}),
        ("one_cluster.mkv", {"options": {"cluster_time_limit": "30000"}}),
        ("without_checksums.mkv", {"options": {"write_crc32": "0"}}),
        ("paused.webm", {"codec": "libvpx-vp9"}),
        ("see_through.webm", {"codec": "libvpx-vp9", "pixel_format": "yuva420p"}),
    ],
)
def test_a_pause_is_no_gap(name: str, own: dict[str, Any], tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, 60, times=PAUSED, **own)
    times, problems = read_all(path)
    assert times == pytest.approx(PAUSED, abs=1e-3)
    assert problems == []


def test_a_pause_with_sound_is_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with (
        av.open(str(write_clip(tmp_path / "silent.mp4", 60, times=PAUSED, b_frames=0))) as silent,
        av.open(str(path), "w", options={"cluster_time_limit": "1000"}) as container,
    ):
        pictures = container.add_stream_from_template(silent.streams.video[0])
        sound = container.add_stream("aac", rate=8000, layout="mono")
        packets = [packet for packet in silent.demux(video=0) if packet.size]
        for number in range(103):  # 13 seconds
            heard = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            heard.planes[0].update(bytes(heard.planes[0].buffer_size))
            heard.sample_rate, heard.pts = 8000, number * 1024
            while packets and float(packets[0].dts * packets[0].time_base) <= number * 0.128:
                packet = packets.pop(0)
                packet.stream = pictures
                container.mux(packet)
            container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
    times, problems = read_all(path)
    assert len(times) == 60
    assert max(b - a for a, b in pairwise(times)) == pytest.approx(7.1, abs=1e-2)
    assert problems == []
