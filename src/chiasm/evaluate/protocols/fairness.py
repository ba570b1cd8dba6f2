"""Who is served worse: every metric by group and by intersection of groups, with intervals, gaps, ratios and tests.

A group is a value of a label ("skin_tone": "dark"); an intersection is a pair of values of two labels. Groups of fewer than LEAST records are
counted and not judged. For each metric the means by group have bootstrap intervals over the records' groups (the forms of one concept go
together); the gap is the best group's mean less the worst's, the ratio the worst's over the best's (four fifths is the rule of thumb of the US
Uniform Guidelines 1978, 29 CFR 1607.4 D). Whether a group differs from the rest is asked by permutation (Good 2005, chapter 3), and
p-values are adjusted over all groups, labels and queries of a split by Holm (1979) and by Benjamini and Hochberg (1995).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import ConfigError
from chiasm.evaluate.metrics.bootstrap import benjamini_hochberg, bounds, holm, intervals, means, rounded
from chiasm.evaluate.retrieval.asked import Asked

LEAST = 10
MOST_GROUPS = 24
COVERED = 0.8
"""A label's groups of LEAST records or more are as many as this share of its records, or the label names things and not groups."""
PERMUTATIONS = 2000
TESTED = ("r1", "accuracy")
"""The metrics whose differences are tested: one a query, so that the correction counts questions and not ways to ask."""

Float = NDArray[np.float64]
Labels = Mapping[str, list[tuple[str, ...]]]


def check_labels(wanted: Iterable[str], there: Collection[str]) -> None:
    """Raises ConfigError for a label that the table, which has those of `there`, lacks."""
    for name in wanted:
        if name not in there:
            raise ConfigError(f"the table has no label {name!r}; it has {', '.join(sorted(there)) or 'none'}")


def attributes(
    labels: Labels, rows: NDArray[np.bool_], wanted: Sequence[str] | None = None
) -> dict[str, list[str | None]]:
    """{name: a group for each row of the table, None where it has none}: labels by which the records of `rows` fall into groups, and each
    pair of them as "a × b".

    wanted: these labels, whatever their groups; None: those with 2 to MOST_GROUPS groups that cover most of the labelled records.
    Raises ConfigError for a label that the table lacks.
    """
    check_labels(wanted or (), labels)
    single: dict[str, list[str | None]] = {}
    for name, values in labels.items() if wanted is None else ((name, labels[name]) for name in wanted):
        group = [some[0] if some else None for some in values]
        counts = Counter(value for value, used in zip(group, rows, strict=True) if used and value is not None)
        large = {value: n for value, n in counts.items() if n >= LEAST}
        if wanted is None and not (2 <= len(large) <= MOST_GROUPS and sum(large.values()) >= COVERED * counts.total()):
            continue
        single[name] = group
    crossed = {
        f"{one} × {two}": [
            None if a is None or b is None else f"{a} × {b}" for a, b in zip(single[one], single[two], strict=True)
        ]
        for one, two in combinations(single, 2)
    }
    return single | crossed


def fairness(
    asked: Mapping[str, Asked], groups: NDArray[np.int64], attribute: Mapping[str, Sequence[str | None]], seed: int = 0
) -> dict[str, Any]:
    """{attribute: {query: {groups: {value: {n, r1, …, interval, difference, p, holm, bh}}, gap, ratio, worst, best}}}.

    asked: what each query scored. groups: int64 [rows of the table], resampled together. attribute: `attributes`.
    """
    found: dict[str, Any] = {}
    tests: list[dict[str, Any]] = []
    for name, values in attribute.items():
        of = np.array(["" if value is None else value for value in values], dtype=object)
        for query, one in asked.items():
            entry = _by_group(one, of[one.rows], groups[one.rows], seed)
            if entry is not None:
                found.setdefault(name, {})[query] = entry
                tests += list(entry["groups"].values())
    for name, adjust in (("holm", holm), ("bh", benjamini_hochberg)):
        for test, value in zip(tests, adjust([test["p"] for test in tests]), strict=True):
            test[name] = round(value, 6)
    return found


def _by_group(one: Asked, of: NDArray[Any], cluster: NDArray[np.int64], seed: int) -> dict[str, Any] | None:
    sizes = Counter(value for value in of.tolist() if value)
    names = sorted(name for name, n in sizes.items() if n >= LEAST)
    if len(names) < 2:
        return None
    tested = next(metric for metric in TESTED if metric in one.values)
    table: dict[str, Any] = {}
    drawn: dict[str, dict[str, Float]] = {}
    for name in names:
        mine = of == name
        values = {metric: value[mine] for metric, value in one.values.items()}
        found = intervals(values, cluster[mine], seed=seed)
        drawn[name] = _group_means(one.values, mine, cluster, seed)
        table[name] = {"n": int(mine.sum()), **{metric: round(float(v.mean()), 6) for metric, v in values.items()}}
        table[name]["interval"] = {metric: rounded(pair) for metric, pair in found.items()}
    judged = np.isin(of, names)
    kept = one.values[tested][judged]
    ways, p = permutation(kept, of[judged], cluster[judged], names, seed)
    for name, value in zip(names, p, strict=True):
        mine = of[judged] == name
        table[name] |= {"difference": round(float(kept[mine].mean() - kept[~mine].mean()), 6), "p": round(value, 6)}
    left = {name: n for name, n in sorted(sizes.items()) if n < LEAST}
    return {
        "groups": table,
        "tested": tested,
        "permuted": ways,
        **_gaps(table, drawn, names, list(one.values)),
        **({"too_small": left} if left else {}),
    }


def _group_means(
    values: Mapping[str, Float], mine: NDArray[np.bool_], cluster: NDArray[np.int64], seed: int
) -> dict[str, Float]:
    """Means of one group in resamples that are the same for all groups: NaN where a resample has none of it."""
    weight = mine.astype(np.float64)
    sums = means({metric: value * weight for metric, value in values.items()} | {"": weight}, cluster, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {metric: sums[metric] / sums[""] for metric in values}


def _gaps(
    table: Mapping[str, Any], drawn: Mapping[str, Mapping[str, Float]], names: list[str], metrics: list[str]
) -> dict[str, Any]:
    """Best less worst and worst over best, for each metric; the interval is of the two groups that are so in the data."""
    gap: dict[str, Any] = {}
    for metric in metrics:
        ordered = sorted(names, key=lambda name: (table[name][metric], name))
        worst, best = ordered[0], ordered[-1]
        low, high = table[worst][metric], table[best][metric]
        gap[metric] = {
            "value": round(high - low, 6),
            "interval": rounded(bounds(drawn[best][metric] - drawn[worst][metric])),
            "ratio": round(low / high, 6) if high > 0 else None,
            "worst": worst,
            "best": best,
        }
    return {"gap": gap}


def permutation(
    values: Float,
    of: NDArray[Any],
    cluster: NDArray[np.int64],
    names: Sequence[str],
    seed: int,
    draws: int = PERMUTATIONS,
) -> tuple[str, list[float]]:
    """Two-sided p-value of each group's mean less that of the rest, and how labels were exchanged.

    values, of, cluster: [Q]. Where most records stand in a cluster of several groups (the forms of one concept), labels are exchanged within
    clusters: concepts that are hard for all then make no difference. Where a cluster is of one group, whole clusters are exchanged.
    """
    member = np.unique(cluster, return_inverse=True)[1]
    codes = {name: code for code, name in enumerate(names)}
    label = np.array([codes[value] for value in of])
    first = np.zeros(member.max() + 1, np.int64)
    first[member] = label
    mixed = np.zeros(len(first), bool)
    np.logical_or.at(mixed, member, first[member] != label)
    inside = bool(mixed[member].mean() >= 0.5)
    rng = np.random.default_rng(seed)
    observed = _differences(values, label, len(names))
    above = np.ones(len(names))
    order = np.argsort(member, kind="stable")
    for _ in range(draws):
        if inside:
            shuffled = np.empty_like(label)
            # Sorted by cluster, and by chance within it: labels change places within their cluster only.
            shuffled[order] = label[np.lexsort((rng.random(len(label)), member))]
        else:
            shuffled = first[rng.permutation(len(first))][member]
        above += np.abs(_differences(values, shuffled, len(names))) >= np.abs(observed) - 1e-12
    return "within groups" if inside else "whole groups", (above / (draws + 1)).tolist()


def _differences(values: Float, label: NDArray[np.int64], groups: int) -> Float:
    count = np.bincount(label, minlength=groups)
    total = np.bincount(label, weights=values, minlength=groups)
    rest = np.maximum(len(values) - count, 1)
    return total / np.maximum(count, 1) - (values.sum() - total) / rest
