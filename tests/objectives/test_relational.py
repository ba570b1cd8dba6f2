"""Scene-graph prediction: each kind of word has its own mean."""

from __future__ import annotations

import math

import pytest
import torch

from chiasm.objectives.masked import masked_tokens
from chiasm.objectives.relational import CATEGORIES, scene_graph
from chiasm.types import IGNORE


def test_each_kind_of_word_has_its_own_mean() -> None:
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    category = torch.tensor([[0, 1, 1, 2, 3], [1, 2, 3, 3, 0]])
    target = torch.tensor([[IGNORE, 3, 6, 0, IGNORE], [2, IGNORE, 1, 4, 5]])
    losses = scene_graph(logits, target, category)
    assert tuple(losses) == CATEGORIES
    for code, name in enumerate(CATEGORIES, start=1):
        expected = masked_tokens(logits, target.where(category == code, IGNORE))
        torch.testing.assert_close(losses[name], expected)
    uniform = scene_graph(torch.zeros(2, 5, 7), target, category)
    assert [loss.item() for loss in uniform.values()] == pytest.approx([math.log(7)] * 3)


def test_a_kind_that_is_not_masked_is_zero_with_a_gradient() -> None:
    logits = torch.randn(1, 3, 7, requires_grad=True)
    losses = scene_graph(logits, torch.tensor([[1, IGNORE, IGNORE]]), torch.tensor([[1, 2, 3]]))
    assert losses["object"] > 0
    assert losses["attribute"].item() == losses["relation"].item() == 0
    assert torch.autograd.grad(losses["attribute"], logits)[0].eq(0).all()
