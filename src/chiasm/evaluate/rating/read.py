"""What filled rating sheets say: means by system, wins against the baseline, and how far the raters agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.agreement import Level, krippendorff
from chiasm.errors import DataError
from chiasm.evaluate.metrics.agreement import cohen, krippendorff_interval
from chiasm.evaluate.metrics.bootstrap import mean_intervals, rounded
from chiasm.evaluate.rating.sheets import POINTS, SCALES, read_key, read_lines

Float = NDArray[np.float64]
Given = dict[tuple[str, str], float]
"""(code, rater) → rating."""
PREFERENCES = {"A": -1.0, "tie": 0.0, "B": 1.0}


def read_sheets(files: Sequence[Path], key_file: Path, seed: int = 0) -> dict[str, Any]:
    """{raters, lines: {given, accepted, rejected, reasons}, scales: {quality: {systems: {NAME: {mean, interval, n}}, agreement}}, preference:
    {systems: {NAME: {win_rate, interval, wins, ties, losses, p}}, agreement}}.

    files: what the sheet saved, one or more raters each. win_rate: of the system against the baseline, a tie counts half. p: two-sided sign
    test, ties left out. agreement: {alpha, interval, kappa: mean over pairs of raters, units}. Intervals are bootstraps over the things asked.
    Of several answers of a rater to one question the last counts. Raises DataError where a file is damaged or nothing in it is of this sheet.
    """
    key = read_key(key_file)
    ratings: dict[str, Given] = {name: {} for name in (*SCALES, "preference")}
    reasons: dict[str, int] = {}
    given = accepted = 0
    for file in files:
        for line in read_lines(file):
            given += 1
            reason = _take(line, key, ratings)
            accepted += reason is None
            if reason is not None:
                reasons[reason] = reasons.get(reason, 0) + 1
    raters = sorted({rater for some in ratings.values() for _, rater in some})
    if not raters:
        raise DataError(
            f"{', '.join(map(str, files))}: no rating of the sheet that {key_file} belongs to ({dict(reasons)})"
        )
    scales = {
        name: {
            "systems": _means(ratings[name], key, seed),
            "agreement": agreement(ratings[name], raters, "ordinal", seed),
        }
        for name in SCALES
        if ratings[name]
    }
    preference = ratings["preference"]
    found: dict[str, Any] = {
        "raters": raters,
        "lines": {"given": given, "accepted": accepted, "rejected": given - accepted, "reasons": reasons},
        "scales": scales,
    }
    if preference:
        # Which side a system stood on was drawn: raters are compared on the sides that they saw.
        found["preference"] = {
            "baseline": key["baseline"],
            "systems": _wins(preference, key, seed),
            "agreement": agreement(preference, raters, "nominal", seed),
        }
    return found


def agreement(given: Given, raters: Sequence[str], level: Level, seed: int = 0) -> dict[str, Any] | None:
    """None with one rater."""
    codes = sorted({code for code, _ in given})
    table = np.full((len(raters), len(codes)), np.nan)
    for (code, rater), value in given.items():
        table[raters.index(rater), codes.index(code)] = value
    units = int((np.isfinite(table).sum(0) >= 2).sum())
    if not units:
        return None
    kappas = [cohen(table[i], table[j], level != "nominal") for i, j in combinations(range(len(raters)), 2)]
    known = [value for value in kappas if np.isfinite(value)]
    return {
        "alpha": round(krippendorff(table, level), 6),
        "interval": rounded(krippendorff_interval(table, level, seed)),
        "level": level,
        "kappa": round(float(np.mean(known)), 6) if known else None,
        "units": units,
    }


def _take(line: Mapping[str, Any], key: Mapping[str, Any], ratings: Mapping[str, Given]) -> str | None:
    """Note one line; the reason where it is refused."""
    if line.get("sheet") != key["sheet"]:
        return "another sheet"
    rater, code = line.get("rater"), line.get("code")
    if not isinstance(rater, str) or not rater.strip() or not isinstance(code, str):
        return "no rater or no code"
    if code in key["pairs"]:
        choice = line.get("preference")
        if not isinstance(choice, str) or choice not in PREFERENCES:
            return "no preference"
        ratings["preference"][code, rater.strip()] = PREFERENCES[choice]
        return None
    if code not in key["items"]:
        return "unknown code"
    values = {name: line[name] for name in SCALES if line.get(name) is not None}
    if not values:
        return "no rating"
    for value in values.values():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= POINTS:
            return "outside the scale"
    for name, value in values.items():
        ratings[name][code, rater.strip()] = float(value)
    return None


def _means(given: Given, key: Mapping[str, Any], seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for system in key["systems"]:
        own = [
            (key["items"][code]["id"], value)
            for (code, _), value in given.items()
            if key["items"][code]["system"] == system
        ]
        if own:
            found[system] = _mean("mean", own, seed)
    return found


def _wins(given: Given, key: Mapping[str, Any], seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for system in key["systems"]:
        own: list[tuple[str, float]] = []
        for (code, _), value in given.items():
            pair = key["pairs"][code]
            if system != key["baseline"] and system in (pair["A"], pair["B"]):
                own.append((pair["id"], 0.5 + 0.5 * (value if pair["B"] == system else -value)))
        if own:
            values = [value for _, value in own]
            # Raters of one thing do not judge independently of each other: each thing is one trial, by what most of them say.
            each: dict[str, list[float]] = {}
            for one, value in own:
                each.setdefault(one, []).append(value)
            most = [float(np.mean(said)) for said in each.values()]
            p = sign_test(sum(x > 0.5 for x in most), sum(x < 0.5 for x in most))
            tally = {
                "wins": values.count(1.0),
                "ties": values.count(0.5),
                "losses": values.count(0.0),
                "p": round(p, 6),
            }
            found[system] = _mean("win_rate", own, seed) | tally
    return found


def _mean(name: str, own: Sequence[tuple[str, float]], seed: int) -> dict[str, Any]:
    values = np.array([value for _, value in own])
    group = np.unique([one for one, _ in own], return_inverse=True)[1].astype(np.int64)
    interval = mean_intervals({name: values}, group, seed)[name]
    return {name: round(float(values.mean()), 6), "interval": rounded(interval), "n": len(values)}


def sign_test(wins: int, losses: int) -> float:
    """Two-sided p of so unequal a division or more, were each side as likely (exact binomial)."""
    n, fewer = wins + losses, min(wins, losses)
    return min(1.0, 2 * sum(comb(n, k) for k in range(fewer + 1)) / 2**n)
