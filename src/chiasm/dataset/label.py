"""The step `label`: labels by people, by labelling functions, by a teacher, by neighbours, by clusters; and wrong ones found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from chiasm.building import ClusterConfig
from chiasm.config import BuildConfig
from chiasm.dataset.cluster import NOISE, Clusters, cluster_hdbscan, cluster_kmeans
from chiasm.dataset.features import gather
from chiasm.dataset.label_check import check_labels
from chiasm.dataset.label_manual import import_labels
from chiasm.dataset.label_teach import spread, teach
from chiasm.dataset.label_weak import label_weakly
from chiasm.dataset.labelling import Labelling
from chiasm.dataset.step import Embedder, Outcome, Sheet
from chiasm.sources import Progress


def run(
    sheet: Sheet, config: BuildConfig, *, model: Embedder | None = None, progress: Progress | None = None
) -> Outcome:
    """Labels as `config.label` asks for them, in this order: manual, weak, errors, teacher, spread, cluster; each sees what those
    before it gave. Facts are by part and name.

    Raises ConfigError and DataError where a part cannot be done with these rows, and MachineError or ModelError for a pipeline.
    """
    wanted = config.label
    if not any(getattr(wanted, part) for part in type(wanted).model_fields) or not len(sheet.rows):
        return Outcome()
    labelling = Labelling.of(sheet)
    facts: dict[str, dict[str, Any]] = {}
    if wanted.manual is not None:
        facts["manual"] = import_labels(Path(wanted.manual), labelling)
    for name, weak in wanted.weak.items():
        facts.setdefault("weak", {})[name] = label_weakly(name, weak, labelling, model)
    for name, errors in wanted.errors.items():
        facts.setdefault("errors", {})[name] = check_labels(name, errors, labelling, model, config.seed, progress)
    for name, teacher in wanted.teacher.items():
        facts.setdefault("teacher", {})[name] = teach(name, teacher, labelling, model, config.seed, progress)
    for name, part in wanted.spread.items():
        facts.setdefault("spread", {})[name] = spread(name, part, labelling, model, config.seed, progress)
    for name, cluster in wanted.cluster.items():
        facts.setdefault("cluster", {})[name] = _cluster(name, cluster, labelling, model, config.seed, progress)
    labelling.facts.update(facts)
    return labelling.outcome()


def _cluster(
    name: str, config: ClusterConfig, labelling: Labelling, model: Embedder | None, seed: int, progress: Progress | None
) -> dict[str, Any]:
    """Give rows without a label `name` the name of their cluster; the facts of it, with its purity by every other label."""
    features = gather(labelling.sheet, config.features, model, seed=seed, progress=progress, stage=f"cluster {name}")
    places = np.flatnonzero(features.present)
    x = features.unit()[places]
    found: Clusters = (
        cluster_kmeans(x, config.count, seed)
        if config.method == "kmeans"
        else cluster_hdbscan(x, config.smallest, seed)
    )
    values = labelling.values(name)
    given = {
        int(place): f"cluster-{label}"
        for place, label in zip(places, found.labels, strict=True)
        if label != NOISE and values[int(place)] is None
    }
    labelling.give(name, given)
    return {
        "method": config.method,
        "clusters": int(found.labels.max(initial=-1)) + 1,
        "sizes": np.bincount(found.labels[found.labels != NOISE]).tolist(),
        "noise": int((found.labels == NOISE).sum()),
        "silhouette": None if np.isnan(found.silhouette) else found.silhouette,
        "tried": {str(count): score for count, score in found.tried.items()},
        "labelled": len(given),
    }
