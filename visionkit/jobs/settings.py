"""What a config says, as the settings that the library takes: below here nothing knows configs."""

from __future__ import annotations

from typing import Any

from visionkit.config import AugmentConfig, ExemplarConfig, TrainerConfig
from visionkit.data.compose import ComposeSettings
from visionkit.matching.finder import FinderSettings
from visionkit.matching.geometry import GeometrySettings
from visionkit.matching.pyramid import PyramidSettings
from visionkit.matching.search import SearchSettings
from visionkit.training.fit import FitSettings


def finder_settings(task: ExemplarConfig) -> FinderSettings:
    """The settings of the finder that the task's config says."""
    correlation, geometry = task.correlation, task.geometry
    return FinderSettings(
        pyramid=PyramidSettings(
            stride=correlation.stride,
            max_upscale=correlation.max_upscale,
            max_side=correlation.max_side,
            min_side=correlation.min_side,
        ),
        search=SearchSettings(
            template_cells=tuple(correlation.template_cells),
            small_template_cells=tuple(correlation.small_template_cells),
            peaks=correlation.peaks,
            dense_views=correlation.dense_views,
        ),
        geometry=GeometrySettings(
            keypoints=geometry.keypoints,
            scene_side=geometry.scene_side,
            max_scene_side=geometry.max_scene_side,
            ratio=geometry.ratio,
            min_inliers=geometry.min_inliers,
            instances=geometry.instances,
            reprojection=geometry.reprojection,
            verified_views=geometry.verified_views,
        ),
        use_correlation=correlation.enabled,
        use_geometry=geometry.enabled,
        use_learned=task.learned.enabled,
        candidates=task.candidates,
        per_item=task.per_item,
        iou_threshold=task.iou_threshold,
        place_iou_threshold=task.place_iou_threshold,
        false_alarm_rate=task.false_alarm_rate,
    )


def compose_settings(augment: AugmentConfig) -> ComposeSettings:
    """How scenes are composed, as the config says."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(augment).items()
    }
    return ComposeSettings(**values)


def fit_settings(trainer: TrainerConfig, task: ExemplarConfig, seed: int) -> FitSettings:
    """How the head is trained, as the config says."""
    return FitSettings(
        max_epochs=trainer.max_epochs,
        patience=trainer.patience,
        batch_size=task.learned.batch_size,
        learning_rate=task.learned.learning_rate,
        weight_decay=task.learned.weight_decay,
        trust=task.learned.trust,
        gradient_clip=trainer.gradient_clip,
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        precision=trainer.precision,
        workers=trainer.workers,
        progress=trainer.progress,
        seed=seed,
    )
