"""The label model finds how often each function is right, and does better than counting votes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from chiasm.dataset.label_model import (
    ABSTAIN,
    dependent_pairs,
    fit_dawid_skene,
    fit_triplets,
    majority_vote,
    triplet_accuracies,
    vote_statistics,
)

ACCURACY = np.array([0.9, 0.8, 0.7, 0.65, 0.6])
COVERAGE = np.array([0.4, 0.6, 0.5, 0.9, 0.8])

Votes = NDArray[np.int64]


def simulate(k: int, n: int, seed: int, prior: list[float] | None = None) -> tuple[Votes, Votes]:
    """Votes [n, 5] of independent functions of known accuracy and coverage, and the truth [n]."""
    random = np.random.default_rng(seed)
    truth = random.choice(k, n, p=prior)
    columns: list[Votes] = []
    for accuracy, coverage in zip(ACCURACY, COVERAGE, strict=True):
        said = np.where(random.random(n) < accuracy, truth, (truth + random.integers(1, k, n)) % k)
        columns.append(np.where(random.random(n) < coverage, said, ABSTAIN))
    return np.stack(columns, axis=1), truth


def accuracy_of(posterior: NDArray[np.float64], votes: Votes, truth: Votes) -> float:
    """The expected share of right answers over rows with a vote, where ties are drawn."""
    rows = np.flatnonzero((votes != ABSTAIN).any(axis=1))
    best = np.isclose(posterior[rows], posterior[rows].max(axis=1, keepdims=True))
    return float((best[np.arange(len(rows)), truth[rows]] / best.sum(axis=1)).mean())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("k", "prior"), [(2, None), (2, [0.75, 0.25]), (5, None)])
def test_accuracies_are_found_and_the_majority_is_beaten(k: int, prior: list[float] | None, seed: int) -> None:
    votes, truth = simulate(k, 5000, seed, prior)
    majority = accuracy_of(majority_vote(votes, k), votes, truth)
    for kind, within in (("symmetric", 0.05), ("full", 0.08)):  # full has more to estimate
        model = fit_dawid_skene(votes, k, confusion=kind)  # type: ignore[arg-type]
        assert np.abs(model.accuracy - ACCURACY).max() < within
        assert accuracy_of(model.posterior, votes, truth) > majority + 0.015
    model = fit_triplets(votes, k, None if prior is None else np.array(prior))
    assert np.abs(model.accuracy - ACCURACY).max() < 0.08
    assert accuracy_of(model.posterior, votes, truth) > majority + 0.015


def test_triplets_in_closed_form_are_exact_without_sampling() -> None:
    k, accuracy = 3, (0.9, 0.7, 0.5)
    rows: list[tuple[int, ...]] = []
    for truth, *said in product(range(k), repeat=4):
        share = 1.0
        for vote, right in zip(said, accuracy, strict=True):
            share *= right if vote == truth else (1 - right) / (k - 1)
        rows += [tuple(said)] * round(share * 8000)
    assert triplet_accuracies(np.array(rows), k) == pytest.approx(accuracy, abs=1e-9)


def test_posterior_is_bayes_rule() -> None:
    votes, _ = simulate(3, 400, 0)
    model = fit_dawid_skene(votes, 3, confusion="full", iterations=7)
    for row in (0, 11, 200):
        said = np.where(votes[row] == ABSTAIN, 3, votes[row])
        naive = np.array(
            [model.prior[c] * np.prod([model.confusion[j, c, said[j]] for j in range(5)]) for c in range(3)]
        )
        assert model.posterior[row] == pytest.approx(naive / naive.sum(), rel=1e-9)


def test_a_function_that_knows_one_class_only() -> None:
    """Its silence says something too, which only the full model hears."""
    random = np.random.default_rng(3)
    truth = random.integers(0, 2, 4000)
    votes = np.full((4000, 4), ABSTAIN)
    for j, (one, hit, false) in enumerate([(0, 0.8, 0.1), (1, 0.7, 0.1), (0, 0.6, 0.2), (1, 0.9, 0.2)]):
        votes[:, j] = np.where(random.random(4000) < np.where(truth == one, hit, false), one, ABSTAIN)
    full = fit_dawid_skene(votes, 2, confusion="full").posterior.argmax(axis=1)
    silent = (votes == ABSTAIN).all(axis=1)
    assert silent.any()
    assert (full == truth).mean() > 0.87


def test_statistics_against_a_naive_count() -> None:
    votes, _ = simulate(3, 300, 1)
    found = vote_statistics(votes)
    for j in range(5):
        said = [row for row in votes if row[j] != ABSTAIN]
        others = [[v for i, v in enumerate(row) if i != j and v != ABSTAIN] for row in said]
        assert found.coverage[j] == pytest.approx(len(said) / 300)
        assert found.overlap[j] == pytest.approx(sum(bool(o) for o in others) / 300)
        assert found.conflict[j] == pytest.approx(
            sum(any(v != row[j] for v in o) for row, o in zip(said, others, strict=True)) / 300
        )


def test_copies_are_told() -> None:
    votes, _ = simulate(2, 5000, 0)
    assert dependent_pairs(votes, fit_dawid_skene(votes, 2)) == []
    votes[:, 4] = votes[:, 3]
    (pair, *_) = dependent_pairs(votes, fit_triplets(votes[:, [0, 1, 2, 3, 4]], 2))
    assert pair[:2] == (3, 4)


def test_edges() -> None:
    none = np.full((3, 2), ABSTAIN)
    model = fit_dawid_skene(none, 2)
    assert np.isnan(model.accuracy).all()
    assert model.posterior == pytest.approx(np.full((3, 2), 0.5))
    assert fit_dawid_skene(np.zeros((0, 2), np.int64), 2).posterior.shape == (0, 2)
    with pytest.raises(ValueError, match="two or more"):
        fit_dawid_skene(none, 1)
    with pytest.raises(ValueError, match="expected -1 to 1"):
        majority_vote(np.array([[2]]), 2)
    votes, _ = simulate(2, 500, 0)
    first, again = fit_dawid_skene(votes, 2), fit_dawid_skene(votes, 2)
    assert np.array_equal(first.posterior, again.posterior)
