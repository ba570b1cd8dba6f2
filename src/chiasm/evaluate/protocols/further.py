"""What is measured beside retrieval, each where the model and the table allow it: captions, fairness, association, downstream, probes,
pointing, fine-tuning.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from chiasm.evaluate.explain.pointing import pointing
from chiasm.evaluate.protocols.association import associations
from chiasm.evaluate.protocols.captions import captions
from chiasm.evaluate.protocols.entailment import entailment
from chiasm.evaluate.protocols.fairness import LEAST, attributes, fairness
from chiasm.evaluate.protocols.features import downstream
from chiasm.evaluate.protocols.finetune import finetune
from chiasm.evaluate.protocols.probes import probes
from chiasm.evaluate.protocols.similarity import name_similarity
from chiasm.evaluate.retrieval.asked import asked_all
from chiasm.evaluate.retrieval.study import Rows, Study
from chiasm.train.model import LoadedModel

Found = dict[str, dict[str, Any]]


def further(study: Study, wanted: Sequence[str], clock: MutableMapping[str, float]) -> dict[str, Found]:
    """{protocol: {split: …}} of those wanted, without splits of which nothing could be asked. clock: when each protocol was done."""
    found: dict[str, Found] = {name: {} for name in FURTHER}
    for name in (one for one in FURTHER if one in wanted):
        for done, split in enumerate(study.tested):
            study.progress(name, done, len(study.tested))
            entry = FURTHER[name](study, study.splits[split])
            if entry:
                found[name][split] = entry
        study.progress(name, len(study.tested), len(study.tested))
        clock[name] = time.perf_counter()
    return found


def _captions(study: Study, rows: Rows) -> dict[str, Any]:
    return captions(study.model, study.table, study.scorer, rows, study.seed)


def _fairness(study: Study, rows: Rows) -> dict[str, Any]:
    asked = asked_all(study.model, study.scorer, study.pairs, rows, study.items.labels, study.known)
    return fairness(asked, study.groups, attributes(study.items.labels, rows, study.by), study.seed)


def _associations(study: Study, rows: Rows) -> dict[str, Any]:
    """{label: {modality: {"a / b": …}}} of media in groups, against pleasant and unpleasant words."""
    if "text" not in study.model.modalities:
        return {}
    found: dict[str, Any] = {}
    for label, values in attributes(study.items.labels, rows, study.by).items():
        if "×" in label:
            continue
        for modality, whole in study.items.sides.items():
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
                found.setdefault(label, {})[modality] = associations(study.model, groups, seed=study.seed)
    return found


def _downstream(study: Study, rows: Rows) -> dict[str, Any]:
    learned = study.train & ~rows
    if not learned.any():
        return {}
    return downstream(study.items, learned, rows, study.groups, study.left_out, study.seed)


def _probes(study: Study, rows: Rows) -> dict[str, Any]:
    table, groups, learned = study.table, study.groups, study.train & ~rows
    found = probes(study.model, table, np.flatnonzero(rows), groups, seed=study.seed)
    said: dict[str, Any] = {}
    if learned.any():
        said = entailment(study.model, table, np.flatnonzero(learned), np.flatnonzero(rows), groups, study.seed)
    names = [some[0]["text"] if some else "" for some in table.columns(["texts"])["texts"].to_pylist()]
    alike = name_similarity(study.items, names, rows, study.seed)
    return found | ({"entailment": said} if said else {}) | ({"similarity": alike} if alike else {})


def _pointing(study: Study, rows: Rows) -> dict[str, Any]:
    model = study.model
    if not isinstance(model, LoadedModel) or not {"text", "image"} <= set(model.modalities):
        return {}
    return pointing(model, study.table, np.flatnonzero(rows), study.groups, seed=study.seed, progress=study.progress)


FURTHER: Mapping[str, Callable[[Study, Rows], dict[str, Any]]] = {
    "captions": _captions,
    "fairness": _fairness,
    "association": _associations,
    "downstream": _downstream,
    "probes": _probes,
    "pointing": _pointing,
    "finetune": finetune,
}
"""In the order in which they are run and told."""

NEEDS: Mapping[str, str] = {
    "zero_shot": "texts, another modality, and labels of 2 to 1,000 values",
    "captions": "two captions or more of most pictures, clips or sounds",
    "fairness": "labels that make groups of 10 records or more",
    "association": "texts, and labels (--by) that make groups of 10 records or more",
    "downstream": "a train split with labels of 2 to 100 values",
    "probes": "boxes and relations, true or false statements, or texts",
    "pointing": "boxes, and a model of texts and pictures",
    "finetune": "a train split, apart from what is measured, with labels (--by) of 2 to 100 values",
}
"""What each protocol needs of model and table."""
