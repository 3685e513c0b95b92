"""The queue: which pictures people are asked about, in which order, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np

from visionkit.flywheel.answers import Asked, Proposal, Reason, Truth
from visionkit.flywheel.catalog import Catalog
from visionkit.flywheel.queue.audit import audit_draws, audit_of, with_audit
from visionkit.flywheel.queue.columns import (
    BoolArray,
    Columns,
    Doubts,
    FloatArray,
    IntArray,
    columns_of,
)
from visionkit.flywheel.queue.crowds import boxes_to_learn
from visionkit.flywheel.queue.diversity import (
    Vectors,
    commonness,
    compact,
    newness,
    spread_order,
)
from visionkit.flywheel.queue.suspects import doubts_of_labels
from visionkit.flywheel.queue.uncertainty import (
    doubts_by_entropy,
    doubts_by_frames,
    doubts_by_geometry,
    doubts_by_heads,
    doubts_by_margin,
    margins,
)
from visionkit.types import Sample

Embeddings = Callable[[Sequence[str]], tuple[Sequence[str], Vectors]]
_SHORT = 4000
"""Pictures whose order is worked out in full; comparing each with each takes a second."""
_CENTRES = 2000  # labelled pictures that they are compared with
_UNKNOWN = 0.5  # doubt about a picture that no model has seen
_FRAME = re.compile(r"(.*)_\d+\.\d+s[^/]*", re.DOTALL)  # the time is in the name, not the folder
_FEW = 0.05  # a doubt below that is no reason


@dataclass(frozen=True)
class QueueSettings:
    """What people are asked.

    Attributes:
        most: pictures in the queue at most.
        audit: 0..1, share of all pictures that is looked at whatever the score.
        suspects: whether labels that people gave are asked about again where a model doubts them.
        drift: ids of the pictures that carry a drift -> a sentence that says so with its figure.
        model: whose proposals count; "" takes the champion's of each picture, and those of the
            model that was asked last where it was not asked.
        frozen: ids of pictures that models are compared on though they are in no test split.
        test: whether pictures of the test split and frozen ones are asked; their labels must stay
            as they are otherwise.
        seed: of the audit, and of the order of those that are as doubtful.
    """

    most: int = 10_000
    audit: float = 0.02
    suspects: bool = True
    drift: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    frozen: Set[str] = frozenset()
    test: bool = False
    seed: int = 0


def build_queue(catalog: Catalog, settings: QueueSettings | None = None) -> list[Asked]:
    """The pictures that people are asked about, the most urgent first, each with its reasons.

    Pictures that nobody has vouched for come, and of those that came with labels the ones whose
    label is doubted, until somebody has answered about them.

    Args:
        catalog: pictures, their embeddings and what models say of them.
        settings: None takes the defaults.
    """
    settings = settings or QueueSettings()
    samples = [
        each
        for each in catalog.samples()
        if settings.test or (each.split != "test" and each.id not in settings.frozen)
    ]
    models = _models_that_count(catalog, settings.model)
    said = [one for one in catalog.proposals() if models.get(one.sample_id) == one.model]
    return queue_of(
        samples, catalog.truths(), said, catalog.embeddings, settings, asked=models.keys()
    )


def queue_of(
    samples: Sequence[Sample],
    truths: Mapping[str, Truth],
    proposals: Sequence[Proposal],
    embeddings: Embeddings,
    settings: QueueSettings,
    *,
    asked: Set[str] = frozenset(),
) -> list[Asked]:
    """As `build_queue`, of what a catalog holds.

    Args:
        samples: the pictures that may be asked.
        truths: of those pictures at least.
        proposals: of one model about each picture.
        embeddings: ids of pictures -> those that have an embedding, and (N, D) float32 of them.
        settings: of the queue.
        asked: ids of pictures that a model has seen, though it may have nothing to say of them.
    """
    ids = [sample.id for sample in samples]
    reviewed = np.fromiter((truths[name].reviewed for name in ids), np.bool_, len(ids))
    columns = columns_of(proposals, ids)
    files = {sample.id: sample.uri for sample in samples}
    by_margin = doubts_by_margin(columns)
    other_doubts = [
        doubts_by_entropy(columns),
        doubts_by_heads(columns),
        doubts_by_frames(columns, video_of=lambda name: _video_of(files[name])),
        doubts_by_geometry(columns),
    ]
    draws = audit_draws(ids, seed=settings.seed)
    audit = audit_of(draws, settings.audit)
    drift = _drift(ids, settings.drift)
    suspects = doubts_of_labels(columns, ids, truths) if settings.suspects else _none(len(ids))
    answered = np.fromiter((truths[name].revision > 0 for name in ids), np.bool_, len(ids))
    suspects = replace(suspects, weight=np.where(answered, 0.0, suspects.weight))
    # Of a margin the greatest is shown as the reason; what counts is the sum over the finds.
    worth = _worth_by_margin(columns, ids, truths)
    doubt = np.max([worth, *(each.weight for each in other_doubts)], axis=0)
    said = np.bincount(columns.picture, minlength=len(ids)) > 0
    seen = said | np.fromiter((name in asked for name in ids), np.bool_, len(ids))
    doubt = np.maximum(np.where(seen, doubt, _UNKNOWN), drift.weight)
    doubt = np.where(reviewed, suspects.weight, doubt)
    is_asked = ~reviewed | (suspects.weight >= _FEW)
    audited = (audit.weight > 0) & ~reviewed
    chance = audit_draws(ids, seed=settings.seed, purpose="ties")
    # Of the equally doubtful audited ones come last, and so move to places of the audit.
    chance = np.where(audited, 1 + draws, chance)
    order, new = _order(ids, embeddings, doubt, is_asked, reviewed, chance)
    order = with_audit(order, draws, audited)[: settings.most]
    coverage = Doubts("coverage", new, lambda picture: _coverage_words(new[picture]))
    first = [suspects, by_margin, *other_doubts, coverage, drift, audit]
    return [
        Asked(ids[picture], float(len(order) - place), _reasons(picture, first, reviewed, seen))
        for place, picture in enumerate(order.tolist())
    ]


def _models_that_count(catalog: Catalog, model: str) -> dict[str, str]:
    """Picture -> the model whose word counts; without those about which none was asked.

    The one that is named counts alone, or the champion, and where it was not asked yet the model
    that was asked last: what it doubts is still to be seen.
    """
    champion = catalog.champion()
    name = model or (champion.name if champion is not None else "")
    return {
        picture: name if name in models else models[-1]
        for picture, models in catalog.asked().items()
        if name in models or not model
    }


def _worth_by_margin(
    columns: Columns, ids: Sequence[str], truths: Mapping[str, Truth]
) -> FloatArray:
    """(N,) 0..1 how much the scores near a threshold make a picture worth asking about."""
    reviewed = (truths[name] for name in ids if truths[name].reviewed)
    known = Counter(entry.label for truth in reviewed for entry in truth.objects)
    near = margins(columns)
    others = np.where(columns.of_task("localization"), 0.0, near)
    return np.maximum(columns.strongest(others)[0], boxes_to_learn(columns, near, known))


def _video_of(uri: str) -> str:
    """The file of a frame up to its time, which is the same for all frames of a video."""
    frame = _FRAME.fullmatch(uri)
    return uri if frame is None else frame[1]


def _order(
    ids: Sequence[str],
    embeddings: Embeddings,
    doubt: FloatArray,
    is_asked: BoolArray,
    reviewed: BoolArray,
    chance: FloatArray,
) -> tuple[IntArray, FloatArray]:
    """The numbers of the pictures asked in their order, and (N,) how new each is, 0..1.

    Only the most doubtful are compared with one another and with what is labelled; those of equal
    doubt come by chance. A picture without an embedding counts as unlike all others.
    """
    urgent = np.lexsort((chance, -doubt))
    urgent = urgent[is_asked[urgent]]
    new = np.zeros(len(ids))
    by_chance = np.argsort(chance, kind="stable")
    known = by_chance[reviewed[by_chance]][:_CENTRES]
    short = urgent[:_SHORT]
    names, vectors = embeddings([ids[place] for place in [*short, *known]])
    if not len(names):
        return urgent, new
    row = {name: number for number, name in enumerate(names)}
    has_vector = np.fromiter((ids[place] in row for place in short), np.bool_, len(short))
    embedded = short[has_vector]
    labelled = [place for place in known if ids[place] in row]
    unit = compact(vectors[[row[ids[place]] for place in [*embedded, *labelled]]])
    common = np.ones(len(short))
    common[has_vector] = commonness(unit[: len(embedded)])
    # A row of zeros lies at distance 1 from all: what has no vector is taken to be new.
    own = np.zeros((len(short), unit.shape[1]), np.float32)
    own[has_vector] = unit[: len(embedded)]
    distance = newness(own, unit[len(embedded) :])
    if labelled:  # else all are as new as each other, which is no reason
        new[embedded] = np.clip(distance[has_vector], 0.0, 1.0)
    order = spread_order(own, distance, doubt[short] * common)
    return np.concatenate([short[order], urgent[_SHORT:]]), new


def _reasons(
    picture: int, doubts: Iterable[Doubts], reviewed: BoolArray, seen: BoolArray
) -> tuple[Reason, ...]:
    """Why a picture is asked, the weightiest reason first; one at least."""
    label_only = ("label", "drift")
    found = [
        Reason(each.kind, each.words(picture), round(float(each.weight[picture]), 4))
        for each in doubts
        if each.weight[picture] >= _FEW and (not reviewed[picture] or each.kind in label_only)
    ]
    if not found and not seen[picture]:
        words = "Nobody has looked at it yet, and no model either."
        return (Reason("coverage", words, _UNKNOWN),)
    if not found:
        return (Reason("coverage", "Nobody has looked at it yet, and no model doubts it.", 0.0),)
    return tuple(sorted(found, key=lambda reason: -reason.weight))


def _coverage_words(distance: float) -> str:
    return (
        f"It is unlike what is labelled: {distance:.2f} from the nearest, where 0 is a copy and 1 "
        "has nothing in common."
    )


def _drift(ids: Sequence[str], culprits: Mapping[str, str]) -> Doubts:
    weight = np.fromiter((1.0 if name in culprits else 0.0 for name in ids), np.float64, len(ids))
    return Doubts("drift", weight, lambda picture: culprits[ids[picture]])


def _none(pictures: int) -> Doubts:
    return Doubts("label", np.zeros(pictures), lambda _: "")
