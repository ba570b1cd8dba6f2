"""Labels of a sheet that are probably wrong: told, marked, put right or taken out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from chiasm.building import LabelErrorsConfig
from chiasm.dataset.features import gather
from chiasm.dataset.label_errors import find_label_errors
from chiasm.dataset.labelling import SUGGESTED, Labelling
from chiasm.dataset.probe import assign_folds, out_of_sample
from chiasm.dataset.step import Embedder
from chiasm.errors import DataError
from chiasm.sources import Progress

EXAMPLES = 50
PAIRS = 20


def check_labels(
    name: str,
    config: LabelErrorsConfig,
    labelling: Labelling,
    model: Embedder | None,
    seed: int,
    progress: Progress | None,
) -> dict[str, Any]:
    """Look for wrong labels `name` and do with them as `config.action` says; the facts of it.

    Each row is judged by a linear probe that saw neither it nor its group. Classes of fewer rows than folds are not judged. The column
    NAME_quality holds every judged row's, 0 … 1. Raises DataError where fewer than two classes can be judged.
    """
    coded = labelling.coded(name)
    features = gather(labelling.sheet, config.features, model, seed=seed, progress=progress, stage=f"errors {name}")
    known = (coded.codes >= 0) & features.present
    count = np.bincount(coded.codes[known], minlength=len(coded.classes))
    kept = np.flatnonzero(count >= config.folds)
    if len(kept) < 2:
        raise DataError(
            f"label.errors.{name}: {len(kept)} classes have {config.folds} rows or more; two or more are needed"
        )
    renumber = np.full(len(coded.classes) + 1, -1)
    renumber[kept] = np.arange(len(kept))
    codes = renumber[coded.codes]
    places = np.flatnonzero(known & (codes >= 0))
    labels = codes[places]
    fold = assign_folds(labels, [labelling.groups[int(place)] for place in places], config.folds, seed)
    probabilities = out_of_sample(features.standardised()[places], labels, len(kept), fold)
    found = find_label_errors(labels, probabilities, config.rank)
    classes = [coded.classes[index] for index in kept]
    quality = np.full(len(coded.codes), np.nan, np.float32)
    quality[places] = found.quality
    labelling.column(name, "quality")[:] = quality
    wrong = [
        (int(places[row]), classes[int(labels[row])], classes[int(better)], float(found.quality[row]))
        for row, better in zip(found.rows, found.suggested, strict=True)
    ]
    _act(name, config, labelling, [(place, given, better) for place, given, better, _ in wrong])
    return {
        "judged": len(places),
        "rare": int(known.sum()) - len(places),
        "found": len(wrong),
        "action": config.action,
        "estimated_noise": found.noise,
        "confident_noise": float(found.joint.sum() - np.trace(found.joint)),
        "held_out_accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "pairs": [
            [*pair, n] for pair, n in Counter((given, better) for _, given, better, _ in wrong).most_common(PAIRS)
        ],
        "examples": [
            {"id": labelling.ids[place], "given": given, "suggested": better, "quality": right}
            for place, given, better, right in wrong[:EXAMPLES]
        ],
    }


def _act(name: str, config: LabelErrorsConfig, labelling: Labelling, wrong: list[tuple[int, str, str]]) -> None:
    if config.action == "mark":
        labelling.give(f"{name}{SUGGESTED}", {place: better for place, _, better in wrong})
    elif config.action == "replace":
        labelling.give(name, {place: better for place, _, better in wrong})
    elif config.action == "remove":
        for place, given, better in wrong:
            labelling.remove(place, "label_error", f"labelled {name} = {given}; all others say {better}")
