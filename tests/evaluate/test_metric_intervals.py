"""What the bootstrap's 95 % is worth: how often the interval holds the truth, in simulated evaluations."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.evaluate.metrics.bootstrap import bootstrap, intervals, rates, ratio

pytestmark = pytest.mark.slow

ROUNDS = 600
"""Simulated evaluations: with a true coverage of 95 % the share seen is within 93 … 97 % in 97 of 100 draws; the seed is fixed."""


def test_intervals_of_a_rate_cover():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(ROUNDS):
        right = (rng.random(200) < 0.7).astype(np.float64)
        low, high = intervals({"r": right}, np.arange(200), resamples=400, seed=1)["r"]
        held += low <= 0.7 <= high
    assert 0.93 <= held / ROUNDS <= 0.97


def test_intervals_by_group_cover_and_without_groups_do_not():
    # Three queries of a concept are found or missed together: as if there were a third of them.
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(100), 3)
    grouped = alone = 0
    for _ in range(ROUNDS):
        right = np.repeat(rng.random(100) < 0.6, 3).astype(np.float64)
        low, high = intervals({"r": right}, group, resamples=400, seed=1)["r"]
        grouped += low <= 0.6 <= high
        low, high = intervals({"r": right}, np.arange(300), resamples=400, seed=1)["r"]
        alone += low <= 0.6 <= high
    assert 0.93 <= grouped / ROUNDS <= 0.97
    assert alone / ROUNDS < 0.85


def test_intervals_of_a_ratio_of_sums_cover():
    # A word error rate: errors over words, both random.
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(ROUNDS):
        words = rng.integers(3, 12, 150)
        table = np.stack([rng.binomial(words, 0.2), words], axis=1).astype(np.float64)
        _, low, high = bootstrap(ratio, table, seed=1, rounds=400)
        held += low <= 0.2 <= high
    assert 0.93 <= held / ROUNDS <= 0.97


def test_intervals_of_a_mean_cover():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(ROUNDS):
        _, low, high = bootstrap(ratio, rates(rng.normal(2.0, 1.0, 150)), seed=1, rounds=400)
        held += low <= 2.0 <= high
    assert 0.93 <= held / ROUNDS <= 0.97
