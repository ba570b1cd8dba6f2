"""Labels that are probably wrong: confident learning (Northcutt et al. 2021, arXiv 1911.00068).

Letters: n rows · k classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """rows: int64 [e], likeliest errors first · suggested: int64 [e], the class each probably is ·
    quality: float64 [n], the normalised margin (p(given) − max p(other) + 1) / 2 of every row, low where a label is not believed ·
    joint: float64 [k, k], the estimated share of rows with given class i and true class j · noise: its sum off the diagonal.
    """

    rows: Ints
    suggested: Ints
    quality: Floats
    joint: Floats
    noise: float


def find_label_errors(
    labels: Ints, probabilities: Floats, rank: Literal["confident", "noise_rate"] = "confident"
) -> LabelErrors:
    """Which of `labels` [n] are not believed by out-of-sample `probabilities` [n, k].

    A row counts confidently as class j where p(j) reaches the mean p(j) of the rows labelled j; of several, the likeliest
    (equation 1). confident: every row that counts as another class (C_confusion). noise_rate: of the rows labelled i, the n · joint[i, j]
    with the largest p(j) − p(i), for each j (prune by noise rate). A row is suggested the likeliest class but its own.
    """
    n, classes = probabilities.shape
    rows = np.arange(n)
    given = probabilities[rows, labels] if n else np.zeros(0)
    others = probabilities.copy()
    others[rows, labels] = -1.0
    quality = (given - others.max(axis=1, initial=0.0) + 1) / 2
    counted = confident_classes(labels, probabilities)
    joint = estimate_joint(labels, counted, classes)
    if rank == "confident":
        wrong = (counted >= 0) & (counted != labels)
        suggested = np.where(wrong, counted, labels)
    else:
        suggested = _prune_by_noise_rate(labels, probabilities, joint)
        wrong = suggested != labels
    found = np.flatnonzero(wrong)
    found = found[np.argsort(quality[found], kind="stable")]
    return LabelErrors(found, suggested[found], quality, joint, float(joint.sum() - np.trace(joint)))


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
