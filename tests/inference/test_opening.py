"""Finding videos, and what they say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from visionkit.inference.video.opening import find_videos, look


def test_videos_of_a_folder_and_what_else_lies_there(tmp_path: Path) -> None:
    for name in ("b.mp4", "sub/a.MOV", "readme.txt", ".hidden.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    videos, others = find_videos(tmp_path)
    assert [Path(video).name for video in videos] == ["b.mp4", "a.MOV"]
    assert [Path(other).name for other in others] == ["readme.txt"]
    assert find_videos(str(tmp_path / "*.mp4"))[0] == [(tmp_path / "b.mp4").as_posix()]
    assert find_videos("rtsp://camera/1") == (["rtsp://camera/1"], [])


def test_no_videos(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"no videos in .* readme.txt"):
        find_videos(tmp_path)


def test_what_a_video_says_of_itself(clip: Path) -> None:
    info = look(clip)
    assert (info.size, info.seconds, info.frame_rate, info.frames) == ((96, 128), 3.0, 10.0, 30)
