"""What is kept of pictures to compare them with others: a table, never the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from visionkit.evaluation.outcomes import FloatArray, IntArray

Embeddings = NDArray[np.float32]


@dataclass(frozen=True)
class Observed:
    """What was seen of N pictures.

    Attributes:
        names: of the pictures, N.
        embeddings: (N, D) float32 of length 1.
        numbers: measure -> (N,) float64, nan where a picture has none, such as the size of boxes
            of a picture without boxes. Measures are named `group.name`.
        kinds: measure -> N words, such as the class that a picture is taken for; "" where
            it is not known.
    """

    names: tuple[str, ...]
    embeddings: Embeddings
    numbers: Mapping[str, FloatArray] = field(default_factory=dict)
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {
            "embeddings": len(self.embeddings),
            **{name: len(values) for name, values in self.numbers.items()},
            **{name: len(values) for name, values in self.kinds.items()},
        }
        for name, length in lengths.items():
            if length != len(self.names):
                raise ValueError(f"{name} must be one a picture ({len(self.names)}), got {length}")

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: Sequence[int] | IntArray) -> Observed:
        """The pictures of these numbers, in this order."""
        chosen = [int(row) for row in rows]
        return Observed(
            tuple(self.names[row] for row in chosen),
            self.embeddings[chosen],
            {name: values[chosen] for name, values in self.numbers.items()},
            {name: tuple(words[row] for row in chosen) for name, words in self.kinds.items()},
        )

    def drawn(self, most: int, *, seed: int = 0) -> Observed:
        """At most so many pictures, drawn at random, in their order; all where there are fewer."""
        if len(self) <= most:
            return self
        rows = np.random.default_rng(seed).choice(len(self), most, replace=False)
        return self.take(np.sort(rows))

    def only(self, numbers: Sequence[str], kinds: Sequence[str]) -> Observed:
        """The same pictures with these measures alone."""
        return Observed(
            self.names,
            self.embeddings,
            {name: self.numbers[name] for name in numbers},
            {name: self.kinds[name] for name in kinds},
        )


def joined(parts: Sequence[Observed]) -> Observed:
    """All pictures of the parts, in their order, with the measures of the first.

    Args:
        parts: at least one, all with the measures of the first.
    """
    first = parts[0]
    return Observed(
        tuple(name for part in parts for name in part.names),
        np.concatenate([part.embeddings for part in parts]),
        {name: np.concatenate([part.numbers[name] for part in parts]) for name in first.numbers},
        {name: tuple(word for part in parts for word in part.kinds[name]) for name in first.kinds},
    )
