"""Which picture of a catalog a file is: told by what it shows, not by where it lies."""

from __future__ import annotations

from collections.abc import Sequence

from visionkit.jobs.unchanged import is_unchanged
from visionkit.types import Sample


class KnownPictures:
    """The pictures of a catalog by content and by place.

    Attributes:
        ids: that are taken.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.ids: set[str] = set()
        self._by_hash: dict[str, Sample] = {}
        self._by_uri: dict[str, Sample] = {}
        self._followed = 0
        self.follow(samples)

    def follow(self, samples: Sequence[Sample]) -> None:
        """Takes in what came since, of all pictures of the catalog."""
        for sample in samples[self._followed :]:
            self.add(sample)
        self._followed = len(samples)

    def add(self, sample: Sample) -> None:
        """Takes one more; of several at one place the last one lies there."""
        self.ids.add(sample.id)
        self._by_hash.setdefault(sample.content_hash, sample)
        self._by_uri[sample.uri] = sample

    def has(self, content_hash: str) -> bool:
        """Whether there is a picture of these pixels."""
        return content_hash in self._by_hash

    def same(self, uri: str, content_hash: str) -> Sample | None:
        """The picture that a file shows, of copies the one at its place; None for a new one."""
        here = self._by_uri.get(uri)
        if here is not None and here.content_hash == content_hash:
            return here
        return self._by_hash.get(content_hash)

    def replaced(self, uri: str, content_hash: str) -> Sample | None:
        """Another picture that lay at a place; None where none did."""
        here = self._by_uri.get(uri)
        return None if here is None or here.content_hash == content_hash else here

    def is_lost(self, sample: Sample) -> bool:
        """Whether a picture's file is gone, or another picture lies in its place."""
        return self._by_uri[sample.uri].id != sample.id or not is_unchanged(sample)

    def move(self, sample: Sample) -> None:
        """Takes a known picture with the place where it lies now."""
        self._by_hash[sample.content_hash] = self._by_uri[sample.uri] = sample
