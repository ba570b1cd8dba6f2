"""Krippendorff's alpha: the worked example, a slow version, and what it is where it has nothing to go by."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from chiasm.dataset.agreement import coincidences, krippendorff
from chiasm.dataset.label_manual import agree

_ = np.nan
EXAMPLE = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
)
"""Four observers, twelve units: "Computing Krippendorff's Alpha-Reliability", 2011, section C."""


def test_alpha_is_that_of_the_worked_example():
    for level, alpha in (("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)):
        assert krippendorff(EXAMPLE, level) == pytest.approx(alpha, abs=5e-4)


def test_coincidences_against_a_slow_version():
    met, values = coincidences(EXAMPLE)
    slow = np.zeros((5, 5))
    for unit in EXAMPLE.T:
        said = unit[np.isfinite(unit)]
        for one, other in permutations(range(len(said)), 2):
            slow[int(said[one]) - 1, int(said[other]) - 1] += 1 / (len(said) - 1)
    assert values.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(met, slow, atol=1e-12)


def test_alpha_where_there_is_nothing_to_go_by():
    assert np.isnan(krippendorff(np.array([[1.0, _], [_, 2.0]]), "nominal"))
    for level in ("nominal", "ordinal", "interval"):
        assert krippendorff(np.ones((2, 4)), level) == 1


def test_manual_labels_and_ratings_are_judged_alike():
    said = {
        row: {f"by{rater}": f"v{int(value)}" for rater, value in enumerate(unit) if np.isfinite(value)}
        for row, unit in enumerate(EXAMPLE.T)
    }
    assert agree(said)["alpha"] == pytest.approx(krippendorff(EXAMPLE, "nominal"))
    # Two classes, and only one of them where annotators overlap: they agree in all that can be compared.
    assert agree({0: {"a": "x", "b": "x"}, 1: {"a": "y"}})["alpha"] == 1
    assert agree({0: {"a": "x"}, 1: {"b": "y"}})["alpha"] is None
