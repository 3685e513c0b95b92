"""Opens a catalog, or makes one."""

from __future__ import annotations

from pathlib import Path

from visionkit.flywheel.catalog.catalog import Catalog
from visionkit.flywheel.catalog.store import Store


def open_catalog(uri: str | Path, *, create: bool = False) -> Catalog:
    """The catalog in a folder or in object storage.

    Args:
        uri: the folder, or an address such as s3://bucket/catalog.
        create: whether it is made where there is none.

    Raises:
        FileNotFoundError: there is none and `create` is false.
    """
    if not create and not Store.exists(str(uri)):
        raise FileNotFoundError(
            f"{uri} must be a catalog, but there is none; make it with "
            f"visionkit predict bundle=BUNDLE source=PICTURES catalog={uri}"
        )
    return Catalog(Store(str(uri)))
