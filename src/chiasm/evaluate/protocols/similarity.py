"""Does nearness mean likeness? Spearman's correlation of the model's cosines with ratings by people (a file), or with how much the names of a
table's records share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError
from chiasm.evaluate.metrics.bootstrap import bounds, rounded
from chiasm.evaluate.retrieval.items import Collected
from chiasm.types import Embedder, Text

PAIRS = 2_000
RESAMPLES = 1_000
MAX_BYTES = 64 * 2**20
DIGITS = 5
"""Of a cosine in float32 that mean something: equal ones keep equal ranks."""


def read_ratings(path: Path) -> list[tuple[str, str, float]]:
    """Lines of JSON, {"a": …, "b": …, "score": …}, or of three fields parted by tabs; a first line of names is passed over.

    Raises DataError, with the line, for what is neither.
    """
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: no such file, or larger than {MAX_BYTES >> 20} MiB")
    found: list[tuple[str, str, float]] = []
    for number, line in enumerate(path.read_text(encoding="utf8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = (
                json.loads(line)
                if line.lstrip().startswith("{")
                else dict(zip("ab", line.split("\t")[:2], strict=True))
            )
            score = one["score"] if "score" in one else line.split("\t")[2]
            found.append((str(one["a"]), str(one["b"]), float(score)))
        except (ValueError, KeyError, IndexError, TypeError):
            if number > 1:
                raise DataError(
                    f'{path}, line {number}: neither {{"a", "b", "score"}} nor three fields parted by tabs'
                ) from None
    if len(found) < 3:
        raise DataError(f"{path}: {len(found)} rated pairs; three or more are needed for a correlation")
    return found


def rated_similarity(model: Embedder, ratings: Sequence[tuple[str, str, float]], seed: int = 0) -> dict[str, Any]:
    """{spearman, interval, n}: cosines of two texts against what people say."""
    texts = list(dict.fromkeys(text for a, b, _ in ratings for text in (a, b)))
    vectors = dict(zip(texts, model.embed_items("text", [Text(text) for text in texts]), strict=True))
    cosines = np.array([round(float(vectors[a] @ vectors[b]), DIGITS) for a, b, _ in ratings])
    return spearman(cosines, np.array([score for _, _, score in ratings]), seed)


def name_similarity(
    items: Collected, names: Sequence[str], rows: NDArray[np.bool_], seed: int = 0
) -> dict[str, dict[str, Any]]:
    """{modality: {spearman, interval, n}}: cosines of two records' items against the share of words that their first texts have in common
    (Jaccard 1912), over PAIRS pairs; half of them are drawn among records that share a word, since most pairs of all share none.

    names: the first text of each row of the table, "" where it has none.
    """
    found: dict[str, dict[str, Any]] = {}
    for modality, whole in items.sides.items():
        side = whole.at(rows)
        words = [set(names[int(row)].casefold().split()) for row in side.rows]
        pairs = _pairs(words, seed)
        if len(pairs) < 20:
            continue
        shared = np.array([len(words[a] & words[b]) / max(len(words[a] | words[b]), 1) for a, b in pairs])
        cosines = np.einsum("ne,ne->n", side.embedding[pairs[:, 0]], side.embedding[pairs[:, 1]]).astype(np.float64)
        if np.ptp(shared) > 0:
            found[modality] = spearman(np.round(cosines, DIGITS), shared, seed)
    return found


def spearman(x: NDArray[np.float64], y: NDArray[np.float64], seed: int = 0) -> dict[str, Any]:
    """{spearman, interval, n}: Spearman's rank correlation (1904), ties at their mean rank; 95 % percentile bootstrap over pairs."""
    from scipy.stats import rankdata

    a, b = rankdata(x), rankdata(y)
    rng = np.random.default_rng(seed)
    drawn = np.array([_pearson(a[i], b[i]) for i in (rng.integers(0, len(a), len(a)) for _ in range(RESAMPLES))])
    value = _pearson(a, b)
    interval = bounds(drawn) if np.isfinite(drawn).any() else (-1.0, 1.0)
    return {"spearman": round(value, 6) if np.isfinite(value) else None, "interval": rounded(interval), "n": len(a)}


def _pearson(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")


def _pairs(words: Sequence[set[str]], seed: int) -> NDArray[np.int64]:
    """int64 [n, 2], two different records each, no pair twice."""
    rng = np.random.default_rng(seed)
    if len(words) < 2:
        return np.zeros((0, 2), np.int64)
    drawn = rng.integers(0, len(words), (PAIRS, 2))
    holders: dict[str, list[int]] = {}
    for place, some in enumerate(words):
        for word in sorted(some):  # a set has another order in every process
            holders.setdefault(word, []).append(place)
    alike = [group for group in holders.values() if len(group) > 1]
    if alike:
        picked = [alike[i] for i in rng.integers(0, len(alike), PAIRS)]
        drawn = np.concatenate(
            [drawn[: PAIRS // 2], [rng.choice(group, 2, replace=False) for group in picked[: PAIRS // 2]]]
        )
    kept = np.sort(drawn[drawn[:, 0] != drawn[:, 1]], 1)
    return np.unique(kept, axis=0).astype(np.int64)
