"""How good the rows of a table are: what was measured of each medium, and whether the senses of a row agree."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyarrow ships no types.
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.data.diversity import unit
from chiasm.evaluate.data.rows import Rows, Sample
from chiasm.evaluate.metrics.bootstrap import intervals
from chiasm.evaluate.retrieval.baseline import FEWEST, fit_baseline

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scale:
    """One column of dataset/measure.py as the page shows it. poor: the value from which on an item is told as poor, below or above it."""

    title: str
    unit: str
    poor: float | None = None
    above: bool = False
    logarithmic: bool = False


SCALES: Mapping[str, Scale] = {
    "image_blur": Scale("sharpness of pictures", "variance of the Laplacian", 20.0, logarithmic=True),
    "image_entropy": Scale("detail of pictures", "bits of grey", 0.5),
    "image_ink": Scale("share of a picture that is not its background", "share", 0.005),
    "image_width": Scale("width of pictures", "pixels", 32, logarithmic=True),
    "image_height": Scale("height of pictures", "pixels", 32, logarithmic=True),
    "audio_seconds": Scale("length of sounds", "seconds", 0.1),
    "audio_rms": Scale("loudness of sounds", "dB of full scale", -45.0),
    "audio_clipped": Scale("clipped samples", "share", 0.01, above=True),
    "audio_silent": Scale("silent part of sounds", "share", 0.9, above=True),
    "video_seconds": Scale("length of clips", "seconds", 0.2),
    "text_words": Scale("words of texts", "words"),
    "text_quality": Scale("text quality", "0 … 1", 0.5),
}
"""Which measures are shown, and from where on an item is called poor: a reader's aid, not a rule of the build."""
BINS = 32


@dataclass(frozen=True)
class Agreement:
    """How well two senses of each row fit. at: int64 [n], positions in the sample's rows · place: float64 [n], the share of other rows' items
    that fit worse than the row's own, ties half: .5 is chance · by: what judged."""

    at: NDArray[np.int64]
    place: NDArray[np.float64]
    by: str


def agreements(rows: Rows, sample: Sample) -> dict[str, Agreement]:
    """By pair "text-image": by the model's cosine where it embeds both; else by the linear baseline (PCA and CCA), in two halves, each judged by
    the fit on the other, so that no row is judged by a fit that has seen it or its group."""
    found: dict[str, Agreement] = {}
    names = [name for name in ("text", "image", "audio", "video") if name in sample.at]
    for a, b in combinations(names, 2):
        both, in_a, in_b = np.intersect1d(sample.at[a], sample.at[b], assume_unique=True, return_indices=True)
        if a in sample.embedded and b in sample.embedded and len(both) >= 2:
            x, y = unit(sample.embedded[a][in_a]), unit(sample.embedded[b][in_b])
            found[f"{a}-{b}"] = Agreement(both, _places(x, y), "the model")
        elif len(both) >= 4 * FEWEST:
            group = rows.groups[sample.rows[both]]
            place = _crossed_places(sample, (a, b), (in_a, in_b), group)
            if place is not None:
                found[f"{a}-{b}"] = Agreement(both, place, "a linear baseline fitted on the other half")
    return found


def quality(rows: Rows, sample: Sample, agreed: Mapping[str, Agreement]) -> dict[str, Any]:
    """Facts of the page's section.

    measures: by column {title, unit, n, low/median/high (5th, 50th, 95th percentile), mean, poor (share and how many), limit, bins [edges, counts]} ·
    agreement: by pair {value: mean place, low, high, n, doubtful: rows whose own item is beaten by half of the others, by} ·
    measured_on: rows · unreadable: the first 20 items that could not be decoded, unreadable_total.
    """
    columns: dict[str, Any] = {}
    for name, scale in SCALES.items():
        if name not in sample.measures.column_names:
            continue
        value = np.asarray(sample.measures.column(name).to_numpy(), np.float64)
        value = value[np.isfinite(value)]
        if len(value):
            columns[name] = _summary(value, scale)
    placeholder = [one for one in sample.measures.column("text_placeholder").to_pylist() if one is not None]
    told: dict[str, Any] = {}
    for pair, one in agreed.items():
        group = rows.groups[sample.rows[one.at]]
        low, high = intervals({"place": one.place}, group, resamples=400, seed=sample.seed)["place"]
        told[pair] = {
            "value": float(one.place.mean()),
            "low": low,
            "high": high,
            "n": len(one.place),
            "doubtful": int((one.place < 0.5).sum()),
            "by": one.by,
        }
    return {
        "measures": columns,
        "placeholders": sum(placeholder),
        "agreement": told,
        "measured_on": len(sample.measured),
        "of": len(rows.records),
        "unreadable": [list(one) for one in sample.unreadable[:20]],
        "unreadable_total": len(sample.unreadable),
    }


def poor(value: NDArray[np.float64], scale: Scale) -> NDArray[np.bool_]:
    """Which values [n] are poor; NaN is not."""
    if scale.poor is None:
        return np.zeros(len(value), np.bool_)
    return value > scale.poor if scale.above else value < scale.poor


def _summary(value: NDArray[np.float64], scale: Scale) -> dict[str, Any]:
    low, median, high = np.percentile(value, [5, 50, 95])
    first, last = np.percentile(value, [0.5, 99.5])
    shown = np.log10(np.maximum(value, 1e-3)) if scale.logarithmic else value
    ends = np.log10(np.maximum([first, last], 1e-3)) if scale.logarithmic else np.array([first, last])
    whole = not scale.logarithmic and bool((value == np.round(value)).all()) and 0 < last - first < BINS
    if whole:
        edges = np.arange(round(first), round(last) + 2) - 0.5
    else:
        edges = (
            np.linspace(ends[0], ends[1], BINS + 1) if ends[1] > ends[0] else ends[0] + np.linspace(-0.5, 0.5, BINS + 1)
        )
    place = ((shown - edges[0]) / (edges[1] - edges[0])).astype(np.int64)
    counts = np.bincount(np.clip(place, 0, len(edges) - 2), minlength=len(edges) - 1)
    bad = int(poor(value, scale).sum())
    return {
        "title": scale.title,
        "unit": scale.unit,
        "n": len(value),
        "mean": float(value.mean()),
        "low": float(low),
        "median": float(median),
        "high": float(high),
        "limit": scale.poor,
        "above": scale.above,
        "poor": bad if scale.poor is not None else None,
        "share": bad / len(value) if scale.poor is not None else None,
        "bins": {
            "edges": [float(10**edge) if scale.logarithmic else float(edge) for edge in edges],
            "counts": counts.tolist(),
            "beyond": [bool((place < 0).any()), bool((place > len(edges) - 2).any())],
        },
    }


def _places(x: Floats, y: Floats) -> NDArray[np.float64]:
    """Unit vectors [n, E], row for row pairs → the share of the others' y that are less like x than its own [n], averaged with the other way."""

    def one(x: Floats, y: Floats) -> NDArray[np.float64]:
        out = np.empty(len(x))
        own = np.einsum("ne,ne->n", x, y)
        for start in range(0, len(x), 512):
            score = x[start : start + 512] @ y.T
            mine = own[start : start + 512, None]
            # Own against own is a tie up to rounding: taken out.
            below = (score < mine - 1e-7).sum(1)
            ties = (np.abs(score - mine) <= 1e-7).sum(1) - 1
            out[start : start + 512] = (below + 0.5 * np.maximum(ties, 0)) / max(1, len(y) - 1)
        return out

    return (one(x, y) + one(y, x)) / 2


def _crossed_places(
    sample: Sample, names: tuple[str, str], at: tuple[NDArray[np.int64], NDArray[np.int64]], group: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    half = np.random.default_rng(sample.seed).integers(0, 2, int(group.max()) + 1)[group]  # whole groups
    raw = {name: [sample.raw[name][i] for i in where.tolist()] for name, where in zip(names, at, strict=True)}
    rows = {name: np.arange(len(group)) for name in names}
    place = np.full(len(group), 0.5)
    for side in (0, 1):
        judged = half == side
        if judged.sum() < 2 or (~judged).sum() < FEWEST:
            return None
        pair = fit_baseline(raw, rows, ~judged, seed=sample.seed).embedding(*names)
        if pair is None:
            return None
        place[judged] = _places(pair[0][judged], pair[1][judged])
    return place
