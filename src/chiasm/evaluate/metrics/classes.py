"""Classification: accuracy, balanced accuracy, precision, recall and F1, area under the ROC curve.

Legend: n items · C classes. Figures follow scikit-learn's definitions, a class without a prediction having precision 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError

Float = NDArray[np.float64]
Ints = NDArray[np.int64]


def class_scores(predicted: Sequence[str], truth: Sequence[str]) -> dict[str, float]:
    """accuracy, balanced_accuracy, and precision, recall and f1 each _macro (mean over the classes) and _micro (all items together).

    predicted, truth: the classes' names, n each. Macro figures are over all classes that occur in either; balanced accuracy is the mean
    recall of those in the truth (Brodersen et al. 2010). With one class an item the micro figures all equal accuracy.
    Raises DataError where the numbers differ or there is nothing.
    """
    both, mine, right = (column.astype(np.float64) for column in confusion(predicted, truth))
    sharp = np.divide(both, mine, out=np.zeros_like(both), where=mine > 0)
    found = np.divide(both, right, out=np.zeros_like(both), where=right > 0)
    f1 = np.divide(2 * both, mine + right, out=np.zeros_like(both), where=mine + right > 0)
    accuracy = float(both.sum() / right.sum())
    return {
        "accuracy": accuracy,
        "balanced_accuracy": float(found[right > 0].mean()),
        "precision_macro": float(sharp.mean()),
        "recall_macro": float(found.mean()),
        "f1_macro": float(f1.mean()),
        "precision_micro": accuracy,
        "recall_micro": accuracy,
        "f1_micro": accuracy,
    }


def confusion(predicted: Sequence[str], truth: Sequence[str]) -> tuple[Ints, Ints, Ints]:
    """How many items of each class are right, are predicted, and are true: int64 [C] each, the classes of either sorted by name."""
    if len(predicted) != len(truth) or not len(truth):
        raise DataError(
            f"{len(predicted)} predictions and {len(truth)} true classes: give each item both, and at least one item"
        )
    place = {label: i for i, label in enumerate(sorted({*predicted, *truth}))}
    mine, right = (np.array([place[label] for label in side], dtype=np.int64) for side in (predicted, truth))
    size = len(place)
    return (
        np.bincount(right[mine == right], minlength=size),
        np.bincount(mine, minlength=size),
        np.bincount(right, minlength=size),
    )


def area_under_curve(score: Float, truth: NDArray[np.bool_]) -> float:
    """How often a true item has a higher score than a false one, ties half: the area under the ROC curve (Hanley & McNeil 1982).

    score: [n]; truth: bool [n]. Raises DataError where truth is all of one kind."""
    from scipy.stats import rankdata

    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        raise DataError("the area under the ROC curve needs true and false items: all are of one kind")
    above = float(rankdata(score)[truth].sum()) - positive * (positive + 1) / 2
    return above / (positive * negative)


def macro_area_under_curve(scores: Float, truth: Ints) -> float:
    """The mean of each class's area against all others (one against the rest): scores [n, C]; truth int64 [n], every class occurring.

    Raises DataError where a class does not occur."""
    return float(np.mean([area_under_curve(scores[:, c], truth == c) for c in range(scores.shape[1])]))
