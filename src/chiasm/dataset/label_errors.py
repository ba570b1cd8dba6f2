"""Labels that are probably wrong, by what a model of the others says: by a mixture of right and wrong labels, or by confident learning
(Northcutt et al. 2021, arXiv 1911.00068).

Letters: n rows · k classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.calibration import softmax

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


Rank = Literal["likely", "confident", "noise_rate"]

LIKELY = 0.5
"""Probability of being wrong from which a label is told."""

MOST = 0.5
"""Share of wrong labels, at most: beyond that there is nothing to learn from."""


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """rows: int64 [e], likeliest errors first · suggested: int64 [e], the class each probably is ·
    quality: float64 [n], the probability that a row's label is right · noise: the estimated share of wrong labels ·
    joint: float64 [k, k], the share of rows with given class i and true class j as confident learning estimates it.
    """

    rows: Ints
    suggested: Ints
    quality: Floats
    noise: float
    joint: Floats


def find_label_errors(labels: Ints, probabilities: Floats, rank: Rank = "likely") -> LabelErrors:
    """Which of `labels` [n] are not believed by out-of-sample `probabilities` [n, k].

    likely: rows that are wrong with a probability of LIKELY by `error_probabilities`. confident: every row that confidently counts as
    another class (C_confusion): p(j) reaches the mean p(j) of the rows labelled j (equation 1); with a weak model these are many. noise_rate:
    of the rows labelled i, the n · joint[i, j] with the largest p(j) − p(i), for each j (prune by noise rate). A row is suggested the
    likeliest class but its own.
    """
    n, classes = probabilities.shape
    rows = np.arange(n)
    wrong_by, noise = error_probabilities(labels, probabilities)
    others = probabilities.copy()
    others[rows, labels] = -1.0
    counted = confident_classes(labels, probabilities)
    joint = estimate_joint(labels, counted, classes)
    if rank == "likely":
        suggested = np.where(wrong_by >= LIKELY, others.argmax(axis=1), labels)
    elif rank == "confident":
        suggested = np.where(counted >= 0, counted, labels)
    else:
        suggested = _prune_by_noise_rate(labels, probabilities, joint)
    found = np.flatnonzero(suggested != labels)
    found = found[np.argsort(-wrong_by[found], kind="stable")]
    return LabelErrors(found, suggested[found], 1 - wrong_by, noise, joint)


def error_probabilities(labels: Ints, probabilities: Floats) -> tuple[Floats, float]:
    """P(wrong) [n] of each label, and the share ν of wrong ones.

    A label is right with 1 − ν, and then of class c with p(c) at a temperature T; or wrong, and then any other class alike. T and ν are those
    that make the labels likeliest, so that a weak model, which doubts much, accuses little: what is left unexplained by its
    own doubt is noise.
    """
    from scipy.optimize import minimize_scalar

    n, classes = probabilities.shape
    if not n:
        return np.zeros(0), 0.0
    rows = np.arange(n)
    logits = np.log(np.maximum(probabilities, 1e-12))

    def best_noise(given: Floats) -> tuple[float, float]:
        """The likeliest ν for p(given) [n], and the mean negative log-likelihood that it leaves; the likelihood is concave in ν."""
        other = (1 - given) / (classes - 1)

        def loss(noise: float) -> float:
            return float(-np.log(np.maximum((1 - noise) * given + noise * other, 1e-300)).mean())

        found: Any = minimize_scalar(loss, bounds=(0.0, MOST), method="bounded", options={"xatol": 1e-5})
        return float(found.x), float(found.fun)

    def at(log_temperature: float) -> Floats:
        return softmax(logits, float(np.exp(log_temperature)))[rows, labels]

    found: Any = minimize_scalar(lambda log_t: best_noise(at(log_t))[1], bounds=(-2.0, 2.0), method="bounded")
    given = at(float(found.x))
    noise = best_noise(given)[0]
    right, wrong = (1 - noise) * given, noise * (1 - given) / (classes - 1)
    return wrong / np.maximum(right + wrong, 1e-300), noise


def confident_classes(labels: Ints, probabilities: Floats) -> Ints:
    """The class that each row counts as, [n]; −1 where no class is likely enough."""
    classes = probabilities.shape[1]
    own = np.bincount(labels, weights=probabilities[np.arange(len(labels)), labels], minlength=classes)
    count = np.bincount(labels, minlength=classes)
    threshold = np.where(count > 0, own / np.maximum(count, 1), np.inf)  # a class that nobody has cannot be meant
    reached = np.where(probabilities >= threshold - 1e-12, probabilities, -1.0)
    return np.where(reached.max(axis=1, initial=-1.0) >= 0, reached.argmax(axis=1), -1)


def estimate_joint(labels: Ints, counted: Ints, classes: int) -> Floats:
    """[k, k]: the confident joint, its rows scaled to the classes' real counts, as shares of all rows (equations 1 and 2)."""
    sure = counted >= 0
    joint = np.bincount(labels[sure] * classes + counted[sure], minlength=classes * classes).astype(np.float64)
    joint = joint.reshape(classes, classes)
    empty = joint.sum(axis=1) == 0
    joint[empty, empty] = 1.0  # nothing is known of these rows: taken as right
    joint *= (np.bincount(labels, minlength=classes) / joint.sum(axis=1))[:, None]
    return joint / max(joint.sum(), 1.0)


def _prune_by_noise_rate(labels: Ints, probabilities: Floats, joint: Floats) -> Ints:
    suggested = labels.copy()
    best = np.full(len(labels), -np.inf)
    classes = len(joint)
    for i in range(classes):
        rows = np.flatnonzero(labels == i)
        for j in range(classes):
            count = round(joint[i, j] * len(labels))
            if i == j or not count:
                continue
            margin = probabilities[rows, j] - probabilities[rows, i]
            taken = np.argsort(-margin, kind="stable")[:count]
            taken = taken[(margin[taken] > 0) & (margin[taken] > best[rows[taken]])]
            suggested[rows[taken]], best[rows[taken]] = j, margin[taken]
    return suggested
