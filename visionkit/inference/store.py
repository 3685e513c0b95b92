"""A predictor on disk: which of its parts goes into which file of a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

import visionkit
from visionkit.inference.engines.exported import FOLDER, exports_in, read_export
from visionkit.inference.engines.graph import Graph, HeadsGraph, SearchGraph, weights_id
from visionkit.inference.parts import ClassificationPart, LocalizationPart, Part
from visionkit.inference.prediction import TASKS
from visionkit.matching.finder import Finder
from visionkit.matching.store import describe_finder, load_finder, save_finder
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.models.bundle import read_manifest, write_bundle

WEIGHTS_NAME = "weights.safetensors"
REFERENCE = "drift"
"""Folder in a bundle of what pictures of the training looked like (visionkit/monitoring)."""


@dataclass(frozen=True)
class Parts:
    """What a bundle holds.

    Attributes:
        backbone: of which all heads see pictures, the finder by a view of it.
        finder: the exemplar head and its gallery, or None.
        classification, localization: the other heads, or None.
        metadata: JSON values that travel with the bundle (metrics, data, versions).
        exports: folders of networks that were exported for other engines. Those that are of these
            very weights travel with the bundle.
        reference: folder of what pictures of the training looked like, which travels, too.
    """

    backbone: Backbone
    finder: Finder | None = None
    classification: ClassificationPart | None = None
    localization: LocalizationPart | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    exports: tuple[Path, ...] = ()
    reference: Path | None = None

    @property
    def trained(self) -> dict[str, Part]:
        """Task -> classification or localization part, of those that are there."""
        found = {"classification": self.classification, "localization": self.localization}
        return {task: part for task, part in found.items() if part is not None}

    @property
    def tasks(self) -> tuple[str, ...]:
        """The heads that are there, in the order of `TASKS`."""
        exemplar = () if self.finder is None else (TASKS[0],)
        return (*exemplar, *self.trained)

    def graphs(self) -> dict[str, Graph]:
        """The network as other engines take it: "heads", "search", those that are there."""
        found: dict[str, Graph] = {}
        if self.trained:
            classes, boxes = self.classification, self.localization
            found["heads"] = HeadsGraph(
                self.backbone.full(),
                None if classes is None else classes.head,
                None if boxes is None else boxes.head,
            ).eval()
        if self.finder is not None:
            stride = self.finder.settings.pyramid.stride
            found["search"] = SearchGraph(self.finder.backbone, stride).eval()
        return found

    def check(self) -> None:
        """Passes if there is a head, and all are of this backbone.

        Raises:
            ValueError: there is none, or one is of another backbone.
        """
        if not self.tasks:
            raise ValueError(f"there must be a head, one of {', '.join(TASKS)}, got none")
        backbone = self.backbone
        wrong = [task for task, part in self.trained.items() if not part.fits(backbone)]
        if self.finder is not None and not backbone.holds(self.finder.backbone):
            wrong.append("exemplar")
        if wrong:
            raise ValueError(
                f"all heads must be of the backbone given, {backbone.name} with maps of "
                f"{backbone.channels} channels and {backbone.pooled_channels} pooled, but "
                f"{' and '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not; make them with "
                "it, or with a view of it"
            )


def save_parts(parts: Parts, bundle: str | Path, *, overwrite: bool = False) -> None:
    """Writes a bundle, whole or not at all.

    Raises:
        FileExistsError: the folder is there and `overwrite` is False.
        RuntimeError: the disk is full.
    """
    heads: dict[str, Any] = {}
    if parts.finder is not None:
        heads["exemplar"] = describe_finder(parts.finder)
    for task, part in parts.trained.items():
        heads[task] = part.describe()
    manifest = {
        "visionkit_version": visionkit.__version__,
        "backbone": parts.backbone.spec,
        "heads": heads,
        "metadata": dict(parts.metadata),
    }
    write_bundle(bundle, manifest, lambda folder: _write(parts, folder), overwrite=overwrite)


def load_parts(bundle: str | Path, device: torch.device) -> Parts:
    """The parts that `save_parts` wrote, their backbone frozen.

    Raises:
        FileNotFoundError: there is no bundle.
        ValueError: it is of another version, or damaged, or its files don't belong together;
            names what is wrong.
    """
    folder = Path(bundle)
    manifest = read_manifest(folder)
    try:
        return _read(folder, manifest, device)
    except (
        OSError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        RuntimeError,
        SafetensorError,
    ) as error:
        raise ValueError(
            f"the bundle's parts must belong together, got {type(error).__name__}: {error} "
            f"[{folder}]; take the bundle from its source again"
        ) from error


def _write(parts: Parts, folder: Path) -> None:
    states = {"backbone": parts.backbone.network.state_dict()}
    if parts.finder is not None:
        save_finder(parts.finder, folder)
        states["exemplar"] = parts.finder.head.state_dict()
    for task, part in parts.trained.items():
        states[task] = part.head.state_dict()
    weights = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, state in states.items()
        for key, value in state.items()
    }
    save_file(weights, folder / WEIGHTS_NAME)
    _keep_exports(parts, folder)
    if parts.reference is not None and parts.reference.is_dir():
        shutil.copytree(parts.reference, folder / REFERENCE)


def _keep_exports(parts: Parts, folder: Path) -> None:
    """Copies the exported networks that are of these weights; an item more changes none."""
    there = [export for export in parts.exports if export.is_dir()]
    if not there:
        return
    own = {name: weights_id(graph) for name, graph in parts.graphs().items()}
    for export in there:
        if dict(read_export(export).weights) == own:
            shutil.copytree(export, folder / FOLDER / export.name)


def _read(folder: Path, manifest: Mapping[str, Any], device: torch.device) -> Parts:
    heads: Mapping[str, Any] = manifest["heads"]
    if not heads or not {*heads} <= {*TASKS}:
        raise ValueError(f"heads must be some of {', '.join(TASKS)}, got {', '.join(heads) or 0}")
    weights = load_file(folder / WEIGHTS_NAME)
    backbone = build_backbone(**manifest["backbone"], weights="random")
    backbone.network.load_state_dict(_part(weights, "backbone"))
    backbone = backbone.freeze().to(device).eval()
    finder = classification = localization = None
    if "exemplar" in heads:
        state = _part(weights, "exemplar")
        finder = load_finder(folder, heads["exemplar"], backbone, state)
    if "classification" in heads:
        state = _part(weights, "classification")
        classification = ClassificationPart.restore(heads["classification"], state)
    if "localization" in heads:
        state = _part(weights, "localization")
        localization = LocalizationPart.restore(heads["localization"], state)
    metadata = manifest.get("metadata", {})
    exports = tuple(exports_in(folder).values())
    kept = folder / REFERENCE
    reference = kept if kept.is_dir() else None
    return Parts(backbone, finder, classification, localization, metadata, exports, reference)


def _part(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
