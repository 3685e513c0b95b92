"""Where a backbone's weights come from: shipped with visionkit, timm's hub, or a file.

Nothing is loaded that can run code: safetensors, or PyTorch files with `weights_only=True`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

STARTER_FILE = "starter.safetensors"
COMPARISON_FILE = "comparison.safetensors"
BOXES_FILE = "boxes.safetensors"
CARD_FILE = "card.json"
_OTHER_WAYS = {
    "starter": "weights=starter (shipped, no network needed)",
    "hub": "weights=hub (timm's pretrained ones, downloaded)",
    "file": "weights=file with file=PATH (a safetensors file or PyTorch state dict)",
}
# Left out of many published files, or of no use to a backbone: classifier and distillation heads.
_HEADS = ("classifier.", "head.", "fc.", "head_dist.", "conv_head.", "norm_head.", "fc_norm.")


@dataclass(frozen=True)
class StarterCard:
    """What the starter weights are: `card.json` beside them, as far as code needs it.

    Attributes:
        architecture: timm's name of the network.
        image_size: (height, width) they were learned at.
        mean, std: per channel, of RGB in 0..1.
        version: of the weights, for people.
    """

    architecture: str
    image_size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    version: str

    def check_architecture(self, name: str) -> None:
        """Passes if the weights are for the network `name`.

        Raises:
            ValueError: they are for another one.
        """
        if name.split(".")[0] != self.architecture:
            raise ValueError(
                f"the starter weights are for {self.architecture}, not for {name}; take "
                f"backbone=starter, or {_OTHER_WAYS['hub']}, or {_OTHER_WAYS['file']}"
            )


def starter_card() -> StarterCard:
    """The card of the weights that come with visionkit.

    Raises:
        FileNotFoundError: this installation lacks them.
    """
    text = _starter_file(CARD_FILE).read_text(encoding="utf-8")
    card = json.loads(text)
    return StarterCard(
        architecture=card["architecture"],
        image_size=tuple(card["image_size"]),
        mean=tuple(card["mean"]),
        std=tuple(card["std"]),
        version=card["version"],
    )


def starter_weights() -> dict[str, Tensor]:
    """Key names of timm -> float32 tensors of the weights that come with visionkit.

    Raises:
        FileNotFoundError: this installation lacks them.
        ValueError: the file is damaged.
    """
    return read_weights(_starter_file(STARTER_FILE))


def starter_comparison() -> dict[str, Tensor]:
    """State of the comparison that was learned from items of all kinds, for any backbone; float32.

    Raises:
        FileNotFoundError: this installation lacks it.
        ValueError: the file is damaged.
    """
    return read_weights(_starter_file(COMPARISON_FILE))


def starter_boxes() -> tuple[dict[str, Tensor], str]:
    """Pyramid and box branch that were learned without classes, and the backbone they are for.

    Returns:
        Their state, float32, and the `Backbone.weights_id` of the weights they were learned on.

    Raises:
        FileNotFoundError: this installation lacks them.
        ValueError: the file is damaged.
    """
    path = _starter_file(BOXES_FILE)
    state = read_weights(path)
    with safetensors.safe_open(path, "pt") as file:
        return state, file.metadata()["backbone"]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Key names -> tensors of a safetensors file or PyTorch state dict, on the CPU, in float32.

    Integer tensors keep their type. Of a checkpoint that holds its weights under
    "state_dict", "model" or "state_dict_ema", that part is taken.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, no state dict, or holds more than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"weights file {path} is not there; check file=PATH, or take "
            f"{_OTHER_WAYS['starter']} or {_OTHER_WAYS['hub']}"
        )
    state = _read_safetensors(path) if _is_safetensors(path) else _read_pytorch(path)
    if not state:
        raise ValueError(f"weights file {path} must hold a state dict, but holds no tensors")
    return {
        key: value.float() if value.is_floating_point() else value for key, value in state.items()
    }


def load_into(network: nn.Module, state: Mapping[str, Tensor], *, origin: str) -> None:
    """Puts `state` into `network`; classifier heads may be absent, left over or of another size.

    `num_batches_tracked` of batch norms may be absent, as in files with folded norms.

    Args:
        network: a timm network.
        state: key names -> tensors.
        origin: where the state is from, for the message.

    Raises:
        ValueError: keys are missing or unknown, or shapes differ; names them.
    """
    wanted = network.state_dict()
    missing = [
        key
        for key in wanted
        if key not in state and not is_head(key) and not key.endswith("num_batches_tracked")
    ]
    unknown = [key for key in state if key not in wanted and not is_head(key)]
    differing = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in state and state[key].shape != value.shape and not is_head(key)
    ]
    problems = [
        f"{what}: {_first(keys)}"
        for what, keys in (("missing", missing), ("unknown", unknown), ("shape", differing))
        if keys
    ]
    if problems:
        raise ValueError(
            f"the weights of {origin} don't fit the network {type(network).__name__} "
            f"({'; '.join(problems)}); check that backbone.name is the network they were made for"
        )
    fitting = {
        key: value
        for key, value in state.items()
        if key in wanted and value.shape == wanted[key].shape
    }
    network.load_state_dict(fitting, strict=False)


def from_hub(name: str, options: Mapping[str, Any]) -> nn.Module:
    """The timm network `name` with its pretrained weights, from the local cache or the hub.

    Raises:
        ValueError: timm has no pretrained weights for this name.
        RuntimeError: they can't be fetched; names the other ways.
    """
    if not timm.list_pretrained(f"{name}*"):
        raise ValueError(
            f"timm has no pretrained weights for {name}; choose another backbone, or take "
            f"{_OTHER_WAYS['file']}"
        )
    try:
        return timm.create_model(name, pretrained=True, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise RuntimeError(
            f"the weights of {name} could not be fetched from the hub ({_first_line(error)}); "
            f"connect to the network, or take {_OTHER_WAYS['starter']} or {_OTHER_WAYS['file']}"
        ) from error


def _starter_file(name: str) -> Path:
    path = Path(str(resources.files("visionkit.models"))) / "starter" / name
    if not path.is_file():
        raise FileNotFoundError(
            f"this installation of visionkit lacks its starter weights ({path}); install it "
            f"again, or take {_OTHER_WAYS['hub']} or {_OTHER_WAYS['file']}"
        )
    return path


def _is_safetensors(path: Path) -> bool:
    # 8 bytes of length, then JSON: so a file is told by what it is, not by its name.
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"weights file {path} is damaged ({_first_line(error)}); get it again"
        ) from error


def _read_pytorch(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file:  # a path ending in .safetensors is not read as PyTorch's
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(
            f"weights file {path} must be a safetensors file or a PyTorch state dict of tensors "
            f"only, but can't be read as one ({_first_line(error)}); save "
            "model.state_dict() with safetensors"
        ) from error
    for key in ("state_dict", "model", "state_dict_ema"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict):
        raise ValueError(f"weights file {path} must hold a state dict, got {type(loaded).__name__}")
    return {str(key): value for key, value in loaded.items() if isinstance(value, Tensor)}


def is_head(key: str) -> bool:
    """Whether a key of timm's names belongs to a classifier on top, which no map needs."""
    return key.startswith(_HEADS)


def _first(keys: Sequence[str], count: int = 3) -> str:
    more = f" and {len(keys) - count} more" if len(keys) > count else ""
    return ", ".join(keys[:count]) + more


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
