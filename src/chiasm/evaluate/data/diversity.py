"""How varied a table is: vocabulary growth, clusters, and the Vendi score."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.data.rows import Rows, Sample
from chiasm.evaluate.retrieval.baseline import reduce
from chiasm.types import MODALITIES

Floats = NDArray[np.float32]

ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
"""Scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese. There a letter counts as a word."""
WINDOW = 500
"""Words of the window over which the moving type-token ratio is taken."""
LANGUAGES = 6
"""Languages whose vocabulary is followed apart."""
VENDI = 2_000
"""Items whose Vendi score is computed, at most; the score is exact for them."""
CLUSTERS = 24


@dataclass(frozen=True)
class Vectors:
    """One modality's vectors. at: int64 [n], positions in the sample's rows · value: float32 [n, d], unit length · by: what made them, in words."""

    at: NDArray[np.int64]
    value: Floats
    by: str


@dataclass(frozen=True)
class Clusters:
    """K-means of one modality's vectors. number: int64 [n] · centre: float32 [k, d] · distance: float64 [n], to the own centre."""

    number: NDArray[np.int64]
    centre: Floats
    distance: NDArray[np.float64]


@cache
def _word() -> re.Pattern[str]:
    """Letters and digits with the marks that belong to them; re's own \\w leaves the vowel signs of Indic scripts out."""
    marks = "".join(f"\\U{c:08x}" for c in range(0x300, 0x1F000) if unicodedata.category(chr(c)) in ("Mn", "Mc"))
    letter = f"(?:(?![{ALONE}])[^\\W_][{marks}]*)"
    return re.compile(f"[{ALONE}][{marks}]*|{letter}+(?:['’]{letter}+)*")


def words(text: str) -> list[str]:
    """The words of `text` in lower case; in scripts without spaces between words, its letters."""
    return _word().findall(text.lower())


def vectors_of(sample: Sample) -> dict[str, Vectors]:
    """Of each modality: the model's vectors where there are any, else the linear baseline's (pixels, coarse spectra and letter counts, PCA)."""
    found: dict[str, Vectors] = {}
    for name in MODALITIES:
        if name not in sample.at or len(sample.at[name]) < 8:
            continue
        if name in sample.embedded:
            value, by = sample.embedded[name], "the model"
        else:
            value = reduce(name, sample.raw[name], np.ones(len(sample.raw[name]), np.bool_), sample.seed)
            by = "linear features"
        found[name] = Vectors(sample.at[name], unit(value), by)
    return found


def unit(value: Floats) -> Floats:
    """Rows of unit length; a row of zeros stays zero."""
    return (value / np.maximum(np.linalg.norm(value, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def vendi(value: Floats) -> float:
    """The Vendi score of unit vectors [n, d]: exp of the entropy of the eigenvalues of K/n, K their cosines (Friedman and Dieng, TMLR 2023,
    arXiv 2210.02410, definition 3.1). 1: all are equal; n: all are orthogonal. The effective number of different items."""
    n = len(value)
    x = value.astype(np.float64)
    small = x.T @ x if x.shape[1] < n else x @ x.T  # the same non-zero eigenvalues
    share = np.linalg.eigvalsh(small / n)
    share = share[share > 1e-12]
    return float(np.exp(-(share * np.log(share)).sum()))


def cluster(value: Floats, seed: int, most: int = CLUSTERS) -> Clusters:
    """K-means (Lloyd 1982, k-means++ start) of vectors [n, d] into at most `most` clusters, an eighth of the items at most."""
    from sklearn.cluster import KMeans

    k = min(most, len(value) // 8, len(np.unique(np.round(value, 4), axis=0)))
    if k < 2:
        centre = value.mean(0, keepdims=True)
        return Clusters(
            np.zeros(len(value), np.int64), centre, np.linalg.norm(value - centre, axis=1).astype(np.float64)
        )
    found = KMeans(k, random_state=seed).fit(value)
    centre = np.asarray(found.cluster_centers_, np.float32)
    number = np.asarray(found.labels_, np.int64)
    return Clusters(number, centre, np.linalg.norm(value - centre[number], axis=1).astype(np.float64))


def entropy(counts: Sequence[int] | NDArray[np.int64]) -> float:
    """In nats, of the shares of `counts`."""
    share = np.asarray(counts, np.float64)
    share = share[share > 0] / max(share.sum(), 1)
    return float(-(share * np.log(share)).sum())


def growth(texts: Sequence[list[str]], seed: int, points: int = 60) -> dict[str, Any] | None:
    """Heaps' law V(n) = K·n^β (Heaps 1978, section 7.5), fitted by least squares on logarithms over texts in an order drawn by seed.

    texts: the words of each. Gives tokens, types, once (types that occur once), ratio (types per token), moving_ratio (its mean over windows of
    WINDOW words: comparable between tables of different size; Covington and McFall 2010), exponent, factor, fit (R²), curve [(n, V)]; None
    below 50 words. An exponent near 1: most new words are new types; near 0: the vocabulary is closed.
    """
    order = np.random.default_rng(seed).permutation(len(texts))
    stream = [word for index in order for word in texts[index]]
    if len(stream) < 50:
        return None
    marks = set(np.unique(np.geomspace(10, len(stream), points).astype(np.int64)).tolist())
    seen: set[str] = set()
    curve: list[tuple[int, int]] = []
    for n, word in enumerate(stream, 1):
        seen.add(word)
        if n in marks:
            curve.append((n, len(seen)))
    x, y = np.log(np.array(curve, np.float64).T)
    exponent, factor = np.polyfit(x, y, 1)
    rest = float(((y - (factor + exponent * x)) ** 2).sum())
    spread = float(((y - y.mean()) ** 2).sum())
    counts = Counter(stream)
    return {
        "tokens": len(stream),
        "types": len(counts),
        "once": sum(count == 1 for count in counts.values()),
        "ratio": len(counts) / len(stream),
        "moving_ratio": _moving_ratio(stream),
        "exponent": float(exponent),
        "factor": float(np.exp(factor)),
        "fit": 1 - rest / spread if spread else 1.0,
        "curve": curve,
        "common": [[word, count] for word, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:20]],
    }


def diversity(
    rows: Rows, sample: Sample, vectors: Mapping[str, Vectors], seed: int
) -> tuple[dict[str, Any], dict[str, Clusters]]:
    """Facts of the page's section, and the clusters of each modality's sample.

    vocabulary: by language, those of most texts first, each as `growth` gives it · vendi: by modality {score, n, share of n, by} ·
    clusters: by modality {k, entropy (nats), evenness (0 … 1: entropy over ln k), sizes, by}.
    """
    spoken: dict[str, list[list[str]]] = {}
    for record in rows.records:
        for text in record.texts:
            spoken.setdefault(text.language or "", []).append(words(text.text))
    common = sorted(spoken, key=lambda name: (-len(spoken[name]), name != "en", name))[:LANGUAGES]
    vocabulary = {name: growth(spoken[name], seed) for name in common}
    scores: dict[str, Any] = {}
    clusters: dict[str, Clusters] = {}
    told: dict[str, Any] = {}
    rng = np.random.default_rng(seed)
    for name, found in vectors.items():
        value = found.value
        if len(value) > VENDI:
            value = value[np.sort(rng.choice(len(value), VENDI, replace=False))]
        score = vendi(value)
        scores[name] = {"score": score, "n": len(value), "share": score / len(value), "by": found.by}
        clusters[name] = cluster(found.value, seed)
        sizes = np.bincount(clusters[name].number, minlength=len(clusters[name].centre))
        held = entropy(sizes)
        told[name] = {
            "k": len(sizes),
            "entropy": held,
            "evenness": held / np.log(len(sizes)) if len(sizes) > 1 else 1.0,
            "sizes": sorted(sizes.tolist(), reverse=True),
            "by": found.by,
        }
    return {
        "vocabulary": {name: one for name, one in vocabulary.items() if one is not None},
        "languages": len(spoken),
        "vendi": scores,
        "clusters": told,
    }, clusters


def _moving_ratio(stream: Sequence[str]) -> float:
    if len(stream) <= WINDOW:
        return len(set(stream)) / len(stream)
    step = max(1, (len(stream) - WINDOW) // 2_000)
    starts = range(0, len(stream) - WINDOW + 1, step)
    return float(np.mean([len(set(stream[start : start + WINDOW])) for start in starts]) / WINDOW)
