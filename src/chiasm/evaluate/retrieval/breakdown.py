"""Scores by the language of the query's text, and by the voice or artist of its sound or picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.retrieval.items import Side
from chiasm.evaluate.retrieval.pairs import Scorer

FACETS = {"text": "language", "image": "image", "audio": "audio", "video": "video"}
"""What the queries of a modality are broken down by: texts by language, media by maker (`Media.by`)."""
MOST_FACETS = 40
"""Languages or makers reported a modality: those held out of training, then those of most records; the rest
are counted.
"""


def by_facet(
    scorer: Scorer,
    pairs: list[tuple[str, str]],
    rows: NDArray[np.bool_],
    held_out: set[str],
    split: str,
    left_out: dict[str, str],
) -> dict[str, Any]:
    """{"language": {"zh": {"unseen": …, "retrieval": {"text->image": …}}}, "audio": {VOICE: …}, "image":
    {ARTIST: …}}.
    """
    found: dict[str, Any] = {}
    for modality in dict.fromkeys(query for query, _ in pairs):
        sides = {name: side.at(rows) for (own, name), side in scorer.items.facets.items() if own == modality}
        sizes = {name: len(side.rows) for name, side in sides.items() if len(side.rows) >= 2}
        names = sorted(sizes, key=lambda name: (name not in held_out, -sizes[name], name))
        dropped = sum(len(side.rows) > 0 for side in sides.values()) - len(names[:MOST_FACETS])
        if dropped:
            left_out[f"{split} by {FACETS[modality]}"] = (
                f"{dropped} values have one record only or come after the first {MOST_FACETS}"
            )
        if len(names) < 2 and not held_out & set(names):
            continue
        table: dict[str, Any] = {}
        for name in names[:MOST_FACETS]:
            scores = _facet_scores(scorer, pairs, modality, sides[name], rows)
            if scores:
                table[name] = {"unseen": modality != "text" and name in held_out, "retrieval": scores}
        if table:
            found[FACETS[modality]] = table
    return found


def _facet_scores(
    scorer: Scorer, pairs: list[tuple[str, str]], modality: str, side: Side, rows: NDArray[np.bool_]
) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for query, target in pairs:
        if query != modality:
            continue
        gallery = rows & scorer.has(query) & scorer.has(target)
        usable = side.at(gallery)
        if len(usable.rows) >= 2:
            scores[f"{query}->{target}"] = scorer.score_side(usable, query, target, gallery)
    return scores
