"""A classification head on features of a frozen backbone: seconds, and nothing left to chance.

What is tried is judged on held-back pictures: the means of the classes at several shrinkages,
logistic regression at several strengths of its penalty, and the sum of the best of both. One
supposes how pictures of a class are spread and the other does not, so they err in different places:
of Grocery's held-back pictures 77 of 100 are named rightly by either and 79 by both. The sum is a
linear head like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visionkit.heads.classification import ClassificationHead
from visionkit.heads.prototypes import Moments
from visionkit.training.folds import FOLDS, assign_folds
from visionkit.training.guesses import Guesses, guesses_of, no_guesses
from visionkit.training.look_alikes import look_alikes
from visionkit.training.regression import regress
from visionkit.training.shares import class_weights, shares_of
from visionkit.training.temperature import fit_temperature

_FEWEST = 20  # judged pictures that a way can be chosen by
_USUAL = 0.3  # shrinkage where nothing can be chosen
_MOST_WORK = 1e9  # products a step of regression; more takes minutes
_FOLD_VIEWS = 3  # frames and views a picture that regression learns from in a fold

How = Literal["means", "regression", "both"]


@dataclass(frozen=True)
class FrozenSettings:
    """What is tried on frozen features.

    Attributes:
        shrinkages: of the covariance that class means are seen through, each above 0 up to 1.
        penalties: of logistic regression: mean cross entropy + penalty / 2 * squared weights, the
            strongest first. None tries only the means.
        steps: of L-BFGS at most.
        balanced: whether in regression every class counts the same, however many its pictures. To
            the means they always do.
        folds: parts of the pictures, each judged by what the others teach.
        sure: 0..1, likelihood from which what a picture without a label seems to show is learned.
        seed: of the folds.
    """

    shrinkages: Sequence[float] = (0.05, 0.1, 0.3, 0.6, 1.0)
    penalties: Sequence[float] = (1e-2, 1e-3, 1e-4)
    steps: int = 40
    balanced: bool = False
    folds: int = FOLDS
    sure: float = 0.8
    seed: int = 0


@dataclass(frozen=True)
class Tried:
    """One way and what held-back pictures say of it.

    Attributes:
        how: class means, logistic regression, or both added up, each at its best temperature.
        shrinkage: of class means; nan without them.
        penalty: of regression; nan without it.
        accuracy: share of the held-back pictures, or where there may be several classes of all
            pairs of picture and class, that is named rightly; nan where none was judged.
        surprise: mean negative log likelihood at the best temperature, by which the way is chosen;
            nan likewise.
        temperature: the best one.
        parts: what the logits of class means and those of regression are divided by before they
            are added up.
        guesses: whether the head learned once more, from what it was sure of before as well.
    """

    how: How
    shrinkage: float = float("nan")
    penalty: float = float("nan")
    accuracy: float = float("nan")
    surprise: float = float("nan")
    temperature: float = 1.0
    parts: tuple[float, float] = (1.0, 1.0)
    guesses: bool = False

    def __str__(self) -> str:
        words = {"means": f"class means, shrinkage {self.shrinkage:g}"}
        words["regression"] = f"logistic regression, penalty {self.penalty:g}"
        words["both"] = f"{words['means']}, and {words['regression']}"
        more = ", once more with what it was sure of" if self.guesses else ""
        return words[self.how] + more


@dataclass(frozen=True)
class FrozenFit:
    """What became of a frozen training.

    Attributes:
        tried: every way, in the order tried; empty where there were too few pictures to choose.
        chosen: the way that the head was learned.
        judged: pictures that it was chosen by and its temperature is set on.
        left_out: why a way was not tried, a sentence, or "".
        guesses: what pictures without a label were learned as.
        out_of_fold: (N, K) float64 calibrated probabilities of each picture to learn from, by
            heads that did not learn from it; rows of nan where no other fold shows its class.
        folds: (N,) int64 the fold of each; look-alikes of a class share one.
    """

    tried: tuple[Tried, ...]
    chosen: Tried
    judged: int
    left_out: str
    guesses: Guesses
    out_of_fold: NDArray[np.float64]
    folds: NDArray[np.int64]


def fit_frozen(
    head: ClassificationHead,
    features: Tensor,
    targets: Tensor,
    settings: FrozenSettings,
    *,
    val: tuple[Tensor, Tensor] | None = None,
    unlabelled: Tensor | None = None,
) -> FrozenFit:
    """Learns the head in place, by the way that is best on held-back pictures; calibrates it.

    The way is chosen and the temperature set on `val` where it has 20 pictures, else by folds.
    Pictures to validate on are not learned from. Of pictures without labels those that the head is
    sure of are learned, too, where that is better on the held-back ones.

    Args:
        head: of any kind; only class means are tried for a cosine head.
        features: (R, N, C) float32 pooled features: R views of each of N pictures, the first of
            the plain frame.
        targets: (N,) int64 classes, or (N, K) float32 0 or 1 where there may be several.
        settings: what is tried.
        val: (M, C) float32 pooled features of plain frames, and their targets.
        unlabelled: (U, C) float32 pooled features of plain frames.

    Raises:
        ValueError: no pictures, or shapes that don't agree.
    """
    if features.ndim != 3 or not features.shape[1] or len(targets) != features.shape[1]:
        raise ValueError(
            f"features must be (views, N > 0, C) with a target for each of N pictures, got "
            f"{tuple(features.shape)} and {len(targets)} targets"
        )
    head.fit_standard(features.flatten(0, 1))
    if settings.balanced:
        head.set_class_weights(class_weights(targets, head.class_count))
    trial = _Trial(head, features, targets, settings, unlabelled)
    judge: Callable[[Tried], Tensor] = trial.out_of_fold
    truth = targets
    if val is not None and len(val[1]) >= _FEWEST:
        judge, truth = trial.on(val[0]), val[1]
    left_out = trial.too_much_work()
    usual = Tried("means", _USUAL)
    chosen = _judged(usual, judge(usual), truth)
    tried: list[_Judged] = []
    if chosen.count >= _FEWEST:
        ways = _ways(head, settings, not left_out)
        tried = _with_both([_judged(way, judge(way), truth) for way in ways], truth)
        chosen = min(tried, key=lambda one: one.way.surprise)
        if unlabelled is not None and len(unlabelled):
            taught = replace(chosen.way, guesses=True)
            tried.append(_judged(taught, judge(taught), truth))
            chosen = min(chosen, tried[-1], key=lambda one: one.way.surprise)
    own = chosen.outputs if truth is targets else trial.out_of_fold(chosen.way)
    guesses = trial.learn(chosen.way, trial.everything)
    head.temperature.fill_(chosen.way.temperature)
    return FrozenFit(
        tuple(result.way for result in tried),
        chosen.way,
        chosen.count,
        left_out,
        guesses,
        head.probabilities(own).double().numpy(),
        trial.folds,
    )


@dataclass(frozen=True)
class _Judged:
    """A way with what it says of held-back pictures.

    Attributes:
        way: with its figures.
        outputs: (M, K) logits; rows of nan are not judged.
        count: how many are.
    """

    way: Tried
    outputs: Tensor
    count: int


class _Trial:
    """Learns a head in this way and that, from all pictures or without one fold."""

    def __init__(
        self,
        head: ClassificationHead,
        features: Tensor,
        targets: Tensor,
        settings: FrozenSettings,
        unlabelled: Tensor | None,
    ) -> None:
        self._head, self._features, self._settings = head, features, settings
        self._unlabelled = features[0, :0] if unlabelled is None else unlabelled
        self._shares = shares_of(targets, head.class_count)
        present = self._shares.numpy() > 0.5
        self.folds = assign_folds(
            present,
            groups=look_alikes(features[0], present, settings.folds),
            count=settings.folds,
            seed=settings.seed,
        )
        self._fold = torch.from_numpy(self.folds)
        self._moments = [self._moments_of(self._fold == k) for k in range(settings.folds)]
        self._usual_means: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}

    @property
    def everything(self) -> Tensor:
        """(N,) bool, all pictures."""
        return torch.ones(len(self._shares), dtype=torch.bool)

    def too_much_work(self) -> str:
        """Why regression is not tried, or ""."""
        if self._affordable_views:
            return ""
        return (
            f"Logistic regression was not tried: {self._features.shape[1]:,} pictures of "
            f"{self._head.class_count:,} classes would take too long."
        )

    @property
    def _affordable_views(self) -> int:
        """From how many frames and views of each picture regression can learn; 0 for none."""
        views, pictures, channels = self._features.shape
        return min(views, int(_MOST_WORK / (pictures * channels * self._head.class_count)))

    def out_of_fold(self, way: Tried) -> Tensor:
        """(N, K) logits of the plain frames; nan where no other fold shows a picture's class."""
        outputs = torch.full(self._shares.shape, float("nan"))
        for k in range(self._settings.folds):
            held = self._fold == k
            if not held.any() or held.all():
                continue
            self.learn(way, ~held, views=_FOLD_VIEWS)
            shown = self._shares[~held].sum(0) > 0
            known = held & (self._shares <= shown).all(1)
            outputs[known] = self._say(self._features[0, known])
        return outputs

    def on(self, features: Tensor) -> Callable[[Tried], Tensor]:
        """What each way, learned from all pictures, says of these."""

        def say(way: Tried) -> Tensor:
            self.learn(way, self.everything)
            return self._say(features)

        return say

    def learn(self, way: Tried, learned: Tensor, *, views: int | None = None) -> Guesses:
        """Learns from the pictures of a mask, (N,) bool: all, or all but a fold.

        Returns:
            What it learned beside them.
        """
        nothing = no_guesses(self._head.class_count)
        self._learn(way, learned, views, nothing)
        if not way.guesses:
            return nothing
        guesses = guesses_of(
            self._head.eval(),
            self._unlabelled,
            temperature=way.temperature,
            sure=self._settings.sure,
        )
        self._learn(way, learned, views, guesses)
        return guesses

    def _learn(self, way: Tried, learned: Tensor, views: int | None, guesses: Guesses) -> None:
        """The same, and from plain frames that show what was guessed."""
        head = self._head
        more = self._unlabelled[guesses.places]
        kept = [k for k in range(self._settings.folds) if learned[self._fold == k].any()]
        shrinkage = _USUAL if way.how == "regression" else way.shrinkage
        self._take_means(tuple(kept), shrinkage, more, guesses.shares)
        if way.how == "means":
            return
        weight, bias = head.weight.detach().clone(), head.bias.detach().clone()
        most = self._affordable_views if views is None else min(views, self._affordable_views)
        rows = self._features[:most, learned]
        regress(
            head,
            torch.cat([rows.flatten(0, 1), more]),
            torch.cat([self._shares[learned].repeat(len(rows), 1), guesses.shares]),
            penalty=way.penalty,
            steps=self._settings.steps,
        )
        if way.how == "both":
            with torch.no_grad():
                head.weight.copy_(weight / way.parts[0] + head.weight / way.parts[1])
                head.bias.copy_(bias / way.parts[0] + head.bias / way.parts[1])

    @torch.no_grad()
    def _take_means(
        self, folds: tuple[int, ...], shrinkage: float, more: Tensor, shares: Tensor
    ) -> None:
        """Class means of these folds, and of (G, C) features more with their (G, K) shares.

        Those that every regression begins with are kept.
        """
        head, known = self._head, self._usual_means.get(folds)
        is_usual = shrinkage == _USUAL and not len(more)
        if is_usual and known is not None:
            head.weight.copy_(known[0])
            head.bias.copy_(known[1])
            return
        total = self._moments[folds[0]]
        for fold in folds[1:]:
            total = total + self._moments[fold]
        if len(more):
            total = total + head.moments(more, shares)
        head.take_prototypes(total, shrinkage=shrinkage)
        if is_usual:
            self._usual_means[folds] = head.weight.clone(), head.bias.clone()

    @torch.no_grad()
    def _say(self, features: Tensor) -> Tensor:
        outputs: Tensor = self._head.eval()(features)
        return outputs

    def _moments_of(self, pictures: Tensor) -> Moments:
        """The sums over all views of the pictures of a mask."""
        shares = self._shares[pictures]
        total = self._head.moments(self._features[0, pictures], shares)
        for view in self._features[1:]:
            total = total + self._head.moments(view[pictures], shares)
        return total


def _ways(head: ClassificationHead, settings: FrozenSettings, regression: bool) -> list[Tried]:
    ways = [Tried("means", shrinkage=shrinkage) for shrinkage in settings.shrinkages]
    if regression and head.kind == "linear":
        ways += [Tried("regression", penalty=penalty) for penalty in settings.penalties]
    return ways


def _judged(way: Tried, outputs: Tensor, truth: Tensor) -> _Judged:
    known = ~outputs.isnan().any(1)
    said, true = outputs[known], truth[known]
    if not len(said):
        return _Judged(way, outputs, 0)
    temperature = fit_temperature(said, true)
    if true.ndim == 1:
        surprise = F.cross_entropy(said / temperature, true)
        right = said.argmax(1) == true
    else:
        surprise = F.binary_cross_entropy_with_logits(said / temperature, true)
        right = (said > 0) == (true > 0.5)
    figured = replace(
        way,
        accuracy=float(right.float().mean()),
        surprise=float(surprise),
        temperature=temperature,
    )
    return _Judged(figured, outputs, len(said))


def _with_both(tried: list[_Judged], truth: Tensor) -> list[_Judged]:
    """What was tried, and the sum of the best of each kind."""

    def best(how: How) -> _Judged | None:
        of_kind = [one for one in tried if one.way.how == how]
        return min(of_kind, key=lambda one: one.way.surprise, default=None)

    means, regression = best("means"), best("regression")
    if means is None or regression is None:
        return tried
    parts = means.way.temperature, regression.way.temperature
    way = Tried("both", means.way.shrinkage, regression.way.penalty, parts=parts)
    outputs = means.outputs / parts[0] + regression.outputs / parts[1]
    return [*tried, _judged(way, outputs, truth)]
