"""The reference in a bundle: what pictures of the training looked like, as a bounded table.

`drift/reference.json` holds words and figures, `drift/reference.safetensors` arrays. Of
the pictures themselves only where they lay is kept, and small copies where they were asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from visionkit.files import write_bytes, write_json
from visionkit.inference.store import REFERENCE as FOLDER
from visionkit.models.bundle import put_into_bundle, read_manifest
from visionkit.monitoring.observed import Observed

MOST = 1000
"""Pictures in a reference: more find hardly smaller shifts in a few hundred live ones."""
_VERSION = 1
_TABLE, _ARRAYS, _PICTURES = "reference.json", "reference.safetensors", "pictures"


@dataclass(frozen=True)
class Reference:
    """What the pictures of a training looked like.

    Attributes:
        observed: at most about 1,000 of them, named by their paths.
        names: task -> the items or classes that its answers were among.
        embedder: how embeddings were made, in words; others can't be compared with these.
        words: what the pictures are.
        pictures: name of a picture -> small JPEG, where they were to be kept.
    """

    observed: Observed
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    embedder: str = ""
    words: str = ""
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def keep_reference(bundle: str | Path, reference: Reference) -> None:
    """Puts the reference into a bundle, in the place of one that is there; whole or not at all.

    Raises:
        FileNotFoundError: there is no bundle.
        ValueError: the bundle is damaged.
        RuntimeError: the disk is full.
    """
    put_into_bundle(bundle, FOLDER, lambda folder: _write(folder, reference), overwrite=True)


def read_reference(bundle: str | Path) -> Reference:
    """The reference of a bundle.

    Raises:
        FileNotFoundError: there is no bundle, or no reference in it.
        ValueError: the bundle is damaged, or the reference of a newer visionkit.
    """
    files = read_manifest(bundle)["files"]
    folder = Path(bundle) / FOLDER
    if f"{FOLDER}/{_TABLE}" not in files:
        raise FileNotFoundError(
            f"the bundle must hold a reference to compare with, but has none [{bundle}]; make one "
            f"of pictures that are as they should be: visionkit monitor bundle={bundle} "
            "reference=FOLDER"
        )
    try:
        return _read(folder)
    except (KeyError, TypeError, AttributeError, OSError, SafetensorError) as error:
        raise ValueError(
            f"the reference must be whole, got {type(error).__name__}: {error} [{folder}]; make it "
            f"again with visionkit monitor bundle={bundle} reference=FOLDER"
        ) from error


def _write(folder: Path, reference: Reference) -> None:
    seen = reference.observed
    arrays = {"embeddings": np.ascontiguousarray(seen.embeddings, np.float32)}
    arrays |= {f"numbers.{key}": np.ascontiguousarray(v) for key, v in seen.numbers.items()}
    save_file(arrays, folder / _ARRAYS)
    numbers = {name: place for place, name in enumerate(seen.names)}
    files = {name: f"{numbers[name]:04d}.jpg" for name in reference.pictures}
    content: dict[str, Any] = {
        "version": _VERSION,
        "words": reference.words,
        "embedder": reference.embedder,
        "tasks": {task: list(names) for task, names in reference.names.items()},
        "pictures": list(seen.names),
        "kinds": {name: list(words) for name, words in seen.kinds.items()},
        "small_pictures": files,
    }
    write_json(folder / _TABLE, content)
    for name, file in files.items():
        write_bytes(folder / _PICTURES / file, reference.pictures[name])


def _read(folder: Path) -> Reference:
    content = json.loads((folder / _TABLE).read_text("utf-8"))
    if int(content["version"]) > _VERSION:
        raise ValueError(
            f"the reference must be of version {_VERSION}, got {content['version']} [{folder}]; "
            "update visionkit"
        )
    arrays = load_file(folder / _ARRAYS)
    numbers = {
        name.removeprefix("numbers."): values.astype(np.float64)
        for name, values in sorted(arrays.items())
        if name.startswith("numbers.")
    }
    observed = Observed(
        tuple(content["pictures"]),
        arrays["embeddings"].astype(np.float32),
        numbers,
        {name: tuple(words) for name, words in content["kinds"].items()},
    )
    pictures = {
        str(name): (folder / _PICTURES / Path(str(file)).name).read_bytes()
        for name, file in content["small_pictures"].items()
    }
    return Reference(
        observed,
        content["tasks"],
        str(content["embedder"]),
        str(content["words"]),
        pictures,
    )
