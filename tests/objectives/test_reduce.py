"""Means of nothing, and the type that losses are computed in."""

from __future__ import annotations

import torch

from chiasm.objectives.reduce import log_losses, mean_of, wide
from chiasm.types import IGNORE


def test_wide_is_float32_or_float64() -> None:
    for given, expected in ((torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64,) * 2):
        assert wide(torch.ones(2, dtype=given)).dtype == expected


def test_the_mean_of_nothing_is_zero_with_a_gradient() -> None:
    x = torch.ones(3, requires_grad=True)
    mean = mean_of(x[:0], 0)
    (gradient,) = torch.autograd.grad(mean, x)
    assert mean.item() == 0
    assert gradient.tolist() == [0, 0, 0]


def test_log_losses_are_of_predicted_rows_in_order() -> None:
    logits = torch.tensor([[0.0, 1.0], [torch.nan, torch.nan], [2.0, 0.0]])
    values, predicted = log_losses(logits, torch.tensor([1, IGNORE, 1]))
    assert predicted.tolist() == [True, False, True]
    torch.testing.assert_close(values, -logits[[0, 2]].log_softmax(-1)[:, 1])
