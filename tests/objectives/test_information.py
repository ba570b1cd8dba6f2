"""The bound's value, its ceiling, and that it stays below the truth where the truth is known."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from chiasm.objectives.information import mutual_information_bound


def test_the_bound_lies_between_nothing_and_its_ceiling() -> None:
    bound = mutual_information_bound(1.0, 64)
    assert bound.nats == pytest.approx(math.log(64) - 1)
    assert bound.ceiling == pytest.approx(math.log(64))
    assert not bound.saturated
    assert mutual_information_bound(math.log(64) + 1, 64).nats == 0
    full = mutual_information_bound(0.0, 64)
    assert full.nats == full.ceiling
    assert full.saturated
    assert mutual_information_bound(-0.1, 64).nats == full.ceiling


@pytest.mark.parametrize("correlation", [0.5, 0.9, 0.999])
def test_the_bound_holds_for_gaussians(correlation: float) -> None:
    """Correlated pairs, scored by the true density ratio: I = −½ ln(1 − ρ²) a dimension."""
    generator = torch.Generator().manual_seed(0)
    candidates, width = 128, 4
    truth = -0.5 * width * math.log(1 - correlation**2)
    losses = []
    for _ in range(50):
        x, noise = torch.randn(2, candidates, width, generator=generator)
        y = correlation * x + math.sqrt(1 - correlation**2) * noise
        ratio = -((y[None] - correlation * x[:, None]) ** 2).sum(-1) / (2 * (1 - correlation**2))
        losses.append(F.cross_entropy(ratio + (y**2).sum(-1)[None] / 2, torch.arange(candidates)).item())
    bound = mutual_information_bound(sum(losses) / len(losses), candidates)
    assert 0 < bound.nats < truth + 0.02
    assert bound.saturated == (truth > bound.ceiling)
