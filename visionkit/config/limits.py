"""What a field of a config may hold beside its type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Limits:
    """What a field, or each entry of a field that is a list, may hold beside its type.

    Attributes:
        minimum, maximum: bounds of a number, both included; None is no bound.
        choices: the only values; empty is any.
        length: how many entries a list must have; None is any number.
        path: whether it holds paths, whose special characters mean themselves.
        text: whether it is free text, whose characters all mean themselves.
        made: whether what lies at a path is made, anew where it is gone, so that it is no loss.
    """

    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    length: int | None = None
    path: bool = False
    text: bool = False
    made: bool = False


IsPath = Limits(path=True)
Count = Annotated[int, Limits(minimum=0)]
Positive = Annotated[int, Limits(minimum=1)]
Rate = Annotated[float, Limits(minimum=0)]
Fraction = Annotated[float, Limits(minimum=0, maximum=1)]
SomePath = Annotated[str, IsPath]
OptionalPath = Annotated[str | None, IsPath]
MadePath = Annotated[str | None, Limits(path=True, made=True)]
IsText = Limits(text=True)
Text = Annotated[str, IsText]
OptionalText = Annotated[str | None, IsText]
DataFormat = Annotated[
    str,
    Limits(
        choices=("auto", "coco", "voc", "yolo", "folders", "csv", "groundtruth", "items", "cntk")
    ),
]
Freeze = Annotated[str, Limits(choices=("none", "early", "all"))]
BUNDLE_TASKS = ("exemplar", "classification", "localization")
EXPORTERS = ("onnx", "openvino")
PRECISIONS = ("int8", "fp32", "fp16")
Accelerator = Annotated[str, Limits(choices=("auto", "cpu", "gpu", "mps"))]
Engine = Annotated[
    str,
    Limits(
        choices=(
            "auto",
            "torch",
            "torch_compiled",
            *EXPORTERS,
            *(f"{engine}_{bits}" for engine in EXPORTERS for bits in PRECISIONS),
        )
    ),
]
