"""The teacher is asked once, and its answers are kept."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from visionkit.training.pretrain.taught import ask, asked_before


def _teacher(images: Tensor) -> tuple[dict[int, Tensor], Tensor, Tensor]:
    """Says the mean colour, and its double as classes."""
    assert images.shape[2:] == (16, 16)
    colour = images.mean((2, 3))
    return {}, colour, 2 * colour


def test_answers_are_standardised_features_and_plain_classes() -> None:
    pictures = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    pictures[1:3, 0] = 255  # red is 0, 1, 1, 0: mean 0.5, deviation 0.5
    taught = ask(_teacher, pictures, size=16, batch_size=3)
    assert taught.pooled[:, 0].tolist() == [-1, 1, 1, -1]
    assert taught.logits[:, 0].tolist() == [0, 2, 2, 0]


def test_answers_are_read_again_unless_there_are_other_pictures(tmp_path: Path) -> None:
    path, asked = tmp_path / "taught.safetensors", []

    def teacher(images: Tensor) -> tuple[dict[int, Tensor], Tensor, Tensor]:
        asked.append(len(images))
        return _teacher(images)

    pictures = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    first = asked_before(path, teacher, pictures, size=16)
    again = asked_before(path, teacher, pictures, size=16)
    torch.testing.assert_close(first.logits, again.logits)
    asked_before(path, teacher, pictures[:2], size=16)
    assert asked == [3, 2]


def test_answers_of_an_earlier_version_are_asked_for_anew(tmp_path: Path) -> None:
    path = tmp_path / "taught.safetensors"
    pictures = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    fresh = asked_before(path, _teacher, pictures, size=16)
    save_file({"pooled": fresh.pooled, "logits": torch.zeros(3, 3)}, path)
    again = asked_before(path, _teacher, pictures, size=16)
    torch.testing.assert_close(again.logits, fresh.logits)
