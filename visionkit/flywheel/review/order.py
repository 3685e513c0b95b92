"""Which pictures are asked first: those whose score lies nearest to the threshold."""

from __future__ import annotations

from visionkit.flywheel.answers import Asked, Proposal, Reason
from visionkit.flywheel.catalog import Catalog


def build_order(catalog: Catalog) -> list[Asked]:
    """The pictures that nobody has judged and a model has something to say of, nearest first."""
    truths = catalog.truths()
    closest: dict[str, Proposal] = {}
    for proposal in catalog.proposals():
        truth = truths.get(proposal.sample_id)
        if truth is None or truth.revision:
            continue
        best = closest.get(proposal.sample_id)
        if best is None or _margin(proposal) < _margin(best):
            closest[proposal.sample_id] = proposal
    asked = [_ask(proposal) for proposal in closest.values()]
    return sorted(asked, key=lambda entry: (-entry.priority, entry.sample_id))


def _margin(proposal: Proposal) -> float:
    return abs(proposal.score - proposal.threshold)


def _ask(proposal: Proposal) -> Asked:
    margin = _margin(proposal)
    side = "above" if proposal.score >= proposal.threshold else "below"
    words = (
        f"{proposal.label} at {proposal.score:.2f} is {margin:.2f} {side} "
        f"its threshold of {proposal.threshold:.2f}"
    )
    weight = max(0.0, 1.0 - margin)
    return Asked(proposal.sample_id, weight, (Reason("margin", words, weight),))
