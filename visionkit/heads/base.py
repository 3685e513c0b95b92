"""What a head is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from torch import nn

Inputs = TypeVar("Inputs")
Outputs = TypeVar("Outputs")
Targets = TypeVar("Targets")
Context = TypeVar("Context")
Results = TypeVar("Results")


class Head(nn.Module, ABC, Generic[Inputs, Outputs, Targets, Context, Results]):
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
    def decode(self, outputs: Outputs, context: Context) -> Results:
        """Results in the units a user meets: probabilities, boxes in pixels.

        Args:
            outputs: of `forward`.
            context: what the outputs alone don't say, such as the sizes of the pictures.
        """
