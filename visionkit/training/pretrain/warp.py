"""Batches of homographies and bends, and pictures seen through them; on any device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Bend:
    """Small waves of a surface, as cloth has them: points move by sums of sines.

    Attributes:
        waves: (B, 2, K) radians a pixel.
        phases: (B, 1, K) radians.
        amplitudes: (B, K, 2) pixels in x and y.
    """

    waves: Tensor
    phases: Tensor
    amplitudes: Tensor

    def displacement(self, points: Tensor) -> Tensor:
        """(B, n, 2) pixels by which (B, n, 2) points move."""
        return torch.sin(points @ self.waves + self.phases) @ self.amplitudes

    def undone(self, points: Tensor) -> Tensor:
        """(B, n, 2) points p with p + displacement(p) = points, nearly.

        Two steps of a fixed-point iteration; slopes of 0.1 leave a thousandth of the amplitude.
        """
        guess = points - self.displacement(points)
        guess = points - self.displacement(guess)
        return points - self.displacement(guess)


def random_bend(
    count: int, size: int, *, part: float, generator: torch.Generator, device: torch.device
) -> Bend:
    """Bends of squares of `size` pixels; all but `part` of them are flat."""
    waves = uniform((count, 2, 3), -1, 1, generator, device) * (2 * torch.pi / size)
    phases = uniform((count, 1, 3), 0, 2 * torch.pi, generator, device)
    strength = uniform((count, 1, 1), 0.0, 0.025, generator, device) * size
    bent = torch.rand((count, 1, 1), generator=generator, device=device) < part
    amplitudes = uniform((count, 3, 2), -1, 1, generator, device) * strength * bent
    return Bend(waves, phases, amplitudes)


def uniform(
    shape: tuple[int, ...],
    low: float,
    high: float,
    generator: torch.Generator,
    device: torch.device,
) -> Tensor:
    """Evenly distributed float32 numbers."""
    return torch.rand(shape, generator=generator, device=device) * (high - low) + low


def normal(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Normally distributed float32 numbers of standard deviation 1."""
    return torch.randn(shape, generator=generator, device=device)


def shift(offsets: Tensor) -> Tensor:
    """(B, 3, 3) that move by (B, 2) pixels."""
    matrices = torch.eye(3, device=offsets.device).repeat(len(offsets), 1, 1)
    matrices[:, :2, 2] = offsets
    return matrices


def turn_and_scale(angles: Tensor, scales: Tensor) -> Tensor:
    """(B, 3, 3) that turn by (B,) radians and scale by (B,), or (B, 2) for x and y, about 0."""
    scales = scales if scales.ndim == 2 else scales[:, None].expand(-1, 2)
    cos, sin = torch.cos(angles), torch.sin(angles)
    matrices = torch.zeros(len(angles), 3, 3, device=angles.device)
    matrices[:, 0, 0], matrices[:, 0, 1] = cos * scales[:, 0], -sin * scales[:, 1]
    matrices[:, 1, 0], matrices[:, 1, 1] = sin * scales[:, 0], cos * scales[:, 1]
    matrices[:, 2, 2] = 1
    return matrices


def tilt(offsets: Tensor, size: float) -> Tensor:
    """(B, 3, 3) that move the corners of a square of `size` pixels by (B, 4, 2) pixels.

    The corners are in the order of (0, 0), (size, 0), (size, size), (0, size).
    """
    corners = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]], device=offsets.device) * size
    targets = corners + offsets
    x, y = corners[:, 0], corners[:, 1]
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows = []
    for axis, known in ((0, (x, y, one, zero, zero, zero)), (1, (zero, zero, zero, x, y, one))):
        value = targets[..., axis]
        left = torch.stack(known, dim=-1).expand(len(offsets), 4, 6)
        right = torch.stack([-x * value, -y * value], dim=-1)
        rows.append(torch.cat([left, right], dim=-1))
    system = torch.cat(rows, dim=1)
    wanted = torch.cat([targets[..., 0], targets[..., 1]], dim=1)
    answer = torch.linalg.solve_ex(system, wanted).result  # the plain one waits for the device
    return torch.cat([answer, torch.ones_like(answer[:, :1])], dim=1).view(-1, 3, 3)


def apply(matrices: Tensor, points: Tensor) -> Tensor:
    """(B, n, 2): homographies (B, 3, 3) of (n, 2) or (B, n, 2) points; far away where unmapped."""
    mapped = F.pad(points, (0, 1), value=1.0) @ matrices.transpose(1, 2)
    depth = mapped[..., 2:]
    return torch.where(depth > 1e-6, mapped[..., :2] / depth.clamp(min=1e-6), -1e6)


def pixels(size: int, device: torch.device) -> Tensor:
    """(size * size, 2) x and y of every pixel of a square, row by row."""
    line = torch.arange(size, device=device, dtype=torch.float32)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([columns.flatten(), rows.flatten()], dim=1)


def look(
    textures: Tensor, matrices: Tensor, size: int, *, bend: Bend | None = None, outside: str
) -> Tensor:
    """(B, C, size, size) views of textures, between pixels linearly.

    Args:
        textures: (B, C, h, w) float.
        matrices: (B, 3, 3) from pixels of a texture to those of its view.
        size: of a view in pixels.
        bend: what happens to a view's surface after the matrix.
        outside: "reflection", or "zeros".
    """
    places = pixels(size, textures.device).expand(len(textures), -1, -1)
    if bend is not None:
        places = places + bend.displacement(places)
    places = apply(torch.linalg.inv_ex(matrices).inverse, places)
    limits = torch.tensor(
        [textures.shape[3] - 1, textures.shape[2] - 1], device=textures.device
    ).clamp(min=1)
    grid = (places / limits * 2 - 1).view(-1, size, size, 2)
    return F.grid_sample(textures, grid, padding_mode=outside, align_corners=True)
