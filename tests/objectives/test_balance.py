"""Weights at their optimum and gradients that are scaled as the paper says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from chiasm.errors import ConfigError
from chiasm.objectives.balance import (
    UncertaintyWeights,
    modulate_gradients,
    ogm_ge_coefficients,
)

LOSSES = {"mlm": torch.tensor(3.0), "itm": torch.tensor(0.25)}


def test_uncertainty_starts_at_the_sum_and_learns_its_optimum() -> None:
    weights = UncertaintyWeights(["mlm", "itm", "mrfr"], squared=["mrfr"])
    assert weights(LOSSES).item() == pytest.approx(3.25)
    losses = {**LOSSES, "mrfr": torch.tensor(4.0)}
    assert weights(losses).item() == pytest.approx(3.25 + 2)
    optimizer = torch.optim.Adam(weights.parameters(), lr=0.1)
    for _ in range(500):
        optimizer.zero_grad()
        weights(losses).backward()
        optimizer.step()
    expected = torch.tensor([math.log(2 * 3.0), math.log(2 * 0.25), math.log(4.0)])
    torch.testing.assert_close(weights.log_variance.detach(), expected, rtol=0, atol=1e-3)


def test_uncertainty_of_a_step_without_some_losses() -> None:
    weights = UncertaintyWeights(["mlm", "itm"])
    (gradient,) = torch.autograd.grad(weights({"itm": LOSSES["itm"]}), weights.log_variance)
    assert gradient.tolist() == pytest.approx([0, 0.5 - 0.25])
    with pytest.raises(ConfigError, match="mrfr"):
        weights({"mrfr": LOSSES["itm"]})


def test_only_the_leader_is_held_back() -> None:
    scores = {"image": torch.tensor([0.2, 0.2]), "text": torch.tensor([0.5, 0.3])}
    found = ogm_ge_coefficients(scores, alpha=0.1)
    assert found["image"] == 1
    assert found["text"] == pytest.approx(1 - math.tanh(0.1 * 2))
    assert ogm_ge_coefficients({"a": scores["image"], "b": scores["image"]}, 0.1) == {"a": 1, "b": 1}
    three = ogm_ge_coefficients({**scores, "audio": torch.tensor([0.1, 0.1])}, 0.1)
    assert three["text"] == pytest.approx(1 - math.tanh(0.1 * 0.8 / 0.3))
    assert three["audio"] == 1
    assert three["image"] == 1
    assert ogm_ge_coefficients({"alone": scores["image"]}, 0.1) == {"alone": 1}


def encoders() -> dict[str, nn.Linear]:
    torch.manual_seed(0)
    made = {"image": nn.Linear(60, 50), "text": nn.Linear(60, 50)}
    sum((layer(torch.randn(8, 60)) ** 2).sum() for layer in made.values()).backward()  # type: ignore[union-attr]
    return made


def test_gradients_are_scaled_in_place() -> None:
    made = encoders()
    made["image"].bias.grad = None
    before = {name: layer.weight.grad.clone() for name, layer in made.items()}  # type: ignore[union-attr]
    parameters = {name: layer.parameters() for name, layer in made.items()}
    modulate_gradients(parameters, {"image": 1.0, "text": 0.25}, None)
    torch.testing.assert_close(made["image"].weight.grad, before["image"])
    torch.testing.assert_close(made["text"].weight.grad, 0.25 * before["text"])
    assert made["image"].bias.grad is None


def test_noise_has_the_spread_of_the_gradient_and_repeats_with_its_seed() -> None:
    runs = []
    for seed in (5, 5, 6):
        made = encoders()
        before = made["text"].weight.grad.clone()  # type: ignore[union-attr]
        parameters = {name: layer.parameters() for name, layer in made.items()}
        modulate_gradients(parameters, {"image": 1.0, "text": 0.25}, np.random.default_rng(seed))
        runs.append(made["text"].weight.grad - 0.25 * before)  # type: ignore[operator]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert runs[0].std().item() == pytest.approx(before.std().item(), rel=0.05)
    assert abs(runs[0].mean().item()) < 0.05 * before.std().item()


def test_a_parameter_of_one_number_is_no_nan() -> None:
    scalar = nn.Parameter(torch.tensor(2.0))
    (3 * scalar).backward()
    modulate_gradients({"text": [scalar]}, {"text": 0.5}, np.random.default_rng(0))
    assert scalar.grad is not None
    assert scalar.grad.item() == 1.5
