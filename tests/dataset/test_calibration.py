"""Calibration error against a slow version, also at the edges of the bins."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.dataset.calibration import calibration_error, expected_calibration_error
from chiasm.errors import DataError


def slow_error(confidence, right, bins=15):
    found = 0.0
    for low in range(bins):
        inside = (confidence > low / bins) & (confidence <= (low + 1) / bins) | ((confidence == 0) & (low == 0))
        found += abs(right[inside].sum() - confidence[inside].sum()) / len(confidence)
    return found


@pytest.mark.parametrize("bins", [1, 7, 15, 100])
def test_error_against_a_slow_version(bins):
    random = np.random.default_rng(0)
    confidence = np.concatenate([random.random(200), np.arange(bins + 1) / bins])
    right = random.random(len(confidence)) < confidence
    assert calibration_error(confidence, right, bins) == pytest.approx(slow_error(confidence, right, bins))


def test_a_bin_holds_its_upper_end():
    # 1/15 lies with what is below it: one right of two, .05 and .0667 sure, and not each in a bin of its own.
    both = np.array([0.05, 1 / 15])
    assert calibration_error(both, np.array([True, False])) == pytest.approx((1 - both.sum()) / 2)
    assert calibration_error(np.ones(4), np.array([1, 0, 1, 0], bool)) == 0.5


def test_of_probabilities_the_greatest_counts():
    random = np.random.default_rng(1)
    shares, truth = random.dirichlet(np.ones(4), 500), random.integers(0, 4, 500)
    wanted = slow_error(shares.max(axis=1), shares.argmax(axis=1) == truth)
    assert expected_calibration_error(shares, truth) == pytest.approx(wanted)
    assert expected_calibration_error(shares[:0], truth[:0]) == 0


@pytest.mark.parametrize("confidence", [[], [1.5], [-0.1], [float("nan")]])
def test_what_is_no_confidence_is_refused(confidence):
    with pytest.raises(DataError, match="from 0 to 1"):
        calibration_error(np.array(confidence), np.ones(len(confidence), bool))
