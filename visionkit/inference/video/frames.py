"""Frames of a video as heads see them, and what was said of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from av.video.frame import VideoFrame

from visionkit.data.framing import Framing, Placement
from visionkit.inference.prediction import Prediction
from visionkit.inference.video.loss import Lost
from visionkit.inference.video.scaling import Scaler, framed, upright_image, upright_size
from visionkit.types import Image


@dataclass(eq=False)
class Frame:
    """A frame of a video; its pixels are made when they are first asked for, and kept.

    Attributes:
        index: among the frames of the video, from 0, those that were passed over included.
        time: seconds from the video's start, by the time stamps of the file.
        decoded: as it came from the decoder, not yet turned upright.
        change: from the frame before, as of `Changes`; None where it is not measured.
        lost: what of the video could not be read up to it.
    """

    index: int
    time: float
    decoded: VideoFrame
    change: float | None = None
    lost: Lost = field(default_factory=Lost)
    _image: Image | None = field(default=None, repr=False)
    _framed: dict[Framing, tuple[Image, Placement]] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, upright."""
        return upright_size(self.decoded)

    @property
    def image(self) -> Image:
        """(H, W, 3) uint8 RGB, upright, all its pixels."""
        if self._image is None:
            self._image = upright_image(self.decoded, Scaler())
        return self._image

    def framed(self, framing: Framing) -> tuple[Image, Placement]:
        """(height, width, 3) uint8 RGB as a head sees it, and where the frame lies in that."""
        if framing not in self._framed:
            self._framed[framing] = framed(self.decoded, framing, Scaler())
        return self._framed[framing]

    def prepare(self, scalers: Mapping[Framing | None, Scaler]) -> Frame:
        """This frame, with what will be asked of it made already.

        Args:
            scalers: one for each framing, and for None where `image` will be asked for. They are
                quicker than new ones, and used by one thread at a time.
        """
        for framing, scaler in scalers.items():
            if framing is None:
                self._image = upright_image(self.decoded, scaler)
            else:
                self._framed[framing] = framed(self.decoded, framing, scaler)
        return self


@dataclass(frozen=True)
class FramePrediction:
    """What was said of a frame of a video.

    Attributes:
        video: path or address of the video.
        index: of the frame among the video's frames, from 0.
        time: seconds from the video's start.
        size: height and width of the upright frame in pixels.
        prediction: of all heads that were asked; boxes in pixels of the upright frame.
        change: of the picture from the frame looked at before, as of `Changes`; None where it is
            not known.
    """

    video: str
    index: int
    time: float
    size: tuple[int, int]
    prediction: Prediction
    change: float | None = None
