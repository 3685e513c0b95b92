"""What many hours of video need: cores, days and disk, from the rates of one core.

    python benchmarks/hours.py
    python benchmarks/hours.py --hours 10000 --size 1080p --decode 205 --network 54

Rates are those of the latest row of results/video.csv of that size, where there is one and they are
not given. It is a sum and not a measurement: see docs/video.md for what it leaves out.
"""

from __future__ import annotations

import argparse
import csv
import re
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "video.csv"
MEASURED_BEFORE = (450.0, 54.0, 0.85)
"""720p, boxes at 320 pixels by OpenVINO in single precision: seconds of one core's work on a busy
machine, and the least share that benchmarks/video.py asks for."""
BYTES = 250
"""Of a row in predictions.jsonl and predictions.parquet together (236 and 13 measured)."""
_RATES = re.compile(r"decoding (\d+), network (\d+) a core")


@dataclass(frozen=True)
class Rates:
    """What one core does.

    Attributes:
        decode: frames a second that are decoded and scaled to the network's size.
        network: frames a second that the network answers.
        rows: frames a second that are written, tracked and joined.
        share: of what decoding and network alone would allow, that the whole reaches.
    """

    decode: float
    network: float
    rows: float
    share: float


def core_hours(hours: float, rates: Rates, *, frame_rate: float, looked: float) -> float:
    """Hours of one core for so many hours of video.

    Args:
        hours: of video.
        rates: of one core.
        frame_rate: frames a second that are decoded.
        looked: frames a second that the network sees.
    """
    seeing = (frame_rate / rates.decode + looked / rates.network) / rates.share
    return hours * (seeing + looked / rates.rows)


def measured(size: str, results: Path = RESULTS) -> tuple[float, float, float] | None:
    """Decoding, network and share of the latest measurement of a size; None where there is none."""
    if not results.is_file():
        return None
    with results.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["name"] == f"{size}: share of the limit"]
    found = _RATES.search(rows[-1]["note"]) if rows else None
    return (float(found[1]), float(found[2]), float(rows[-1]["figure"])) if found else None


def main() -> None:
    arguments = _arguments()
    decode, network, share = measured(arguments.size) or MEASURED_BEFORE
    rates = Rates(
        arguments.decode or decode,
        arguments.network or network,
        arguments.rows,
        arguments.share or share,
    )
    print(rates)
    ways = {
        "every frame": (arguments.frame_rate, arguments.frame_rate),
        "fps=1": (arguments.frame_rate, 1.0),
        "keyframes": (arguments.keys, arguments.keys),
    }
    for way, (decoded, looked) in ways.items():
        total = core_hours(arguments.hours, rates, frame_rate=decoded, looked=looked)
        rows = arguments.hours * 3600 * looked * arguments.finds
        print(
            f"{way:12s} {total:10,.0f} core hours: {total / arguments.cores / 24:6.1f} days on "
            f"{arguments.cores} cores; {rows * BYTES / 1e12:7.2f} TB of rows"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=float, default=1e6, help="of video")
    parser.add_argument("--size", default="720p", help="whose rates are taken from the results")
    parser.add_argument("--decode", type=float, help="frames a second of one core")
    parser.add_argument("--network", type=float, help="frames a second of one core")
    parser.add_argument("--rows", type=float, default=2000, help="frames a second of one core")
    parser.add_argument("--share", type=float, help="of the limit that the whole reaches, 0..1")
    parser.add_argument("--frame-rate", type=float, default=25, help="of the videos")
    parser.add_argument("--keys", type=float, default=0.5, help="key frames a second")
    parser.add_argument("--finds", type=float, default=1, help="in a frame, on average")
    parser.add_argument("--cores", type=int, default=1000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
