"""What the encoder can become: fine-tuned whole on the train split's labels, beside the linear probe of the vectors as they are."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from chiasm.errors import DataError
from chiasm.evaluate.metrics.bootstrap import intervals, rounded
from chiasm.evaluate.metrics.space import linear_probe
from chiasm.evaluate.protocols.features import Learnable, learnable, probed
from chiasm.evaluate.retrieval.items import CHUNK
from chiasm.evaluate.retrieval.study import Ints, Rows, Study
from chiasm.train.finetune import Labelled, check_trainable
from chiasm.train.finetune import finetune as train_copy
from chiasm.types import Embedder


def check_finetune(model: Embedder, labels: Collection[str]) -> None:
    """Raises ModelError for a model without an encoder that can be trained, DataError for a table without labels."""
    check_trainable(model)
    if not labels:
        raise DataError(
            "the table has no labels to fine-tune on: `chiasm build` takes them from folders and manifests (docs/labels.md)"
        )


def finetune(study: Study, rows: Rows) -> dict[str, Any]:
    """{modality: {label: {accuracy, interval, linear_probe: {accuracy, interval}, gain: {value, interval}, majority, chance, classes,
    records, steps, n}}} of those records of `rows` that have the label.

    A copy of the encoder with a linear head is trained on the records that the probe is fitted on, for a budget fixed beforehand: nothing is
    chosen by a figure, and no record that is reported, of whatever split, is learned from. A record's first value counts; classes that
    training lacks are asked too, and missed. gain: fine-tuned less probe, the interval that of the paired difference. majority: the answer
    most frequent in training.
    """
    apart = study.train & ~np.any(list(study.splits.values()), axis=0)
    found: dict[str, Any] = {}
    for one in learnable(study.items, apart, rows, study.left_out, "finetune", study.by):
        guessed, steps = _answers(study, one)
        learned, asked = one.learned, one.asked
        used = probed(len(learned.rows))
        y, truth = one.number[learned.rows][used], one.number[asked.rows]
        probe = linear_probe(learned.embedding[used].astype(np.float64), y, asked.embedding.astype(np.float64))
        right = {
            "finetune": (guessed[asked.rows] == truth).astype(np.float64),
            "linear_probe": (probe == truth).astype(np.float64),
        }
        values = right | {"gain": right["finetune"] - right["linear_probe"]}
        bounds = intervals(values, study.groups[asked.rows], seed=study.seed)
        figure = {name: round(float(some.mean()), 6) for name, some in values.items()}
        found.setdefault(one.modality, {})[one.label] = {
            "accuracy": figure["finetune"],
            "interval": rounded(bounds["finetune"]),
            "linear_probe": {"accuracy": figure["linear_probe"], "interval": rounded(bounds["linear_probe"])},
            "gain": {"value": figure["gain"], "interval": rounded(bounds["gain"])},
            "majority": round(float((truth == np.bincount(y).argmax()).mean()), 6),
            "chance": round(1 / len(np.unique(y)), 6),
            "classes": one.classes,
            "records": len(used),
            "steps": steps,
            "n": len(truth),
        }
    return found


def _answers(study: Study, one: Learnable) -> tuple[Ints, int]:
    """The fine-tuned copy's answer to every reported record, int64 [rows of the table], −1 for the others; and the steps it was trained.
    One training serves all splits."""
    key = (one.modality, one.label)
    if key in study.tuned:
        return study.tuned[key]
    used = one.learned.rows[probed(len(one.learned.rows))]
    data = Labelled(study.table, one.modality, used, one.number[used], one.classes)
    vectors = study.items.sides[one.modality].at(np.isin(np.arange(len(one.number)), used)).embedding
    stage = f"finetune {one.label} of {one.modality}"
    copy, steps = train_copy(
        check_trainable(study.model),
        data,
        vectors,
        steps=study.budget.steps,
        minutes=study.budget.minutes,
        seed=study.seed,
        progress=lambda _, done, total, info: study.progress(stage, done, total),
    )
    there = study.items.sides[one.modality].rows
    reported = np.any([study.splits[name] for name in study.tested], axis=0)
    asked = there[reported[there] & (one.number[there] >= 0)]
    answers = np.full(len(one.number), -1, np.int64)
    for start in range(0, len(asked), CHUNK):
        chunk = asked[start : start + CHUNK]
        answers[chunk] = copy.predict(
            Labelled(study.table, one.modality, chunk, one.number[chunk], one.classes).items(np.arange(len(chunk)))
        )
    study.tuned[key] = answers, steps
    return study.tuned[key]
