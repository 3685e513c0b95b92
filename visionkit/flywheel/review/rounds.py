"""The queue with all that is needed to show it, as it was at one time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from visionkit.flywheel.answers import Asked, Proposal, Reason, Truth, by_picture
from visionkit.flywheel.catalog import Catalog
from visionkit.flywheel.exclusive import one_class
from visionkit.flywheel.review.filters import FilterIndex
from visionkit.types import Sample


@dataclass(frozen=True)
class Pool:
    """Pictures that can be given out.

    Attributes:
        queue: the most urgent first.
        index: filters of the queue.
        since: ISO 8601 time; what was answered before it is asked again. "" where nothing is.
    """

    queue: tuple[Asked, ...]
    index: FilterIndex
    since: str


@dataclass(frozen=True)
class Round:
    """The queue as it was built.

    Attributes:
        pool: the queue.
        rows: picture -> where in the queue it stands.
        samples: picture -> its sample, of those in the queue.
        proposals: picture -> what models say of it, of all.
        by_id: id of a proposal -> it.
        last: picture -> task -> the model that was asked for it last.
        labels: all names that models and people have used.
        one_class: whether each picture as a whole is of one class, as far as the catalog tells.
    """

    pool: Pool
    rows: dict[str, int]
    samples: dict[str, Sample]
    proposals: dict[str, tuple[Proposal, ...]]
    by_id: dict[str, Proposal]
    last: dict[str, dict[str, str]]
    labels: frozenset[str]
    one_class: bool


def build_round(catalog: Catalog, queue: Sequence[Asked]) -> Round:
    """A queue with what the catalog knows of its pictures.

    Raises:
        KeyError: a picture is not in the catalog.
    """
    samples = catalog.samples([asked.sample_id for asked in queue])
    last = catalog.last_asked()  # first: a model asked meanwhile must not silence without its finds
    said = catalog.proposals()
    proposals = by_picture(said)
    versions, truths = catalog.versions(), catalog.truths()
    since = versions[-1].created if versions else ""
    return Round(
        Pool(tuple(queue), FilterIndex(queue, proposals, truths), since),
        {asked.sample_id: row for row, asked in enumerate(queue)},
        {sample.id: sample for sample in samples},
        proposals,
        {entry.id: entry for entry in said},
        last,
        _labels(proposals, truths),
        one_class(proposals.values(), truths.values()),
    )


def pool_of_version(
    catalog: Catalog,
    name: str,
    proposals: Mapping[str, Sequence[Proposal]],
    *,
    left_out: Set[str],
) -> Pool:
    """The pictures that a version changed, but for those left out.

    Raises:
        KeyError: there is no such version.
    """
    versions = {version.name: version for version in catalog.versions()}
    version = versions[name]
    before = next(
        (entry.name for entry in versions.values() if entry.number == version.number - 1), None
    )
    if before is None:
        changed = [sample.id for sample in catalog.at(name)]
    else:
        changed = [change.sample_id for change in catalog.diff(before, name)]
    reason = Reason("audit", f"changed in {name}", 1.0)
    queue = tuple(Asked(each, 0.0, (reason,)) for each in changed if each not in left_out)
    truths = {asked.sample_id: catalog.truth(asked.sample_id) for asked in queue}
    return Pool(queue, FilterIndex(queue, proposals, truths), version.created)


def _labels(
    proposals: Mapping[str, Sequence[Proposal]], truths: Mapping[str, Truth]
) -> frozenset[str]:
    said = [entry for entries in proposals.values() for entry in entries]
    proposed = {name for entry in said for name in (entry.label, entry.runner_up) if name}
    known = {entry.label for truth in truths.values() for entry in truth.objects}
    whole = {name for truth in truths.values() for name in truth.labels}
    return frozenset(proposed | known | whole)
