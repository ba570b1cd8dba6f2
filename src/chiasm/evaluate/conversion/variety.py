"""Does a writer of texts repeat itself, or what training showed it? (van Miltenburg et al. 2018, "Measuring the Diversity of Automatic Image
Descriptions", COLING, C18-1147.)

All figures stand beside those of the true texts of the same cases: counted over other texts, or more of them, they do not compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chiasm.evaluate.conversion.bench import Bench
from chiasm.evaluate.conversion.score import Score, rate
from chiasm.evaluate.metrics.generation import distinct
from chiasm.evaluate.metrics.texts import normalised, words


def novel(bench: Bench, texts: Sequence[str]) -> Score:
    """How many of the texts are none of the train split's, compared without case and punctuation; an empty one is nothing new."""
    known = _train_texts(bench) | {""}
    return rate([float(normalised(text) not in known) for text in texts])


def variety(texts: Sequence[str]) -> dict[str, Any]:
    """distinct_1 and distinct_2 (different words and pairs of words over all: Li et al., arXiv 1510.03055, 5.2), vocabulary (different words),
    texts (different ones over all)."""
    parted = [" ".join(words(text)) for text in texts]
    return {
        "distinct_1": round(distinct(parted, 1), 6),
        "distinct_2": round(distinct(parted, 2), 6),
        "vocabulary": len({word for text in parted for word in text.split()}),
        "texts": round(len(set(parted)) / max(len(parted), 1), 6),
    }


def in_words(one: dict[str, Any]) -> str:
    return (
        f"distinct-1 {one['distinct_1']:.3f}, distinct-2 {one['distinct_2']:.3f}, {one['vocabulary']:,} different words, "
        f"{100 * one['texts']:.0f} % of the texts different"
    )


def _train_texts(bench: Bench) -> set[str]:
    if "train texts" not in bench.kept:
        records = bench.table.records(bench.train_rows(), ["id", "texts"])
        bench.kept["train texts"] = {normalised(text.text) for record in records for text in record.texts}
    return bench.kept["train texts"]
