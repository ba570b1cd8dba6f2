"""What one model scored for each single query or item: what comparisons between groups and between models are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.evaluate.metrics.ranks import CUTS, accuracy, places
from chiasm.evaluate.retrieval.items import Collected
from chiasm.evaluate.retrieval.pairs import Scorer
from chiasm.evaluate.retrieval.zero_shot import MOST_CLASSES, class_vectors
from chiasm.types import Embedder

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """rows: int64 [Q], the records that asked. values: by metric, float64 [Q], larger is better: r1, r5, r10, map, mrr, or accuracy."""

    rows: NDArray[np.int64]
    values: Mapping[str, Float]


def asked_pair(scorer: Scorer, query: str, target: str, rows: NDArray[np.bool_], gallery: NDArray[np.bool_]) -> Asked:
    """Each main item of `rows` asking among those of `gallery`, both bool [rows of the table]; mrr is the mean of 1 / expected rank."""
    side, among = scorer.items.sides[query].at(rows), scorer.items.sides[target].at(gallery)
    found = places(side.embedding, among.embedding, scorer.relevance(side, query, target, gallery))
    values = {f"r{k}": found.hit(k) for k in CUTS} | {"map": found.precision, "mrr": 1 / found.rank()}
    return Asked(side.rows, values)


def asked_labels(
    model: Embedder,
    items: Collected,
    rows: NDArray[np.bool_],
    labels: Mapping[str, list[tuple[str, ...]]],
    known: dict[str, NDArray[np.float32]],
) -> dict[str, Asked]:
    """{"image: kind": …}: zero-shot accuracy of each labelled item. known: vectors of class names, as in zero_shot.zero_shot."""
    found: dict[str, Asked] = {}
    if "text" not in model.modalities:
        return found
    for label, values in sorted(labels.items()):
        classes = sorted({value for some in values for value in some})
        if not 2 <= len(classes) <= MOST_CLASSES:
            continue
        names = class_vectors(model, label, classes, known)
        place = {value: index for index, value in enumerate(classes)}
        labelled = np.array([bool(some) for some in values])
        for modality, whole in items.sides.items():
            side = whole.at(labelled & rows)
            if modality == "text" or len(side.rows) < 2:
                continue
            truth = np.zeros((len(side.rows), len(classes)), bool)
            for row, record in enumerate(side.rows):
                truth[row, [place[value] for value in values[record]]] = True
            right = accuracy(side.embedding @ names.T, truth)
            found[f"{modality}: {label}"] = Asked(side.rows, {"accuracy": right})
    return found


def labels_of(table: Table) -> dict[str, list[tuple[str, ...]]]:
    """{label: its values of each row of the table}, of every row, whichever are measured."""
    found: dict[str, list[tuple[str, ...]]] = {}
    if "labels" not in table.column_names:
        return found
    for row, labels in enumerate(table.columns(["labels"])["labels"].to_pylist()):
        for label in labels or ():
            values = found.setdefault(label["name"], [()] * len(table))
            if label["value"] not in values[row]:
                values[row] = (*values[row], label["value"])
    return found


def asked_all(
    model: Embedder,
    scorer: Scorer,
    pairs: list[tuple[str, str]],
    rows: NDArray[np.bool_],
    labels: Mapping[str, list[tuple[str, ...]]],
    known: dict[str, NDArray[np.float32]],
) -> dict[str, Asked]:
    """Every direction ("text->image") among the split's own items, and zero-shot accuracy by label ("image: kind")."""
    found: dict[str, Asked] = {}
    for query, target in pairs:
        both = rows & scorer.has(query) & scorer.has(target)
        if both.sum() >= 2:
            found[f"{query}->{target}"] = asked_pair(scorer, query, target, both, both)
    return found | asked_labels(model, scorer.items, rows, labels, known)
