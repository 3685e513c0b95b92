"""The types of the configs: what a job may be told, and which values are allowed.

The values and a sentence about each stand in `conf/*.yaml`; here stand only their types and
limits. Jobs (`visionkit/jobs`) take these; nothing below them sees a config object.
"""

from visionkit.config.checking import check_values, expand_home, limits_of, used_paths
from visionkit.config.classification import ClassificationConfig
from visionkit.config.data import AugmentConfig, BackboneConfig, DataConfig
from visionkit.config.debugger import DebuggerConfig
from visionkit.config.exemplar import ExemplarConfig
from visionkit.config.jobs import (
    EvaluateConfig,
    ExportConfig,
    GalleryConfig,
    PredictConfig,
    PredictVideoConfig,
    TrainConfig,
    TrainerConfig,
)
from visionkit.config.localization import LocalizationConfig
from visionkit.config.spelling import did_you_mean, nearest
from visionkit.config.tasks import TASKS, AllConfig

__all__ = [
    "TASKS",
    "AllConfig",
    "AugmentConfig",
    "BackboneConfig",
    "ClassificationConfig",
    "DataConfig",
    "DebuggerConfig",
    "EvaluateConfig",
    "ExemplarConfig",
    "ExportConfig",
    "GalleryConfig",
    "LocalizationConfig",
    "PredictConfig",
    "PredictVideoConfig",
    "TrainConfig",
    "TrainerConfig",
    "check_values",
    "did_you_mean",
    "expand_home",
    "limits_of",
    "nearest",
    "used_paths",
]
