"""The pictures that items were cut from, as if someone had taken them a few times more.

They show the items where they really are, beside each other and in their own light, which no
composed scene does; but there are few of them, and as they are they are soon known by heart.
"""

from __future__ import annotations

import numpy as np

from visionkit.data.augment import AugmentSettings, augment
from visionkit.training.pairs import LabelledScene, SceneSource

# A box that is turned with its picture is no longer tight: 4 degrees hardly loosen it.
RETAKE = AugmentSettings(scale=0.3, shift=0.12, roll=4.0, perspective=0.04)


class RetakenScenes:
    """Scenes changed as by another shot, by number; the same seed and number give the same scene.

    Args:
        scenes: what is taken again, in turn.
        count: how many scenes come out; 0 where there is nothing to take.
        seed: of everything random.
        settings: how different a shot may be.
    """

    def __init__(
        self,
        scenes: SceneSource,
        *,
        count: int,
        seed: int,
        settings: AugmentSettings = RETAKE,
    ) -> None:
        self._scenes, self._seed, self._settings = scenes, seed, settings
        self._count = count if len(scenes) else 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> LabelledScene:
        if not 0 <= index < self._count:
            raise IndexError(f"scene must be in 0..{self._count - 1}, got {index}")
        scene = self._scenes[index % len(self._scenes)]
        rng = np.random.default_rng([self._seed, index])
        taken = augment(rng, scene.image, scene.boxes, self._settings)
        items = tuple(scene.items[place] for place in taken.kept)
        return LabelledScene(taken.image, taken.boxes, items, scene.shown_views)
