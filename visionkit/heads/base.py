"""What a head is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from torch import nn

Inputs = TypeVar("Inputs")
Outputs = TypeVar("Outputs")
Targets = TypeVar("Targets")
Results = TypeVar("Results")


class Head(nn.Module, ABC, Generic[Inputs, Outputs, Targets, Results]):
    """A task's part of the model: features in, raw outputs out; loss and decoding apart.

    The three methods never return another type by mode: `forward` gives raw outputs in
    training as in use, `loss` compares them with targets, `decode` turns them into results.
    """

    @abstractmethod
    def forward(self, inputs: Inputs) -> Outputs:
        """Raw outputs of a batch, on the device of the inputs."""

    @abstractmethod
    def loss(self, outputs: Outputs, targets: Targets) -> dict[str, torch.Tensor]:
        """Scalar losses by name; their sum is minimised."""

    @abstractmethod
    def decode(self, outputs: Outputs, inputs: Inputs) -> Results:
        """Results in the units a user meets: probabilities, boxes in pixels."""
