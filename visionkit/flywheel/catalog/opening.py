"""Opens a catalog, or makes one."""

from __future__ import annotations

from pathlib import Path

from visionkit.flywheel.catalog.catalog import Catalog
from visionkit.flywheel.catalog.store import Store

_OWN = ("frames", "frozen_test.json")  # what may lie in the folder of a catalog before its tables


def open_catalog(uri: str | Path, *, create: bool = False) -> Catalog:
    """The catalog in a folder or in object storage.

    Args:
        uri: the folder, or an address such as s3://bucket/catalog.
        create: whether it is made where there is none.

    Raises:
        FileNotFoundError: there is none and `create` is false.
        FileExistsError: there is none, and the folder holds something else.
    """
    if not Store.exists(str(uri)):
        if not create:
            raise FileNotFoundError(
                f"{uri} must be a catalog, but there is none; make it with "
                f"visionkit predict bundle=BUNDLE source=PICTURES catalog={uri}"
            )
        _check_free(Path(uri))
    return Catalog(Store(str(uri)))


def _check_free(folder: Path) -> None:
    """Passes if a catalog may be made in a folder, which may not be there yet."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in names if name not in _OWN and not name.startswith(".")]
    if foreign:
        raise FileExistsError(
            f"{folder} must be a catalog, or a new or empty folder, got {foreign[0]} in it; "
            "choose another folder"
        )
