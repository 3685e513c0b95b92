"""The frozen test set: the same pictures with the same labels for every model that is compared.

Its pictures are written down the first time, each with a hash of what it shows. A set that the
loop itself could change would let the figure rise while the models don't.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from visionkit.files import write_json
from visionkit.flywheel.queue.audit import audit_draws
from visionkit.types import Sample

FROZEN_NAME = "frozen_test.json"
"""The file, in the folder of a catalog."""
_NAMED = 3


@dataclass(frozen=True)
class FrozenSet:
    """The pictures that models are compared on.

    Attributes:
        samples: the pictures, in the order of their ids.
        name: a short hash of all of it; figures of another name can't be compared.
        is_new: whether it was frozen just now.
        added: ids of those that were not in the set before; none where it is not new.
    """

    samples: tuple[Sample, ...]
    name: str
    is_new: bool
    added: frozenset[str]


def frozen_set(
    path: str | Path, samples: Sequence[Sample], *, share: float = 0.2, anew: bool = False
) -> FrozenSet:
    """The frozen pictures among the samples of a version.

    The first time they are those of the test split, or where it is empty so many of those in no
    split; copies stay together, and of each class one picture at least is left to learn from.

    Args:
        path: the file that says which they are; written the first time.
        samples: of a version.
        share: 0..1, of the pictures in no split, that is drawn where there is no test split.
        anew: whether the set is frozen again as it is now.

    Raises:
        ValueError: there is nothing to freeze, the file can't be read, or what it says is no
            longer so; names the pictures and the way out.
        RuntimeError: the disk is full.
    """
    path = Path(path)
    known = None if anew or not path.is_file() else _read(path)
    stated = [sample for sample in samples if sample.split == "test"]
    if known is None:
        chosen = stated or _drawn(samples, share)
        if not chosen:
            raise ValueError(
                "there must be pictures to compare models on, got none in the test split and none "
                "to draw it from; add labelled pictures with split test to the catalog"
            )
        hashes = {sample.id: _hash(sample) for sample in chosen}
        before = _known_before(path)
        write_json(path, {"drawn": not stated, "pictures": dict(sorted(hashes.items()))})
        return _frozen(chosen, is_new=True, added=hashes.keys() - before)
    hashes, drawn = known
    chosen = [sample for sample in samples if sample.id in hashes] if drawn else stated
    _check(path, hashes, chosen)
    return _frozen(chosen, is_new=False, added=frozenset())


def frozen_ids(catalog: str | Path, file: str | Path | None = None) -> frozenset[str]:
    """Ids of the frozen pictures, which people are not asked about; none before any are frozen.

    Args:
        catalog: folder of the catalog; an address of object storage has no such file.
        file: as `loop.frozen` names it, in the place of the one in that folder.

    Raises:
        FileNotFoundError: the file that is named is not there.
        ValueError: the file is damaged.
    """
    path = Path(catalog) / FROZEN_NAME if file is None else Path(file)
    if path.is_file():
        return frozenset(_read(path)[0])
    if file is None:
        return frozenset()
    raise FileNotFoundError(
        f"frozen must be the file that retrain wrote as loop.frozen, but there is none at {path}; "
        "leave it out until something is frozen"
    )


def _drawn(samples: Sequence[Sample], share: float) -> list[Sample]:
    """A share of the pictures in no split; of each class one is left to learn from."""
    free = [sample for sample in samples if not sample.split]
    # With draws of its own: with the queue's, it would hold what is asked first.
    hashes = [sample.content_hash for sample in free]
    draws = dict(zip(hashes, audit_draws(hashes, purpose="frozen").tolist(), strict=True))
    chosen = {name for name, draw in draws.items() if draw < share}
    for shown in _by_class(free).values():
        if shown <= chosen:
            chosen.remove(max(shown, key=draws.__getitem__))
    return [sample for sample in free if sample.content_hash in chosen]


def _by_class(samples: Sequence[Sample]) -> dict[str, set[str]]:
    """Class -> content hashes of the pictures that show it."""
    found: dict[str, set[str]] = {}
    for sample in samples:
        for name in (*sample.labels, *(entry.label for entry in sample.objects)):
            found.setdefault(name, set()).add(sample.content_hash)
    return found


def _frozen(samples: Sequence[Sample], *, is_new: bool, added: Set[str]) -> FrozenSet:
    ordered = tuple(sorted(samples, key=lambda sample: sample.id))
    digest = hashlib.sha256("".join(_hash(sample) for sample in ordered).encode())
    return FrozenSet(ordered, digest.hexdigest()[:12], is_new, frozenset(added))


def _check(path: Path, hashes: Mapping[str, str], samples: Sequence[Sample]) -> None:
    now = {sample.id: _hash(sample) for sample in samples}
    parts = {
        "gone": hashes.keys() - now.keys(),
        "added": now.keys() - hashes.keys(),
        "labelled otherwise": {
            name for name in hashes.keys() & now.keys() if hashes[name] != now[name]
        },
    }
    wrong = [
        f"{len(names)} {what} ({', '.join(sorted(names)[:_NAMED])})"
        for what, names in parts.items()
        if names
    ]
    if wrong:
        raise ValueError(
            f"the frozen test set must be as it was, got {', '.join(wrong)} [{path}]; put files "
            "back where they lay and labels with versions.py restore, or say loop.refreeze=true: "
            "figures of versions then begin anew"
        )


def _hash(sample: Sample) -> str:
    """Of the id, the pixels, and what people say that they show; not of who said so."""
    boxes = sorted((entry.label, *entry.box) for entry in sample.objects)
    content = [sample.id, sample.content_hash, sorted(sample.labels), boxes]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _known_before(path: Path) -> Set[str]:
    """Ids that the file names, which is about to be replaced; none where it can't be read."""
    try:
        return _read(path)[0].keys() if path.is_file() else set()
    except ValueError:
        return set()


def _read(path: Path) -> tuple[dict[str, str], bool]:
    try:
        content = json.loads(path.read_text("utf-8"))
        return {str(k): str(v) for k, v in content["pictures"].items()}, bool(content["drawn"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} must say which pictures are frozen, but is damaged ({error!r}); take it from "
            "a copy, or say loop.refreeze=true"
        ) from error
