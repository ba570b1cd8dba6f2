"""The metrics against slow versions that are right by inspection."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest

from chiasm.errors import DataError, ModelError
from chiasm.evaluate.metrics.bootstrap import intervals
from chiasm.evaluate.metrics.ranks import (
    SharedKey,
    accuracy,
    average_precision,
    chance,
    places,
    ranks,
    retrieval,
)


def one_hot(index: int, size: int) -> np.ndarray:
    row = np.zeros(size, dtype=np.float32)
    row[index] = 1
    return row


def naive(score: np.ndarray, wanted: np.ndarray) -> tuple[float, dict[int, float], float]:
    """Expected rank, R@k and AP of one query by drawing up every order of the tied items."""
    order = range(len(score))
    ranked = [one for one in permutations(order) if all(score[a] >= score[b] for a, b in pairwise(one))]
    rank, precision = [], []
    hits: dict[int, list[bool]] = {1: [], 5: [], 10: []}
    for one in ranked:
        found = [place for place, item in enumerate(one, 1) if wanted[item]]
        rank.append(found[0])
        precision.append(np.mean([(i + 1) / place for i, place in enumerate(found)]))
        for k in hits:
            hits[k].append(found[0] <= k)
    return float(np.mean(rank)), {k: float(np.mean(v)) for k, v in hits.items()}, float(np.mean(precision))


def listed(wanted: np.ndarray) -> SharedKey:
    """Any relevance, bool [Q, G], as a key a query."""
    key = np.arange(len(wanted))
    return SharedKey(np.where(key[:, None] == key, key, -1), np.where(wanted.T, key, -1))


@pytest.mark.parametrize("seed", range(12))
def test_ties_and_several_relevant_agree_with_every_possible_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gallery = 7
    scores = rng.integers(0, 1 + seed % 4, size=(9, gallery)).astype(np.float32)
    wanted = rng.random((9, gallery)) < 0.35
    wanted[np.arange(9), rng.integers(0, gallery, 9)] = True
    found = places(
        scores,
        np.eye(gallery, dtype=np.float32),
        listed(wanted),
        block=4,
    )
    for q in range(9):
        rank, hits, precision = naive(scores[q], wanted[q])
        assert found.rank()[q] == pytest.approx(rank)
        assert {k: found.hit(k)[q] for k in (1, 5, 10)} == pytest.approx(hits)
        assert found.precision[q] == pytest.approx(precision)
        assert average_precision(scores[q], wanted[q]) == pytest.approx(precision)


def test_random_case_agrees_with_sorting() -> None:
    rng = np.random.default_rng(1)
    queries = rng.normal(size=(300, 16)).astype(np.float32)
    gallery = (queries[:200] + rng.normal(size=(200, 16))).astype(np.float32)
    keys = rng.integers(0, 150, size=200)
    asked = keys[rng.integers(0, 200, size=300)]
    relevant = SharedKey(asked[:, None], keys[:, None])
    expected = []
    for q in range(300):
        order = np.argsort(-(gallery @ queries[q]))
        expected.append(1 + int(np.flatnonzero(keys[order] == asked[q])[0]))
    assert ranks(queries, gallery, relevant, block=64) == pytest.approx(expected)
    scores = retrieval(queries, gallery, relevant)
    assert scores.r5 == pytest.approx(np.mean(np.array(expected) <= 5))
    assert scores.median_rank == np.median(expected)
    assert scores.n == 300


def test_blocks_do_not_change_the_result() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(-2, 3, size=(2, 50, 8)).astype(np.float32)
    relevant = SharedKey(np.arange(50)[:, None] // 2, np.arange(50)[:, None] // 2)
    assert retrieval(x, y, relevant, block=1) == retrieval(x, y, relevant, block=1000)


def test_negative_keys_agree_with_nothing() -> None:
    keys = SharedKey(np.array([[-1, 3]]), np.array([[-1, 2], [-1, 3]]))
    assert keys.block(0, 1).tolist() == [[False, True]]


@pytest.mark.parametrize("several", [1, 3])
def test_a_constant_model_scores_exactly_at_chance(several: int) -> None:
    size = 60
    same = np.tile(one_hot(0, 4), (size, 1))
    key = (np.arange(size) // several)[:, None]
    scores = retrieval(same, same, SharedKey(key, key))
    guess = chance(size, np.full(size, several))
    assert scores.r1 == pytest.approx(several / size)
    for name in ("r1", "r5", "r10", "map"):
        assert getattr(scores, name) == pytest.approx(getattr(guess, name))
    assert scores.median_rank == pytest.approx((size + 1) / (several + 1))
    if several == 1:
        assert scores.median_rank == guess.median_rank


def test_a_random_model_scores_near_chance() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 2000, 32)).astype(np.float32)
    key = (np.arange(2000) // 2)[:, None]
    scores = retrieval(x, y, SharedKey(key, key))
    guess = chance(2000, np.full(2000, 2))
    assert scores.r10 == pytest.approx(guess.r10, abs=0.006)
    assert scores.median_rank == pytest.approx(guess.median_rank, rel=0.08)
    assert scores.map == pytest.approx(guess.map, rel=0.25)


def test_chance_agrees_with_drawing() -> None:
    rng = np.random.default_rng(4)
    relevant = rng.integers(1, 5, size=4000)
    drawn = np.array([rng.permutation(40)[:m].min() + 1 for m in relevant])
    guess = chance(40, relevant)
    for k, value in ((1, guess.r1), (5, guess.r5), (10, guess.r10)):
        assert value == pytest.approx((drawn <= k).mean(), abs=0.03)
    assert abs(guess.median_rank - np.median(drawn)) <= 1


def test_a_perfect_model_scores_one() -> None:
    x = np.eye(30, dtype=np.float32)
    key = np.arange(30)[:, None]
    scores = retrieval(x, x, SharedKey(key, key))
    assert (scores.r1, scores.r5, scores.r10, scores.median_rank, scores.map) == (
        1.0,
        1.0,
        1.0,
        1.0,
        pytest.approx(1.0),
    )


def test_what_is_not_finite_is_refused_and_never_ranked_first() -> None:
    x = np.eye(3, dtype=np.float32)
    bad = x.copy()
    bad[1, 1] = np.nan
    key = np.arange(3)[:, None]
    for queries, gallery in ((bad, x), (x, bad)):
        with pytest.raises(ModelError, match="not finite"):
            ranks(queries, gallery, SharedKey(key, key))


def test_a_query_without_an_answer_is_refused() -> None:
    x = np.eye(3, dtype=np.float32)
    with pytest.raises(DataError, match="query 2 "):
        ranks(x, x, SharedKey(np.arange(3)[:, None], np.array([[0], [1], [1]])))


def test_no_queries_give_zeros() -> None:
    none = np.zeros((0, 3), dtype=np.float32)
    key = np.zeros((0, 1), dtype=np.int64)
    assert retrieval(none, np.eye(3, dtype=np.float32), SharedKey(key, np.zeros((3, 1), np.int64))).n == 0
    assert chance(10, np.zeros(0, dtype=np.int64)).n == 0


def test_accuracy_shares_ties_out() -> None:
    score = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [2, 2, 2]], dtype=np.float32)
    truth = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], dtype=bool)
    assert accuracy(score, truth).tolist() == pytest.approx([1, 0.5, 1 / 3, 2 / 3])


def test_intervals_are_seeded_and_widen_with_clusters() -> None:
    rng = np.random.default_rng(5)
    value = np.repeat(rng.random(60) < 0.5, 10).astype(np.float64)
    alone = intervals({"r1": value}, np.arange(600), seed=1)["r1"]
    assert alone == intervals({"r1": value}, np.arange(600), seed=1)["r1"]
    together = intervals({"r1": value}, np.repeat(np.arange(60), 10), seed=1)["r1"]
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])
    assert together[0] <= value.mean() <= together[1]


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(6)
    covered = 0
    for trial in range(200):
        concept = rng.random(80)
        value = (rng.random((80, 3)) < concept[:, None]).astype(np.float64).ravel()
        low, high = intervals({"x": value}, np.repeat(np.arange(80), 3), resamples=300, seed=trial)["x"]
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_intervals_of_nothing_are_zero() -> None:
    assert intervals({"x": np.zeros(0)}, np.zeros(0, dtype=np.int64)) == {"x": (0.0, 0.0)}


def test_what_never_happened_still_may() -> None:
    """0 of 50 groups: the exact bound is 1 − 0.025^(1/50); and the mirror image for 50 of 50."""
    group = np.repeat(np.arange(50), 2)
    bound = 1 - 0.025 ** (1 / 50)
    assert intervals({"x": np.zeros(100)}, group)["x"] == pytest.approx((0.0, bound))
    assert intervals({"x": np.ones(100)}, group)["x"] == pytest.approx((1 - bound, 1.0))
    assert intervals({"x": np.array([0.0, 1.0, 1.0])}, np.zeros(3, dtype=np.int64))["x"] == (0.0, 1.0)
