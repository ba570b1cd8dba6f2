"""Is the statement true of the picture? A classifier on what the two vectors have in common, for tables that say so (NLVR, Suhr et al. 2017).

Statements are the texts of records that have a label whose values are true and false (or yes and no, entailment and contradiction), and
questions that are answered yes or no. The classifier sees the product and the distance of the vectors, coordinate by coordinate; who reads the
statement alone is the bar, since statements give their truth away (Goyal et al. 2017, arXiv 1612.00837).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.errors import MediaError
from chiasm.evaluate.comparison.downstream import linear_probe
from chiasm.evaluate.metrics.bootstrap import intervals, rounded
from chiasm.types import Embedder, Media, Record, Text

TRUE, FALSE = {"true", "yes", "entailment"}, {"false", "no", "contradiction"}
MOST = 4_000
"""Statements that are learned from, and asked, at most."""
LEAST = 20


def statements(record: Record) -> list[tuple[str, bool]]:
    """What is said of the record, and whether it is so."""
    found: list[tuple[str, bool]] = []
    for label in record.labels:
        if label.value.casefold() in TRUE | FALSE and record.texts:
            found.append((record.texts[0].text, label.value.casefold() in TRUE))
            break
    for question in record.questions:
        answer = question.answers[0].casefold() if question.answers else ""
        if answer in TRUE | FALSE and question.language in (None, "en"):
            found.append((question.question, answer in TRUE))
    return found


def entailment(
    model: Embedder,
    table: Table,
    train: NDArray[np.int64],
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
    seed: int = 0,
) -> dict[str, Any]:
    """{accuracy, interval, chance (the commoner answer), text_alone, n}; {} where the table says too little.

    train, rows: positions of records to learn from and to ask. groups: int64 [rows of the table], what the bootstrap resamples by.
    """
    if not {"text", "image"} <= set(model.modalities) or "image" not in table.column_names:
        return {}
    learned, asked = _read(model, table, train), _read(model, table, rows)
    if learned is None or asked is None or len(np.unique(learned.truth)) < 2:
        return {}
    right = linear_probe(learned.both, learned.truth, asked.both) == asked.truth
    alone = linear_probe(learned.text, learned.truth, asked.text) == asked.truth
    bounds = intervals({"accuracy": right.astype(np.float64)}, groups[asked.rows], seed=seed)["accuracy"]
    usual = np.bincount(learned.truth).argmax()
    return {
        "accuracy": round(float(right.mean()), 6),
        "interval": rounded(bounds),
        "chance": round(float((asked.truth == usual).mean()), 6),
        "text_alone": round(float(alone.mean()), 6),
        "n": len(right),
    }


class _Said:
    """both: float64 [n, 2E], text: [n, E], truth: int64 [n], rows: int64 [n]."""

    def __init__(
        self, pictures: NDArray[np.float32], texts: NDArray[np.float32], truth: list[bool], rows: list[int]
    ) -> None:
        a, b = pictures.astype(np.float64), texts.astype(np.float64)
        self.both = np.concatenate([a * b, np.abs(a - b)], 1)
        self.text = b
        self.truth = np.array(truth, np.int64)
        self.rows = np.array(rows, np.int64)


def _read(model: Embedder, table: Table, rows: NDArray[np.int64]) -> _Said | None:
    columns = [n for n in ("id", "texts", "image", "labels", "questions") if n in table.column_names]
    pictures: list[Media] = []
    texts: list[Text] = []
    truth: list[bool] = []
    of: list[int] = []
    owner: list[int] = []
    for start in range(0, len(rows), 512):
        for row, record in zip(
            rows[start : start + 512].tolist(), table.records(rows[start : start + 512], columns), strict=True
        ):
            said = statements(record) if record.image else []
            if not said:
                continue
            try:
                pictures.append(Media(data=table.read(record.image[0])))
            except MediaError:
                continue
            for text, true in said:
                texts.append(Text(text))
                truth.append(true)
                of.append(row)
                owner.append(len(pictures) - 1)
        if len(texts) >= MOST or (start >= 2048 and not texts):
            break
    if len(texts) < LEAST:
        return None
    seen = model.embed_items("image", pictures)
    return _Said(seen[np.array(owner)], model.embed_items("text", texts), truth, of)
