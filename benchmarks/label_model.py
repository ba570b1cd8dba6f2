"""The label model against the majority's vote, on simulated labelling functions of known accuracy.

    python benchmarks/label_model.py

Five functions that err independently and evenly; the worst error of an estimated accuracy over functions and seeds, and the accuracy of the labels.
"""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.label_model import ABSTAIN, fit_dawid_skene, fit_triplets, majority_vote

ACCURACY = (0.9, 0.8, 0.7, 0.65, 0.6)
COVERAGE = (0.4, 0.6, 0.5, 0.9, 0.8)
ROWS, SEEDS = 5000, 20
CASES: tuple[tuple[int, tuple[float, ...] | None], ...] = ((2, None), (2, (0.75, 0.25)), (5, None), (10, None))


def simulate(k: int, prior: tuple[float, ...] | None, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    truth = random.choice(k, ROWS, p=prior)
    columns = [
        np.where(
            random.random(ROWS) < covers,
            np.where(random.random(ROWS) < right, truth, (truth + random.integers(1, k, ROWS)) % k),
            ABSTAIN,
        )
        for right, covers in zip(ACCURACY, COVERAGE, strict=True)
    ]
    return np.stack(columns, axis=1), truth


def share_right(posterior: NDArray[np.float64], votes: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Over rows with a vote; ties are drawn."""
    rows = np.flatnonzero((votes != ABSTAIN).any(axis=1))
    best = np.isclose(posterior[rows], posterior[rows].max(axis=1, keepdims=True))
    return float((best[np.arange(len(rows)), truth[rows]] / best.sum(axis=1)).mean())


def main() -> None:
    found: list[dict[str, object]] = []
    for k, prior in CASES:
        models = {
            "em": lambda votes, k=k: fit_dawid_skene(votes, k),
            "full": lambda votes, k=k: fit_dawid_skene(votes, k, confusion="full"),
            "triplets": lambda votes, k=k: fit_triplets(votes, k),
        }
        runs = [simulate(k, prior, seed) for seed in range(SEEDS)]
        majority = [share_right(majority_vote(votes, k), votes, truth) for votes, truth in runs]
        for name, fit in models.items():
            fitted = [(fit(votes), votes, truth) for votes, truth in runs]
            errors = [float(np.abs(model.accuracy - ACCURACY).max()) for model, _, _ in fitted]
            right = [share_right(model.posterior, votes, truth) for model, votes, truth in fitted]
            gain = [a - b for a, b in zip(right, majority, strict=True)]
            found.append(
                {
                    "classes": k, "prior": prior, "model": name, "worst_error": max(errors), "mean_error": float(np.mean(errors)),
                    "accuracy": float(np.mean(right)), "majority": float(np.mean(majority)), "least_gain": min(gain),
                }
            )  # fmt: skip
            share = "even" if prior is None else " : ".join(f"{p:g}" for p in prior)
            print(
                f"| {k} | {share} | {name} | {max(errors):.3f} | {np.mean(errors):.3f} | {np.mean(right):.3f} | "
                f"{np.mean(majority):.3f} | {min(gain):+.3f} |"
            )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
