from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import supervision as sv
from numpy.typing import NDArray

from visionkit.inference.prediction import Prediction
from visionkit.inference.video.annotate import annotate
from visionkit.inference.video.frames import FramePrediction
from visionkit.inference.video.stills import read_stills

CLIP = Path("../shared/data/video/car-detection.mp4")


def make_video(
    path: Path,
    stamps: list[int],
    *,
    size: tuple[int, int] = (64, 96),
    tick: Fraction = Fraction(1, 600),
    codec: str = "mpeg4",
    sound: str | None = None,
    key_frames: int = 12,
) -> Path:
    """A video of grey frames, frame n of brightness 20 + 5 n, with those time stamps in ticks."""
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=25)
        video.height, video.width = size
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = tick
        video.codec_context.gop_size = key_frames
        tone = output.add_stream(sound, rate=48000) if sound else None
        for number, stamp in enumerate(stamps):
            picture = np.full((*size, 3), 20 + 5 * (number % 40), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = stamp, tick
            output.mux(video.encode(frame))
        output.mux(video.encode())
        if tone is not None:
            samples = np.sin(np.arange(48000) / 20).astype(np.float32)[None]
            for start in range(0, 48000, 1024):
                piece = av.AudioFrame.from_ndarray(
                    samples[:, start : start + 1024], format="fltp", layout="mono"
                )
                piece.sample_rate, piece.pts = 48000, start
                piece.time_base = Fraction(1, 48000)
                for converted in resampled(tone, piece):
                    output.mux(tone.encode(converted))
            output.mux(tone.encode())
    return path


def resampled(tone: object, piece: object) -> list[object]:
    context = tone.codec_context  # type: ignore[attr-defined]
    resampler = av.AudioResampler(format=context.format, layout="mono", rate=48000)
    return list(resampler.resample(piece))


def decoded(path: Path) -> tuple[list[Fraction], list[NDArray[np.uint8]]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return (
            [frame.pts * frame.time_base for frame in frames],
            [frame.to_ndarray(format="rgb24") for frame in frames],
        )


def sound_of(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(audio=0)
            if packet.size
        ]


def found(index: int, time: float, box: tuple[float, float, float, float]) -> FramePrediction:
    detections = sv.Detections(
        xyxy=np.array([box], np.float32),
        class_id=np.array([2]),
        confidence=np.array([0.9], np.float32),
        data={"class_name": np.array(["cola"])},
    )
    return FramePrediction("v", index, time, (64, 96), Prediction(exemplar=detections))


def has_colour(picture: NDArray[np.uint8]) -> bool:
    """Whether anything is drawn into a grey picture."""
    return bool((np.ptp(picture.astype(int), axis=2) > 40).any())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_all_frames_come_back_at_their_times_with_the_finds_on_theirs(
    tmp_path: Path, suffix: str
) -> None:
    tick = Fraction(1, 25) if suffix == ".avi" else Fraction(1, 1000)
    step = 1 if suffix == ".avi" else 40
    video = make_video(tmp_path / f"v{suffix}", [step * each for each in range(30)], tick=tick)
    answers = [found(index, index / 25, (10, 20, 60, 50)) for index in (3, 4, 20)]
    result = annotate(video, answers, tmp_path / "out.mp4", held_seconds=0, threads=1)
    assert (result.path, result.frames, result.left_out) == (tmp_path / "out.mp4", 30, 0)
    times, pictures = decoded(result.path)
    assert times == decoded(video)[0]
    assert [n for n, picture in enumerate(pictures) if has_colour(picture)] == [3, 4, 20]
    greys = [picture.mean() for picture in decoded(video)[1]]
    np.testing.assert_allclose(
        [picture[:8].mean() for n, picture in enumerate(pictures) if n not in (3, 4, 20)],
        [grey for n, grey in enumerate(greys) if n not in (3, 4, 20)],
        atol=3,
    )
    assert list(tmp_path.glob(".*")) == []


def test_uneven_time_stamps_stay_to_the_tick(tmp_path: Path) -> None:
    stamps = [0, 20, 45, 46, 200, 201, 203, 900]
    video = make_video(tmp_path / "v.mp4", stamps)
    result = annotate(video, [], tmp_path / "out.mp4", threads=1)
    times, _ = decoded(result.path)
    assert times == [Fraction(stamp, 600) for stamp in stamps] == decoded(video)[0]


@pytest.mark.parametrize("sound", ["aac", "mp3", "flac"])
def test_sound_is_copied_packet_by_packet(tmp_path: Path, sound: str) -> None:
    suffix = ".mkv" if sound == "flac" else ".mp4"
    stamps = [24 * each for each in range(25)]
    codec = "libmp3lame" if sound == "mp3" else sound
    video = make_video(tmp_path / f"v{suffix}", stamps, sound=codec)
    result = annotate(video, [], tmp_path / "out.mp4", threads=1)
    before, after = sound_of(video), sound_of(result.path)
    assert len(before) > 10
    assert [data for _, data in after] == [data for _, data in before]
    gaps = [abs(float(one - other)) for (one, _), (other, _) in zip(before, after, strict=True)]
    assert max(gaps) < 0.001  # Matroska counts milliseconds


def test_sound_that_mp4_does_not_take_makes_it_matroska(tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mkv", [24 * each for each in range(25)], sound="tta")
    result = annotate(video, [], tmp_path / "out.mp4", threads=1)
    assert result.path == tmp_path / "out.mkv"
    assert [data for _, data in sound_of(result.path)] == [data for _, data in sound_of(video)]


def test_a_frame_that_was_not_looked_at_shows_the_last_prediction_for_a_while(
    tmp_path: Path,
) -> None:
    video = make_video(tmp_path / "v.mp4", [60 * each for each in range(12)])  # 10 a second
    answers = [found(2, 0.2, (10, 20, 60, 50)), found(8, 0.8, (10, 20, 60, 50))]
    result = annotate(video, answers, tmp_path / "out.mp4", held_seconds=0.3, threads=1)
    drawn = [n for n, picture in enumerate(decoded(result.path)[1]) if has_colour(picture)]
    assert drawn == [2, 3, 4, 5, 8, 9, 10, 11]


def test_odd_sizes_gain_a_pixel_of_their_edge(tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mkv", [0, 24, 48], size=(63, 95), codec="ffv1")
    _, pictures = decoded(annotate(video, [], tmp_path / "out.mp4", threads=1).path)
    assert [picture.shape for picture in pictures] == [(64, 96, 3)] * 3
    np.testing.assert_allclose(pictures[2].mean(), 30, atol=2)


def test_a_turned_video_is_written_upright(tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mp4", [0, 24, 48])
    turned = bytearray(video.read_bytes())
    # The matrix of the track header: a, b, u, c, d, v of 16.16 (u, v: 2.30) fixed point numbers.
    one, place = (1 << 16).to_bytes(4, "big"), turned.index(b"tkhd") + 4 + 40
    zero, minus = bytes(4), (-(1 << 16)).to_bytes(4, "big", signed=True)
    turned[place : place + 24] = zero + one + zero + minus + zero + zero
    (tmp_path / "turned.mp4").write_bytes(turned)
    result = annotate(tmp_path / "turned.mp4", [], tmp_path / "out.mp4", threads=1)
    with av.open(str(result.path)) as container:
        frame = next(container.decode(video=0))
        assert (frame.height, frame.width, frame.rotation) == (96, 64, 0)


def test_an_empty_file_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").touch()
    with pytest.raises(ValueError, match="empty"):
        annotate(tmp_path / "v.mp4", [], tmp_path / "out" / "out.mp4")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not CLIP.exists(), reason="needs ../shared/data/video")
def test_a_real_clip_keeps_its_times_and_looks(tmp_path: Path) -> None:
    result = annotate(CLIP, [], tmp_path / "out.mp4", threads=1)
    assert result.frames == 377
    times, pictures = decoded(result.path)
    before, originals = decoded(CLIP)
    assert times == before
    differences = [np.abs(pictures[n].astype(int) - originals[n]).mean() for n in range(0, 377, 40)]
    assert max(differences) < 4


def test_stills_are_the_frames_shown_at_their_times(tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mp4", [24 * each for each in range(1000)])  # 40 s
    times = [0.0, 0.05, 0.4, 30.0, 30.02]
    stills = list(read_stills(str(video), times))
    assert [time for time, _ in stills] == times
    numbers = [round((still.mean() - 20) / 5) for _, still in stills]
    assert numbers == [0, 1, 10, 750 % 40, 750 % 40]
    assert next(iter(read_stills(str(video), [39.99, 90.0])))[0] == 39.99
    assert list(read_stills(str(tmp_path / "gone.mp4"), [0.0])) == []
    assert list(read_stills("rtsp://camera/1", [0.0])) == []
    assert list(read_stills(str(video), [])) == []


def test_sound_whose_time_stamps_begin_anew_goes_on(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "one.ts"), "w") as output:
        video, sound = output.add_stream("libx264", rate=10), output.add_stream("aac", rate=44100)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(150):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(video.encode(frame))
            still = np.zeros((2, 4410), np.float32)
            tone = av.AudioFrame.from_ndarray(still, format="fltp", layout="stereo")
            tone.sample_rate, tone.pts, tone.time_base = 44100, number * 4410, Fraction(1, 44100)
            output.mux(sound.encode(tone))
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    (tmp_path / "two.ts").write_bytes((tmp_path / "one.ts").read_bytes() * 2)
    made = annotate(tmp_path / "two.ts", [], tmp_path / "out.mp4")
    assert made.frames == 300
    with av.open(str(made.path)) as container:
        for stream in container.streams:
            assert float(stream.duration * stream.time_base) == pytest.approx(30, abs=0.2)
