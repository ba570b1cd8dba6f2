"""Zero-shot classification: an item's class is the class name whose text embedding lies nearest (arXiv
2103.00020, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.metrics.bootstrap import intervals
from chiasm.evaluate.metrics.ranks import accuracy
from chiasm.evaluate.retrieval.items import Collected
from chiasm.types import Embedder, Text

MOST_CLASSES = 1_000
_BLOCK = 4_096


def zero_shot(
    model: Embedder,
    items: Collected,
    splits: Mapping[str, NDArray[np.bool_]],
    groups: NDArray[np.int64],
    seed: int,
    left_out: dict[str, str],
    known: dict[str, NDArray[np.float32]] | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """{split: {modality: {label name: {accuracy, interval, chance, majority, classes, n}}}}; splits: name →
    bool [rows of the table].

    The classes are all values that the table has for the label. `majority` is the share of the split's
    commonest class: what always giving that one answer would score. A record with several values is right
    with any of them. known: vectors of class names, by label, filled as they are made.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in splits}
    if "text" not in model.modalities:
        return found
    for label, values in sorted(items.labels.items()):
        classes = sorted({value for some in values for value in some})
        if not 2 <= len(classes) <= MOST_CLASSES:
            left_out[f"zero-shot {label}"] = f"{len(classes)} classes; 2 to {MOST_CLASSES:,} are scored"
            continue
        names = class_vectors(model, label, classes, {} if known is None else known)
        place = {value: index for index, value in enumerate(classes)}
        labelled = np.array([bool(some) for some in values])
        for split, rows in splits.items():
            for modality, whole in items.sides.items():
                side = whole.at(labelled & rows)
                if modality == "text" or len(side.rows) < 2:
                    continue
                truth = np.zeros((len(side.rows), len(classes)), dtype=bool)
                for row, record in enumerate(side.rows):
                    truth[row, [place[value] for value in values[record]]] = True
                entry = _score(side.embedding, names, truth, groups[side.rows], seed)
                found[split].setdefault(modality, {})[label] = entry
    return found


def class_vectors(
    model: Embedder, label: str, classes: Sequence[str], known: dict[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """float32 [C, E] of the names of a label's classes; made once and kept in `known`."""
    if label not in known:
        known[label] = model.embed_items("text", [Text(value, kind="label") for value in classes])
    return known[label]


def _score(
    embedding: NDArray[np.float32],
    names: NDArray[np.float32],
    truth: NDArray[np.bool_],
    groups: NDArray[np.int64],
    seed: int,
) -> dict[str, Any]:
    right = np.concatenate(
        [
            accuracy(embedding[start : start + _BLOCK] @ names.T, truth[start : start + _BLOCK])
            for start in range(0, len(embedding), _BLOCK)
        ]
    )
    low, high = intervals({"accuracy": right}, groups, seed=seed)["accuracy"]
    return {
        "accuracy": round(float(right.mean()), 6),
        "interval": [round(low, 6), round(high, 6)],
        "chance": round(float(truth.sum(axis=1).mean() / truth.shape[1]), 6),
        "majority": round(float(truth.mean(axis=0).max()), 6),
        "classes": truth.shape[1],
        "n": len(right),
    }
