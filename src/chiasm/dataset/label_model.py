"""A label model: what several fallible labelling functions say together, and how often each of them is right, without any true label.

Letters: n rows · m functions · k classes. Votes are int64 [n, m], a class 0 … k−1 or ABSTAIN.

Two ways to the same answer, both for functions that err independently given the true class:

*triplets* (FlyingSquid, Fu et al. 2020, arXiv 2002.11955, here for k classes): closed form, from how often each two functions agree.
*em* (Dawid & Skene 1979): maximum likelihood, with one accuracy a function (symmetric) or a whole table of what it says of each class (full).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Votes = NDArray[np.int64]

ABSTAIN = -1
FLOOR = 1e-6
"""The least probability that anything is given: one vote can never rule a class out."""

SEEN = 30
"""Two functions that vote together on fewer rows say nothing about each other."""


@dataclass(frozen=True, slots=True)
class VoteStatistics:
    """Of each function, float64 [m]: the share of rows it votes on, on which another one votes too, and on which another one disagrees."""

    coverage: Floats
    overlap: Floats
    conflict: Floats


@dataclass(frozen=True, slots=True)
class LabelModel:
    """posterior: float64 [n, k], the prior where no function votes · accuracy: float64 [m], P(right | votes), NaN for one that never votes ·
    confusion: float64 [m, k, k + 1], P(vote | class), the last column for abstaining · prior: float64 [k] · iterations: of EM; 0 where closed form.
    """

    posterior: Floats
    accuracy: Floats
    confusion: Floats
    prior: Floats
    iterations: int


def check_votes(votes: Votes, classes: int) -> None:
    """Raises ValueError where `votes` is not [n, m] of classes and abstentions, or there are fewer than two classes."""
    if votes.ndim != 2:
        raise ValueError(f"votes of shape {votes.shape}; expected [rows, functions]")
    if classes < 2:
        raise ValueError(f"{classes} classes: a label model needs two or more")
    if votes.size and not (votes.min() >= ABSTAIN and votes.max() < classes):
        raise ValueError(f"votes from {votes.min()} to {votes.max()}; expected {ABSTAIN} to {classes - 1}")


def vote_statistics(votes: Votes) -> VoteStatistics:
    """Coverage, overlap and conflict (Ratner et al. 2017, arXiv 1711.10160, 2.3) of each function."""
    n = max(len(votes), 1)
    said = votes != ABSTAIN
    count = said.sum(axis=1, keepdims=True)
    overlap = said & (count > 1)
    top = np.where(said, votes, -1).max(axis=1, keepdims=True, initial=-1)
    low = np.where(said, votes, np.iinfo(np.int64).max).min(axis=1, keepdims=True, initial=np.iinfo(np.int64).max)
    conflict = said & (top != low)
    return VoteStatistics(said.sum(0) / n, overlap.sum(0) / n, conflict.sum(0) / n)


def majority_vote(votes: Votes, classes: int) -> Floats:
    """[n, k]: each vote counts alike, ties share; even where no function votes."""
    check_votes(votes, classes)
    counts = _counts(votes, np.ones(votes.shape[1]), classes)
    best = counts == counts.max(axis=1, keepdims=True)
    return best / best.sum(axis=1, keepdims=True)


def triplet_accuracies(votes: Votes, classes: int) -> Floats:
    """P(right | votes) of each function, float64 [m], from how often each two agree where both vote; NaN where that cannot be told.

    With errors spread evenly over the k − 1 wrong classes, two functions of accuracies a and b agree with probability
    1/k + (k − 1)/k · u·v, where u = (k·a − 1)/(k − 1) and v likewise, whatever the class balance. So |u| of one follows from any two others:
    u² = q(1,2) · q(1,3) / q(2,3). The median over all pairs of others is taken; functions are better than chance (u > 0).
    """
    check_votes(votes, classes)
    m = votes.shape[1]
    product = np.full((m, m), np.nan)
    for i, j in combinations(range(m), 2):
        both = (votes[:, i] != ABSTAIN) & (votes[:, j] != ABSTAIN)
        if both.sum() >= SEEN:
            agree = float((votes[both, i] == votes[both, j]).mean())
            product[i, j] = product[j, i] = (classes * agree - 1) / (classes - 1)
    skill = np.full(m, np.nan)
    for i in range(m):
        found = [
            abs(product[i, j] * product[i, k] / product[j, k]) ** 0.5
            for j, k in combinations([x for x in range(m) if x != i], 2)
            if np.isfinite(product[i, j] * product[i, k] * product[j, k]) and abs(product[j, k]) > 0.01
        ]
        if found:
            skill[i] = min(float(np.median(found)), 1.0)
    return (1 + (classes - 1) * skill) / classes


def fit_triplets(votes: Votes, classes: int, prior: Floats | None = None) -> LabelModel:
    """The label model with the accuracies of `triplet_accuracies`; where these cannot be told, with how often a function agrees with
    the majority. prior: the share of each class; even where None.
    """
    accuracy = triplet_accuracies(votes, classes)
    agreed = _accuracy(votes, majority_vote(votes, classes))
    accuracy = np.where(np.isnan(accuracy), agreed, accuracy)
    prior = np.full(classes, 1 / classes) if prior is None else prior
    confusion = _symmetric_confusion(votes, accuracy, classes)
    return LabelModel(_posterior(votes, confusion, prior, informative=False), accuracy, confusion, prior, 0)


def fit_dawid_skene(
    votes: Votes,
    classes: int,
    *,
    confusion: Literal["symmetric", "full"] = "symmetric",
    prior: Floats | None = None,
    iterations: int = 200,
    tolerance: float = 1e-6,
) -> LabelModel:
    """Maximum a posteriori by EM, begun with the majority vote; stops when no posterior moves by `tolerance`, or after `iterations`.

    symmetric: a function is right with one probability, errs evenly, and abstains whatever the class is. full: P(vote | class) for
    each class, abstaining included: right for functions that know one class only, and in need of more rows. prior: the share of each
    class; estimated where None. Counts are smoothed by one row in all for each distribution (two rows at an accuracy of 0.75), so that
    a function seen a few times stays near "better than chance".
    """
    check_votes(votes, classes)
    patterns, back, weight = _patterns(votes)
    start = prior
    share = np.full(classes, 1 / classes) if start is None else start
    posterior = majority_vote(patterns, classes)
    table = np.zeros((votes.shape[1], classes, classes + 1))
    step = 0
    for step in range(1, iterations + 1):
        if confusion == "full":
            table = _full_confusion(patterns, posterior, weight, classes)
        else:
            right = _accuracy(patterns, posterior, weight, smooth=True)
            table = _symmetric_confusion(patterns, right, classes, weight)
        if start is None:
            share = (posterior * weight[:, None]).sum(0) + 1
            share = share / share.sum()
        fresh = _posterior(patterns, table, share, informative=confusion == "full")
        moved = float(np.abs(fresh - posterior).max(initial=0.0))
        posterior = fresh
        if moved < tolerance or step == iterations:
            break
    return LabelModel(posterior[back], _accuracy(patterns, posterior, weight), table, share, step)


def dependent_pairs(votes: Votes, model: LabelModel, threshold: float = 5.0) -> list[tuple[int, int, float]]:
    """(i, j, z): functions that agree more often than two that err independently would, by z standard errors, strongest first.

    Such a pair counts twice in every posterior: one of the two is better taken out.
    """
    classes = model.posterior.shape[1]
    skill = (classes * model.accuracy - 1) / (classes - 1)
    found: list[tuple[int, int, float]] = []
    for i, j in combinations(range(votes.shape[1]), 2):
        both = (votes[:, i] != ABSTAIN) & (votes[:, j] != ABSTAIN)
        if both.sum() < SEEN:
            continue
        expected = float(np.clip(1 / classes + (classes - 1) / classes * skill[i] * skill[j], 0.01, 0.99))
        agree = float((votes[both, i] == votes[both, j]).mean())
        z = (agree - expected) / (expected * (1 - expected) / both.sum()) ** 0.5
        if z > threshold and agree - expected > 0.05:
            found.append((i, j, float(z)))
    return sorted(found, key=lambda pair: -pair[2])


def _patterns(votes: Votes) -> tuple[Votes, Votes, Floats]:
    """The different rows of votes, where each row's is among them, and how often each occurs: EM then costs by patterns, not rows."""
    if not len(votes):
        return votes, np.zeros(0, np.int64), np.zeros(0)
    unique, back, count = np.unique(votes, axis=0, return_inverse=True, return_counts=True)
    return unique, back.reshape(-1), count.astype(np.float64)


def _counts(votes: Votes, weight: Floats, classes: int) -> Floats:
    """[n, k]: the summed weights of the functions that vote for each class."""
    counts = np.zeros((len(votes), classes))
    for function in range(votes.shape[1]):
        rows = np.flatnonzero(votes[:, function] != ABSTAIN)
        counts[rows, votes[rows, function]] += weight[function]
    return counts


def _accuracy(votes: Votes, posterior: Floats, weight: Floats | None = None, smooth: bool = False) -> Floats:
    """[m]: the mean posterior of what a function votes for."""
    weight = np.ones(len(votes)) if weight is None else weight
    result = np.full(votes.shape[1], np.nan)
    for function in range(votes.shape[1]):
        rows = np.flatnonzero(votes[:, function] != ABSTAIN)
        right = float((posterior[rows, votes[rows, function]] * weight[rows]).sum())
        total = float(weight[rows].sum())
        if smooth:
            result[function] = (right + 1.5) / (total + 2)
        elif total:
            result[function] = right / total
    return result


def _symmetric_confusion(votes: Votes, accuracy: Floats, classes: int, weight: Floats | None = None) -> Floats:
    """[m, k, k + 1] of functions that err evenly and abstain whatever the class is."""
    weight = np.ones(len(votes)) if weight is None else weight
    said = ((votes != ABSTAIN) * weight[:, None]).sum(0) / max(float(weight.sum()), 1.0)
    right = np.clip(np.where(np.isnan(accuracy), 1 / classes, accuracy), FLOOR, 1 - FLOOR)
    table = np.empty((votes.shape[1], classes, classes + 1))
    table[:, :, :classes] = ((1 - right) / (classes - 1) * said)[:, None, None]
    table[:, np.arange(classes), np.arange(classes)] = (right * said)[:, None]
    table[:, :, classes] = (1 - said)[:, None]
    return table


def _full_confusion(votes: Votes, posterior: Floats, weight: Floats, classes: int) -> Floats:
    """[m, k, k + 1] by soft counts, smoothed by one row spread over what may be said."""
    table = np.empty((votes.shape[1], classes, classes + 1))
    mass = posterior * weight[:, None]
    for function in range(votes.shape[1]):
        said = np.where(votes[:, function] == ABSTAIN, classes, votes[:, function])
        for outcome in range(classes + 1):
            table[function, :, outcome] = mass[said == outcome].sum(0) + 1 / (classes + 1)
    return table / table.sum(axis=2, keepdims=True)


def _posterior(votes: Votes, confusion: Floats, prior: Floats, *, informative: bool) -> Floats:
    """[n, k] by Bayes' rule. informative: whether abstaining, too, says something about the class."""
    classes = len(prior)
    log = np.log(np.maximum(confusion, FLOOR**2))
    total = np.tile(np.log(np.maximum(prior, FLOOR)), (len(votes), 1))
    for function in range(votes.shape[1]):
        said = votes[:, function]
        index = np.where(said == ABSTAIN, classes, said)
        part = log[function][:, index].T
        if not informative:
            part = part * (said != ABSTAIN)[:, None]
        total += part
    total -= total.max(axis=1, keepdims=True)
    share = np.exp(total)
    return share / share.sum(axis=1, keepdims=True)
