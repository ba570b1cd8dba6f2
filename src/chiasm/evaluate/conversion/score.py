"""Figures with intervals, of which every measure of a conversion is made: what each case adds, and the statistic that makes a figure of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.metrics.bootstrap import Statistic, bootstrap, intervals, paired_bootstrap, rates, ratio

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its 95 % interval over n cases; low and high are None where there are too few groups to resample."""

    value: float
    low: float | None
    high: float | None
    n: int

    def to_json(self) -> dict[str, Any]:
        ends = {name: None if end is None else round(end, 6) for name, end in (("low", self.low), ("high", self.high))}
        return {"value": round(self.value, 6), **ends, "n": self.n}


@dataclass(frozen=True, slots=True)
class Score:
    """table: float64 [n, K], what each case adds · statistic: sums [K] → the figure · rate: a plain mean of values in 0 … 1."""

    table: Float
    statistic: Statistic = ratio
    rate: bool = False

    def at(self, rows: NDArray[np.int64]) -> Score:
        return Score(self.table[rows], self.statistic, self.rate)

    def figure(self, group: NDArray[np.int64], seed: int) -> Figure:
        """group: int64 [n], cases that are resampled together (forms of a concept, questions of a record)."""
        n = len(self.table)
        value = self.statistic(self.table.sum(axis=0))
        if self.rate:
            low, high = intervals({"": self.table[:, 0]}, group, seed=seed)[""]
            return Figure(value, low, high, n)
        if len(np.unique(group)) < 2:
            return Figure(value, None, None, n)
        _, low, high = bootstrap(self.statistic, self.table, seed, group=group)
        return Figure(value, low, high, n)

    def minus(self, other: Score, group: NDArray[np.int64], seed: int) -> Figure:
        """How much more this is than the other on the same cases, with its paired interval."""
        if len(np.unique(group)) < 2:
            mine, theirs = (one.statistic(one.table.sum(axis=0)) for one in (self, other))
            return Figure(mine - theirs, None, None, len(self.table))
        value, low, high = paired_bootstrap(self.statistic, self.table, other.table, seed, group=group)
        return Figure(value, low, high, len(self.table))


Scores = dict[str, Score]


def rate(values: Sequence[float] | Float) -> Score:
    """The mean of values in 0 … 1, one a case."""
    return Score(rates(np.asarray(values, np.float64)), rate=True)


def mean(values: Sequence[float] | Float) -> Score:
    """The mean of any values, one a case."""
    return Score(rates(np.asarray(values, np.float64)))


@dataclass(frozen=True, slots=True)
class Measured:
    """What the cases of one task and split amount to.

    scores: of the model · beside: of what it has to beat, and of the ceilings that nothing of its kind can pass, by name ·
    right: of each case whether it is right, None where that is no question of yes or no · notes: said in words, by name
    fixed: figures that come with their own interval
    """

    scores: Scores
    baselines: Mapping[str, Scores]
    ceilings: Mapping[str, Scores]
    right: Sequence[bool | None]
    got: Sequence[str]
    fixed: Mapping[str, Figure]
    details: Mapping[str, Any]
    notes: Mapping[str, str]


def measured(
    scores: Scores,
    right: Sequence[bool | None],
    got: Sequence[str],
    *,
    baselines: Mapping[str, Scores] | None = None,
    ceilings: Mapping[str, Scores] | None = None,
    fixed: Mapping[str, Figure] | None = None,
    details: Mapping[str, Any] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Measured:
    return Measured(
        scores, baselines or {}, ceilings or {}, right, got, fixed or {}, details or {}, notes or {}
    )  # fmt: skip


def described(scores: Scores, group: NDArray[np.int64], seed: int) -> dict[str, Any]:
    return {name: score.figure(group, seed).to_json() for name, score in scores.items()}


def f1_score(sums: Float) -> float:
    """Macro-F1 of summed rows of `f1_table` [3·C], over the classes that occur in the truth."""
    both, predicted, wanted = np.split(sums, 3)
    there = wanted > 0
    if not there.any():
        return 0.0
    return float((2 * both[there] / (predicted + wanted)[there]).mean())


def f1_table(predicted: Sequence[str], wanted: Sequence[str]) -> Float:
    """What each case adds to macro-F1: [n, 3·C], the class in both, predicted, wanted, over the classes that are wanted."""
    place = {label: index for index, label in enumerate(sorted(set(wanted)))}
    table = np.zeros((len(wanted), 3, len(place)))
    for row, mine, right in zip(table, predicted, wanted, strict=True):
        row[2, place[right]] = 1
        if mine in place:
            row[1, place[mine]] = 1
            row[0, place[mine]] = mine == right
    return table.reshape(len(wanted), -1)
