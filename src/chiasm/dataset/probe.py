"""A linear probe over features, and what it says of rows that it was not fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEPS = 200


def probe_logits(x: NDArray[np.float32], y: Ints, others: NDArray[np.float32], classes: int) -> Floats:
    """Multinomial logistic regression of standardised features x [n, d] on classes y [n] → log-probabilities [o, classes] of `others` [o, d].

    The penalty grows with d. A class that is not among y gets the log-probability −50.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    logits = np.full((len(others), classes), -50.0)
    found = np.unique(y)
    if len(found) < 2:
        logits[:, found] = 0.0
        return logits
    with threadpool_limits(1, "blas"), warnings.catch_warnings():  # the same sums whatever the machine's cores
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last steps change no answer
        model = LogisticRegression(C=1 / x.shape[1], max_iter=STEPS, tol=1e-3).fit(x, y)
        logits[:, found] = np.maximum(model.predict_log_proba(others), -50.0)
    return logits


def assign_folds(y: Ints, groups: Sequence[str], folds: int, seed: int) -> Ints:
    """A fold 0 … folds − 1 for each row, [n]: groups whole, classes spread evenly (each group counts as its first row's class)."""
    first: dict[str, int] = {}
    for row, group in enumerate(groups):
        first.setdefault(group, row)
    names = list(first)
    order = np.random.default_rng(seed).permutation(len(names))
    ranked = sorted(range(len(names)), key=lambda index: (y[first[names[index]]], order[index]))
    fold = {names[index]: place % folds for place, index in enumerate(ranked)}
    return np.array([fold[group] for group in groups], np.int64)


def out_of_sample(x: NDArray[np.float32], y: Ints, classes: int, fold: Ints) -> Floats:
    """Probabilities [n, classes] of every row by a probe that saw none of its fold; rows add up to 1."""
    logits = np.zeros((len(y), classes))
    for number in np.unique(fold):
        held = fold == number
        logits[held] = probe_logits(x[~held], y[~held], x[held], classes)
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    return share / share.sum(axis=1, keepdims=True)
