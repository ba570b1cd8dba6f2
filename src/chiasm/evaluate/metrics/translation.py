"""Translations against references, by sacreBLEU (Post 2018, W18-6319)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.metrics.ngrams import check
from chiasm.evaluate.metrics.texts import chrf_score, chrf_table

Float = NDArray[np.float64]


def translation_scores(
    candidates: Sequence[str], references: Sequence[Sequence[str]], tokenizer: str = "13a"
) -> tuple[dict[str, float], dict[str, Float]]:
    """({bleu, chrf} of the set, of each text [n]), 0 … 100: BLEU with mixed case and exponential smoothing, chrF2, sacreBLEU's defaults.

    tokenizer: sacreBLEU's name of one ("13a", "zh", "char", "none"). A single text's BLEU uses only the orders that it has n-grams of.
    Raises DataError where the numbers differ or a text has no reference.
    """
    from sacrebleu.metrics.bleu import BLEU

    check(candidates, references)
    if not candidates:
        return {"bleu": 0.0, "chrf": 0.0}, {"bleu": np.zeros(0), "chrf": np.zeros(0)}
    most = max(map(len, references))
    streams = [[several[place] if place < len(several) else None for several in references] for place in range(most)]
    # It takes None where a text has fewer references than another, which its types do not say.
    corpus = BLEU(tokenize=tokenizer, force=True).corpus_score(list(candidates), cast("list[list[str]]", streams)).score
    single = BLEU(tokenize=tokenizer, effective_order=True)
    each = [
        single.sentence_score(one, list(several)).score for one, several in zip(candidates, references, strict=True)
    ]
    table = chrf_table(candidates, references)
    items = {"bleu": np.array(each, np.float64), "chrf": np.array([chrf_score(row) for row in table], np.float64)}
    return {"bleu": float(corpus), "chrf": chrf_score(table.sum(axis=0))}, items
