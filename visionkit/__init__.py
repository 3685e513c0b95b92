"""Teach a computer to see your own things, on your own machines.

The names below are the library; everything else may change between versions.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visionkit.data.formats import read, write
    from visionkit.evaluation import evaluate_boxes
    from visionkit.evaluation.report import write_report
    from visionkit.inference.parts import ClassificationPart, LocalizationPart
    from visionkit.inference.prediction import Prediction
    from visionkit.inference.predictor import Predictor
    from visionkit.matching.audit import audit_gallery
    from visionkit.matching.finder import Finder, FinderSettings
    from visionkit.models.backbone import Backbone
    from visionkit.models.build_backbone import build_backbone
    from visionkit.training.debugger import TrainingDebugger
    from visionkit.training.fit import fit
    from visionkit.types import Features, ObjectBox, Sample

try:
    __version__ = version("visionkit")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0.0.0"

_HOMES = {
    "Backbone": "visionkit.models.backbone",
    "ClassificationPart": "visionkit.inference.parts",
    "Features": "visionkit.types",
    "Finder": "visionkit.matching.finder",
    "FinderSettings": "visionkit.matching.finder",
    "LocalizationPart": "visionkit.inference.parts",
    "ObjectBox": "visionkit.types",
    "Prediction": "visionkit.inference.prediction",
    "Predictor": "visionkit.inference.predictor",
    "Sample": "visionkit.types",
    "TrainingDebugger": "visionkit.training.debugger",
    "audit_gallery": "visionkit.matching.audit",
    "build_backbone": "visionkit.models.build_backbone",
    "evaluate_boxes": "visionkit.evaluation",
    "fit": "visionkit.training.fit",
    "read": "visionkit.data.formats",
    "write": "visionkit.data.formats",
    "write_report": "visionkit.evaluation.report",
}

__all__ = [
    "Backbone",
    "ClassificationPart",
    "Features",
    "Finder",
    "FinderSettings",
    "LocalizationPart",
    "ObjectBox",
    "Prediction",
    "Predictor",
    "Sample",
    "TrainingDebugger",
    "audit_gallery",
    "build_backbone",
    "evaluate_boxes",
    "fit",
    "read",
    "write",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: `visionkit --help` must not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'visionkit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
