"""What the flywheel knows, in tables that are only ever added to."""

from visionkit.flywheel.catalog.catalog import Catalog
from visionkit.flywheel.catalog.models import Model, Status
from visionkit.flywheel.catalog.opening import open_catalog
from visionkit.flywheel.catalog.versions import Change, Version

__all__ = ["Catalog", "Change", "Model", "Status", "Version", "open_catalog"]
