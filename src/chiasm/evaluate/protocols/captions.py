"""Retrieval as COCO and Flickr30k count it: every picture has several captions, and any of its own is right.

Karpathy & Fei-Fei (arXiv 1412.2306) and Faghri et al. (VSE++, arXiv 1707.05612, section 4.1): the first five captions of each picture; 5k:
all pictures at once; 1k: the mean over folds of 1,000 pictures. Clips and sounds with several captions are measured alike. Unlike
`retrieval`, whose queries are a record's first text, every caption asks, and nothing but a picture's own captions answers for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.evaluate.metrics.bootstrap import intervals, rounded
from chiasm.evaluate.metrics.ranks import CUTS, Places, chance
from chiasm.evaluate.metrics.retrieval import FOLD, Fold, caption_folds, mean_scores
from chiasm.evaluate.retrieval.items import CHUNK
from chiasm.evaluate.retrieval.pairs import Scorer
from chiasm.types import Embedder, Record, Text

CAPTIONS = 5
"""Of each picture, the first ones."""
Rows = NDArray[np.int64]


def captions(
    model: Embedder, table: Table, scorer: Scorer, rows: NDArray[np.bool_], seed: int = 0, fold: int = FOLD
) -> dict[str, Any]:
    """{medium: {"media": n, "captions": m, "all": directions, "folds": directions}} of `rows`, bool [rows of the table]; directions:
    {"image->text": {r1 … map, n, gallery, interval, chance}, "text->image": …}.

    {} where fewer than half of the media have two captions: texts of kind "caption" in the language of the first one. `folds` only where
    there are two whole folds; its intervals are of all their queries together.
    """
    if "text" not in model.modalities:
        return {}
    told = _captions_of(table, rows)
    several = {row for row, texts in told.items() if len(texts) > 1}
    vectors: dict[int, NDArray[np.float32]] = {}
    found: dict[str, Any] = {}
    for medium, whole in scorer.items.sides.items():
        side = whole.at(rows)
        there = np.array([row in told for row in side.rows.tolist()], bool)
        mine = side.rows[there]
        if medium == "text" or len(mine) < 2 or 2 * len(several & set(mine.tolist())) < len(mine):
            continue
        _embed(model, {row: told[row] for row in mine.tolist() if row not in vectors}, vectors)
        text = np.concatenate([vectors[row] for row in mine.tolist()])
        owner = np.repeat(np.arange(len(mine)), [len(told[row]) for row in mine.tolist()])
        groups = scorer.groups[mine]
        entry: dict[str, Any] = {"media": len(mine), "captions": len(owner)}
        entry["all"] = _directions(medium, caption_folds(side.embedding[there], text, owner), groups, owner, seed)
        if len(mine) >= 2 * fold:
            folds = caption_folds(side.embedding[there], text, owner, fold)
            directions = _directions(medium, folds, groups, owner, seed)
            entry["folds"] = {"size": fold, "count": len(folds), "directions": directions}
        found[medium] = entry
    return found


def _captions_of(table: Table, rows: NDArray[np.bool_]) -> dict[int, list[Text]]:
    """The captions of each row that has one."""
    chosen = np.flatnonzero(rows)
    records = table.records(chosen, ["id", "texts"])
    told = {row: _first_captions(record) for row, record in zip(chosen.tolist(), records, strict=True)}
    return {row: texts for row, texts in told.items() if texts}


def _first_captions(record: Record) -> list[Text]:
    all_of_them = [text for text in record.texts if text.kind == "caption"]
    return [text for text in all_of_them if text.language == all_of_them[0].language][:CAPTIONS]


def _embed(model: Embedder, texts: dict[int, list[Text]], vectors: dict[int, NDArray[np.float32]]) -> None:
    rows = list(texts)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        made = model.embed_items("text", [text for row in part for text in texts[row]])
        ends = np.cumsum([len(texts[row]) for row in part])[:-1]
        vectors.update(zip(part, np.split(made, ends), strict=True))


def _directions(medium: str, folds: list[Fold], groups: Rows, owner: Rows, seed: int) -> dict[str, Any]:
    asked = np.concatenate([one.pictures for one in folds]), np.concatenate([owner[one.captions] for one in folds])
    sizes = [len(one.captions) for one in folds], [len(one.pictures) for one in folds]
    ways = [one.to_text for one in folds], [one.from_text for one in folds]
    names = f"{medium}->text", f"text->{medium}"
    return {
        name: _entry(found, gallery, groups[pictures], seed)
        for name, found, gallery, pictures in zip(names, ways, sizes, asked, strict=True)
    }


def _entry(found: list[Places], gallery: list[int], group: Rows, seed: int) -> dict[str, Any]:
    scores = mean_scores(found)
    hits = {f"r{k}": np.concatenate([one.hit(k) for one in found]) for k in CUTS}
    guesses = [chance(size, one.relevant).to_json() for size, one in zip(gallery, found, strict=True)]
    return {
        **{name: round(value, 6) for name, value in scores.items()},
        "n": int(scores["n"]),
        "gallery": max(gallery),
        "interval": {name: rounded(ends) for name, ends in intervals(hits, group, seed=seed).items()},
        "chance": {name: round(float(np.mean([one[name] for one in guesses])), 6) for name in hits},
    }
