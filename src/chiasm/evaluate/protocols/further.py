"""What is measured beside retrieval, each where the model and the table allow it: fairness, association, downstream, probes, pointing."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.evaluate.explain.pointing import pointing
from chiasm.evaluate.protocols.association import associations
from chiasm.evaluate.protocols.entailment import entailment
from chiasm.evaluate.protocols.fairness import LEAST, attributes, fairness
from chiasm.evaluate.protocols.features import downstream
from chiasm.evaluate.protocols.probes import probes
from chiasm.evaluate.protocols.similarity import name_similarity
from chiasm.evaluate.retrieval.asked import asked_all
from chiasm.evaluate.retrieval.items import Collected, Progress
from chiasm.evaluate.retrieval.pairs import Scorer
from chiasm.train.model import LoadedModel
from chiasm.types import Embedder

Found = dict[str, dict[str, Any]]


def further(
    model: Embedder,
    table: Table,
    scorer: Scorer,
    pairs: list[tuple[str, str]],
    splits: Mapping[str, NDArray[np.bool_]],
    train: NDArray[np.bool_],
    wanted: Sequence[str],
    by: Sequence[str] | None,
    left_out: dict[str, str],
    known: dict[str, NDArray[np.float32]],
    seed: int,
    clock: MutableMapping[str, float],
    progress: Progress | None,
) -> dict[str, Found]:
    """{protocol: {split: …}}, without splits of which nothing could be asked. splits: those that test; train: whose rows may be learned from.
    known: vectors of class names, as in zero_shot.zero_shot.

    clock: when each protocol was done.
    """
    found: dict[str, Found] = {name: {} for name in ("fairness", "association", "downstream", "probes", "pointing")}
    groups = scorer.groups
    for name in (one for one in found if one in wanted):
        for done, (split, rows) in enumerate(splits.items()):
            if progress:
                progress(name, done, len(splits))
            learned = train & ~rows
            entry: dict[str, Any]
            if name == "fairness":
                entry = fairness(
                    asked_all(model, scorer, pairs, rows, scorer.items.labels, known),
                    groups,
                    attributes(scorer.items.labels, rows, by),
                    seed,
                )
            elif name == "association":
                entry = _associations(model, scorer.items, rows, by, seed)
            elif name == "downstream":
                entry = downstream(scorer.items, learned, rows, groups, left_out, seed) if learned.any() else {}
            elif name == "probes":
                entry = _probes(model, table, scorer, learned, rows, seed)
            else:
                entry = _pointing(model, table, rows, groups, seed, progress)
            if entry:
                found[name][split] = entry
        if progress:
            progress(name, len(splits), len(splits))
        clock[name] = time.perf_counter()
    return found


def _associations(
    model: Embedder, items: Collected, rows: NDArray[np.bool_], by: Sequence[str] | None, seed: int
) -> dict[str, Any]:
    """{label: {modality: {"a / b": …}}} of media in groups, against pleasant and unpleasant words."""
    if "text" not in model.modalities:
        return {}
    found: dict[str, Any] = {}
    for label, values in attributes(items.labels, rows, by).items():
        if "×" in label:
            continue
        for modality, whole in items.sides.items():
            if modality == "text":
                continue
            side = whole.at(rows)
            of = np.array([values[row] or "" for row in side.rows], dtype=object)
            groups = {
                name: side.embedding[of == name]
                for name in sorted(set(of.tolist()) - {""})
                if (of == name).sum() >= LEAST
            }
            if len(groups) >= 2:
                found.setdefault(label, {})[modality] = associations(model, groups, seed=seed)
    return found


def _probes(
    model: Embedder, table: Table, scorer: Scorer, train: NDArray[np.bool_], rows: NDArray[np.bool_], seed: int
) -> dict[str, Any]:
    groups = scorer.groups
    found = probes(model, table, np.flatnonzero(rows), groups, seed=seed)
    said = entailment(model, table, np.flatnonzero(train), np.flatnonzero(rows), groups, seed) if train.any() else {}
    names = [some[0]["text"] if some else "" for some in table.columns(["texts"])["texts"].to_pylist()]
    alike = name_similarity(scorer.items, names, rows, seed)
    return found | ({"entailment": said} if said else {}) | ({"similarity": alike} if alike else {})


def _pointing(
    model: Embedder,
    table: Table,
    rows: NDArray[np.bool_],
    groups: NDArray[np.int64],
    seed: int,
    progress: Progress | None,
) -> dict[str, Any]:
    if not isinstance(model, LoadedModel) or not {"text", "image"} <= set(model.modalities):
        return {}
    return pointing(model, table, np.flatnonzero(rows), groups, seed=seed, progress=progress)
