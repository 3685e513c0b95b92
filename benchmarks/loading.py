"""Pictures a second of one core, loaded and augmented to 224 px, against PIL + torchvision.

    python benchmarks/loading.py --check
    python benchmarks/loading.py --only fridge --pictures 32

Ours: `visionkit.data.views.random_view`, collected in batches of uint8, which the backbone
normalises; a row says what is left where that is done on the same core, too. Theirs:
`PIL.Image.open`, torchvision v2's RandomResizedCrop (with its antialiasing),
RandomHorizontalFlip, ColorJitter, to float, Normalize. Of one strength
(tests/benchmarks/test_loading.py): shares of the picture, aspects, flips, and ranges of
brightness, contrast, saturation and hue.

CPU time of one core, files in the page cache, the two by turns, of each the fastest turn: what
else runs on the machine only ever adds. The bar is of all sets together:
so many pictures of each, all their time. What this does not show: a slow disk, several workers,
other sizes. Where files are large for their pixels (fridge: 320 KB a megapixel, quality 95), most
of the time is spent on reading the JPEG's bits, which both have to do.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from ledger import Ledger
from PIL import Image as PillowImage
from sets import EXEMPLAR, PHOTOS, SHARED
from torch import Tensor
from torchvision.transforms import v2

from visionkit.data.framing import channels_first
from visionkit.data.picture_files import find_images
from visionkit.data.views import ViewSettings, random_view

SIDE, BATCH = 224, 32
SETTINGS = ViewSettings(area=(0.25, 1.0), aspect=1 / 3, flip=0.5, light=0.4, colour=0.4)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BAR, GOAL = 3.0, 5.0

SETS = {
    "imagenet": PHOTOS,
    "hymenoptera": SHARED / "data" / "classification" / "hymenoptera" / "train",
    "bccd": SHARED / "data" / "localization" / "bccd" / "JPEGImages",
    "raccoon": SHARED / "data" / "localization" / "raccoon" / "images",
    "logos": EXEMPLAR / "flickrlogos27",
    "fridge": EXEMPLAR / "fridge",
}

Load = Callable[[Sequence[Path], int], Tensor]


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    ledger = Ledger(arguments.results)
    pictures = {name: _some(SETS[name], arguments.pictures) for name in arguments.only}
    turns = {name: _by_turns(paths, arguments.repeats) for name, paths in pictures.items()}
    for name, seconds in turns.items():
        _report(ledger, name, len(pictures[name]), seconds, barred=False)
    if len(turns) > 1:
        # Each set's fastest turn: no turn of all sets is undisturbed.
        together = sum(np.sort(seconds, axis=0) for seconds in turns.values())
        _report(ledger, "all sets", sum(map(len, pictures.values())), together, barred=True)
    return ledger.exit_status(check=arguments.check)


def ours(paths: Sequence[Path], seed: int) -> Tensor:
    """(B, 3, 224, 224) uint8, as a backbone of visionkit is given it."""
    rng = np.random.default_rng(seed)
    views = [random_view(rng, path, (SIDE, SIDE), SETTINGS) for path in paths]
    return torch.from_numpy(channels_first(views))


def normalised(paths: Sequence[Path], seed: int) -> Tensor:
    """(B, 3, 224, 224) float32, normalised as a backbone does it."""
    pixels = ours(paths, seed).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (pixels - mean) / std


def theirs(paths: Sequence[Path], seed: int) -> Tensor:
    """(B, 3, 224, 224) float32, normalised."""
    torch.manual_seed(seed)
    return torch.stack([_TRANSFORM(PillowImage.open(path).convert("RGB")) for path in paths])


_TRANSFORM = v2.Compose(
    [
        v2.RandomResizedCrop(
            SIDE, scale=SETTINGS.area, ratio=(1 / (1 + SETTINGS.aspect), 1 + SETTINGS.aspect)
        ),
        v2.RandomHorizontalFlip(SETTINGS.flip),
        # The hue is in turns there, and in quarter turns here.
        v2.ColorJitter(SETTINGS.light, SETTINGS.light, SETTINGS.colour, SETTINGS.colour / 4),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
    ]
)


LOADS: tuple[Load, ...] = (ours, normalised, theirs)


def _some(folder: Path, count: int) -> list[Path]:
    """`count` of the pictures of a folder, evenly over all of them."""
    found = find_images(folder)
    return [found[int(place)] for place in np.linspace(0, len(found) - 1, min(count, len(found)))]


def _by_turns(paths: Sequence[Path], repeats: int) -> np.ndarray:
    """(repeats, 3) seconds of CPU time for all pictures: ours, normalised, theirs."""
    for load in LOADS:
        load(paths[:8], 0)  # warm
    return np.array([[_seconds(load, paths, turn) for load in LOADS] for turn in range(repeats)])


def _seconds(load: Load, paths: Sequence[Path], seed: int) -> float:
    started = time.process_time()
    for first in range(0, len(paths), BATCH):
        load(paths[first : first + BATCH], seed)
    return time.process_time() - started


def _report(ledger: Ledger, name: str, count: int, seconds: np.ndarray, *, barred: bool) -> None:
    """The ratio of the fastest turns; in brackets the smallest and largest of single turns."""
    rates = count / seconds.min(axis=0)
    for column, what in enumerate(("", ", normalised too")):
        ratios = seconds[:, 2] / seconds[:, column]
        wanted = barred and not what
        ledger.add(
            f"{name}{what}: times as fast",
            float(rates[column] / rates[2]),
            at_least=BAR if wanted else None,
            goal=GOAL if wanted else None,
            interval=(float(ratios.min()), float(ratios.max())),
            note=f"{count} pictures; {rates[column]:.0f} and {rates[2]:.0f} a second of one core",
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    results = Path(__file__).parent / "results" / "loading.csv"
    parser.add_argument("--check", action="store_true", help="exit 1 when the bar falls short")
    parser.add_argument("--only", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--pictures", type=int, default=32, help="of each set, at most")
    parser.add_argument("--repeats", type=int, default=5, help="turns; the fastest counts")
    parser.add_argument("--results", type=Path, default=results, help="CSV file to append to")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
