"""A camera for tests, a process of its own: sends numbered frames to one listener, once.

python -m tests.streaming rtsp 60 end      # prints its address, then ends after 60 frames
python -m tests.streaming http 60 stall    # sends no more after them, and stays connected
"""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av

from tests.clips import numbered_image

_RATE = 10  # frames a second, by their time stamps; they are sent quicker
_PAUSE = 0.01  # seconds
_STALLED = 60.0
_CLOCK = 90_000  # of RTP
_FIRST_STAMP = 1_000_000  # at random in cameras; FFmpeg takes 0 for none
_START_CODE = re.compile(rb"\x00?\x00\x00\x01")
_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=numbers\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
    f"a=framerate:{_RATE}\r\na=control:track\r\n"
)
_ANSWERS = {
    "OPTIONS": ("Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", ""),
    "DESCRIBE": ("Content-Type: application/sdp\r\n", _SDP),
    "SETUP": ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n", ""),
    "PLAY": ("Session: 1\r\n", ""),
}


@contextmanager
def camera(protocol: str, count: int, then: str) -> Iterator[str]:
    """The address of a stream that another process sends.

    Args:
        protocol: "rtsp", or "http" for MPEG-TS.
        count: frames.
        then: "end" or "stall".
    """
    words = [sys.executable, "-m", "tests.streaming", protocol, str(count), then]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def _send_http(connection: socket.socket, count: int) -> av.container.OutputContainer:
    _request(connection)
    chunked = (
        b"Transfer-Encoding: chunked\r\n"  # without, a listener can't tell the end from a loss
    )
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n" + chunked + b"\r\n")
    options = {"flush_packets": "1"}
    container = av.open(_Chunks(connection), "w", format="mpegts", container_options=options)
    stream = container.add_stream("libx264", rate=_RATE)
    _describe(stream.codec_context)
    for frame in _frames(count):
        container.mux(stream.encode(frame))
    return container


class _Chunks:
    """A file whose content is sent as HTTP sends what it doesn't know the length of."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes) -> int:
        self._connection.sendall(b"%x\r\n" % len(data) + data + b"\r\n")
        return len(data)

    def close(self) -> None:
        self._connection.sendall(b"0\r\n\r\n")


def _send_rtsp(connection: socket.socket, count: int) -> None:
    method = ""
    while method != "PLAY":
        words = _request(connection)
        method = words.split()[0]
        sequence = re.search(r"CSeq: *(\d+)", words)
        head, body = _ANSWERS[method]
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        answer = (
            f"RTSP/1.0 200 OK\r\nCSeq: {sequence[1] if sequence else 0}\r\n{head}{length}\r\n{body}"
        )
        connection.sendall(answer.encode())
    context = av.CodecContext.create("libx264", "w")
    _describe(context)
    context.time_base = Fraction(1, _RATE)
    sent = 0
    for number, frame in enumerate(_frames(count)):
        for packet in context.encode(frame):
            units = [unit for unit in _START_CODE.split(bytes(packet)) if unit]
            for place, unit in enumerate(units):
                last = 0x80 if place == len(units) - 1 else 0
                stamp = _FIRST_STAMP + number * _CLOCK // _RATE
                header = struct.pack(">BBHII", 0x80, 96 | last, sent & 0xFFFF, stamp, 1)
                data = header + unit
                connection.sendall(struct.pack(">cBH", b"$", 0, len(data)) + data)
                sent += 1


def _describe(context: av.VideoCodecContext) -> None:
    context.width, context.height, context.pix_fmt = 128, 96, "yuv420p"
    context.gop_size = _RATE
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "18"}


def _frames(count: int) -> Iterator[av.VideoFrame]:
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(numbered_image(number), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, _RATE)
        yield frame
        time.sleep(_PAUSE)


def _request(connection: socket.socket) -> str:
    """The lines of a request, up to the empty one."""
    read = b""
    while not read.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            break
        read += byte
    return read.decode()


def main() -> None:
    protocol, count, then = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(f"{protocol}://127.0.0.1:{server.getsockname()[1]}/live", flush=True)
        connection, _ = server.accept()
    with connection:
        kept = (_send_http if protocol == "http" else _send_rtsp)(connection, count)
        if then == "stall":
            time.sleep(_STALLED)
        if kept is not None:
            kept.close()


if __name__ == "__main__":
    main()
