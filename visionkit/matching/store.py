"""A finder on disk: what the files of its part of a bundle hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from visionkit.heads.exemplar import ExemplarHead
from visionkit.matching.calibration import BackgroundStatistics
from visionkit.matching.finder import Finder, FinderSettings
from visionkit.matching.gallery import Gallery, load_gallery, save_gallery
from visionkit.matching.geometry import GeometrySettings
from visionkit.matching.pyramid import Level, PyramidSettings, ScenePyramid
from visionkit.matching.search import SearchSettings
from visionkit.matching.templates import Template
from visionkit.models.backbone import Backbone

_TEMPLATES = "gallery/templates.safetensors"
_REFERENCE = "reference/pyramids.safetensors"


def save_finder(finder: Finder, folder: Path) -> None:
    """Writes gallery, templates and reference into a folder; weights are the bundle's matter."""
    for name in ("gallery", "reference"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    save_gallery(finder.gallery, folder / "gallery")
    save_file(_pack_templates(finder.templates, finder.statistics), folder / _TEMPLATES)
    save_file(_pack_reference(finder.reference), folder / _REFERENCE)


def describe_finder(finder: Finder) -> dict[str, Any]:
    """Plain JSON values from which, with files and weights, `load_finder` makes the same finder."""
    return {
        "head": finder.head.sizes,
        "settings": asdict(finder.settings),
        "items": finder.item_names,
        "thresholds": finder.thresholds,
        "learned": finder.learned,
    }


def load_finder(
    folder: Path,
    description: Mapping[str, Any],
    backbone: Backbone,
    weights: Mapping[str, torch.Tensor],
) -> Finder:
    """The finder that `save_finder` wrote and `describe_finder` described.

    Args:
        folder: that was written to.
        description: the values.
        backbone: the bundle's; the finder sees by a view of it that stops at the searched map.
        weights: state of the head.

    Raises:
        OSError, LookupError, TypeError, ValueError, RuntimeError, SafetensorError: files,
            description and weights don't belong together.
    """
    settings = settings_from(description["settings"])
    stride = settings.pyramid.stride
    seeing = backbone.view((stride,), pool_stride=stride)
    device = next(seeing.parameters()).device
    head = ExemplarHead(**description["head"])
    head.load_state_dict(weights)
    reference = _unpack_reference(load_file(folder / _REFERENCE), device)
    templates, statistics = _unpack_templates(load_file(folder / _TEMPLATES))
    gallery = load_gallery(folder / "gallery")
    thresholds = {item: float(description["thresholds"][item]) for item in gallery.items}
    learned = _checked_rows(description["learned"], head)
    _check_templates(templates, statistics, gallery, seeing.channels[stride])
    finder = Finder(seeing, head.to(device).eval(), settings, reference)
    finder.restore(gallery, templates, statistics, thresholds)
    finder.learned = learned
    return finder


def _checked_rows(rows: Mapping[str, Any], head: ExemplarHead) -> dict[str, int]:
    """Item -> row of its scorer, each of which the head has."""
    learned = {str(item): int(row) for item, row in rows.items()}
    if not all(0 <= row < len(head.item_weights) for row in learned.values()):
        raise ValueError(f"rows of items must be in 0..{len(head.item_weights) - 1}, got {rows}")
    return learned


def _check_templates(
    templates: Sequence[Template],
    statistics: BackgroundStatistics,
    gallery: Gallery,
    channels: int,
) -> None:
    if {template.view for template in templates} != set(range(len(gallery.views))):
        raise ValueError(f"templates must be of the gallery's {len(gallery.views)} views")
    if not statistics.mean.shape == statistics.spread.shape == (len(templates),):
        raise ValueError(f"statistics must be of {len(templates)} templates")
    if any(template.features.shape[0] != channels for template in templates):
        raise ValueError(f"templates must have the backbone's {channels} channels")


def settings_from(values: Mapping[str, Any]) -> FinderSettings:
    """Settings from the plain values that `dataclasses.asdict` gave."""
    parts = dict(values)
    search = dict(parts.pop("search"))
    for name in ("template_cells", "small_template_cells"):
        search[name] = tuple(search[name])
    return FinderSettings(
        pyramid=PyramidSettings(**parts.pop("pyramid")),
        search=SearchSettings(**search),
        geometry=GeometrySettings(**parts.pop("geometry")),
        **parts,
    )


def _pack_templates(
    templates: Sequence[Template], statistics: BackgroundStatistics
) -> dict[str, torch.Tensor]:
    """Templates of one shape in one tensor: thousands of views need few entries."""
    shapes: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, template in enumerate(templates):
        shapes[tuple(template.weights.shape)].append(index)
    packed = {
        "mean": torch.from_numpy(statistics.mean),
        "spread": torch.from_numpy(statistics.spread),
    }
    for (height, width), members in shapes.items():
        name, chosen = f"{height}x{width}", [templates[index] for index in members]
        packed[f"{name}.index"] = torch.tensor(members)
        packed[f"{name}.view"] = torch.tensor([t.view for t in chosen])
        packed[f"{name}.cells"] = torch.tensor([t.cells for t in chosen], dtype=torch.float64)
        packed[f"{name}.extent"] = torch.tensor([t.extent for t in chosen], dtype=torch.float64)
        packed[f"{name}.weights"] = torch.stack([t.weights for t in chosen])
        packed[f"{name}.features"] = torch.stack([t.features for t in chosen])
    return packed


def _unpack_templates(
    packed: Mapping[str, torch.Tensor],
) -> tuple[list[Template], BackgroundStatistics]:
    found: dict[int, Template] = {}
    for name in {key.partition(".")[0] for key in packed if "." in key}:
        for row, index in enumerate(packed[f"{name}.index"].tolist()):
            width, height = packed[f"{name}.extent"][row].tolist()
            found[index] = Template(
                view=int(packed[f"{name}.view"][row]),
                cells=float(packed[f"{name}.cells"][row]),
                features=packed[f"{name}.features"][row],
                weights=packed[f"{name}.weights"][row],
                extent=(width, height),
            )
    statistics = BackgroundStatistics(packed["mean"].numpy(), packed["spread"].numpy())
    return [found[index] for index in range(len(found))], statistics


def _pack_reference(reference: Sequence[ScenePyramid]) -> dict[str, torch.Tensor]:
    packed = {}
    for number, pyramid in enumerate(reference):
        packed[f"{number:04d}.shape"] = torch.tensor([*pyramid.image_size, pyramid.stride])
        for place, level in enumerate(pyramid.levels):
            name = f"{number:04d}.{place}"
            packed[f"{name}.features"] = level.features.half().cpu().contiguous()
            packed[f"{name}.scale"] = torch.tensor(
                [level.scale_x, level.scale_y], dtype=torch.float64
            )
    return packed


def _unpack_reference(
    packed: Mapping[str, torch.Tensor], device: torch.device
) -> tuple[ScenePyramid, ...]:
    pyramids = []
    for key in sorted(key for key in packed if key.endswith(".shape")):
        number = key.partition(".")[0]
        height, width, stride = packed[key].tolist()
        count = sum(k.startswith(f"{number}.") and k.endswith(".scale") for k in packed)
        levels = []
        for place in range(count):
            scale_x, scale_y = packed[f"{number}.{place}.scale"].tolist()
            features = packed[f"{number}.{place}.features"].to(device).float()
            levels.append(Level(features, scale_x, scale_y))
        pyramids.append(ScenePyramid(tuple(levels), (height, width), stride))
    if not pyramids:
        raise ValueError("reference must hold at least one background picture, got none")
    return tuple(pyramids)
