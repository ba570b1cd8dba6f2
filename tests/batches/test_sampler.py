"""Sampling: exact, fair, and a function of seed and step alone."""

from __future__ import annotations

import numpy as np

from chiasm.batches.sampler import Sampler, group_weights


def test_equal_weights_give_every_row_once_an_epoch() -> None:
    sampler = Sampler(np.ones(10), seed=3)
    drawn = np.concatenate([sampler.rows(step, 4) for step in range(5)])
    assert sorted(drawn[:10]) == list(range(10))
    assert sorted(drawn[10:]) == list(range(10))
    assert list(drawn[:10]) != list(drawn[10:])


def test_a_step_does_not_depend_on_what_was_drawn_before() -> None:
    weights = group_weights(["a"] * 20 + [None] * 7, 0.5)
    one, other = Sampler(weights, seed=1), Sampler(weights, seed=1)
    forward = [one.rows(step, 8).tolist() for step in range(12)]
    backward = [other.rows(step, 8).tolist() for step in reversed(range(12))]
    assert forward == backward[::-1]
    assert forward != [Sampler(weights, seed=2).rows(step, 8).tolist() for step in range(12)]


def test_large_groups_are_not_over_served() -> None:
    groups = ["tones"] * 100 + [f"single {i}" for i in range(100)]
    for power, share in ((1.0, 100 / 200), (0.5, 10 / 110), (0.0, 1 / 101)):
        weights = group_weights(groups, power)
        assert np.isclose(weights.sum(), 200)
        assert np.isclose(weights[:100].sum() / 200, share)
        drawn = np.concatenate([Sampler(weights, 0).rows(step, 200) for step in range(50)])
        assert abs((drawn < 100).mean() - share) < 0.01
        # Within the group every form has its turn.
        counts = np.bincount(drawn, minlength=200)[:100]
        assert counts.max() - counts.min() <= 50 * weights[0] + 8


def test_a_row_heavier_than_one_comes_several_times_an_epoch() -> None:
    weights = np.array([5.0, 1.0, 1.0, 1.0])
    counts = np.bincount(Sampler(weights, 0).rows(0, 4), minlength=4)
    assert counts.sum() == 4
    assert counts[0] in (2, 3)


def test_a_batch_may_be_larger_than_the_data() -> None:
    assert np.bincount(Sampler(np.ones(3), 0).rows(0, 9)).tolist() == [3, 3, 3]
