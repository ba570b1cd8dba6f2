"""Distillation against its definition and against the target that ALBEF mixes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from chiasm.objectives.distillation import momentum_distillation, ramp, soft_cross_entropy
from chiasm.objectives.masked import masked_tokens
from chiasm.types import IGNORE


def logits(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 6, generator=generator, dtype=torch.float64).requires_grad_()


def test_soft_cross_entropy_of_one_hot_is_cross_entropy() -> None:
    student, target = logits(0), torch.tensor([1, 5, 0, 2])
    found = soft_cross_entropy(student, F.one_hot(target, 6).double())
    torch.testing.assert_close(found, F.cross_entropy(student, target))
    teacher = logits(1).softmax(-1)
    torch.testing.assert_close(soft_cross_entropy(torch.zeros(4, 6), teacher).item(), math.log(6), rtol=1e-6, atol=0)
    entropy = -(teacher * teacher.log()).sum(-1).mean()
    torch.testing.assert_close(soft_cross_entropy(teacher.log(), teacher), entropy)


def test_only_rows_of_the_mask_count() -> None:
    student, teacher = logits(0), logits(1).softmax(-1)
    mask = torch.tensor([True, False, True, False])
    broken = student.masked_fill(~mask[:, None], torch.nan)
    found = soft_cross_entropy(broken, teacher, mask)
    torch.testing.assert_close(found, soft_cross_entropy(student[mask], teacher[mask]))
    nothing = soft_cross_entropy(student, teacher, torch.zeros(4, dtype=torch.bool))
    assert nothing.item() == 0
    assert torch.autograd.grad(nothing, student)[0].eq(0).all()


def test_momentum_distillation_is_the_mixed_target() -> None:
    student, teacher, target = logits(0), logits(1), torch.tensor([1, 5, 0, 2])
    found = momentum_distillation(F.cross_entropy(student, target), student, teacher, 0.4)
    mixed = 0.4 * teacher.softmax(-1) + 0.6 * F.one_hot(target, 6)
    torch.testing.assert_close(found, -(mixed * student.log_softmax(-1)).sum(-1).mean())
    mine = torch.autograd.grad(found, (student, teacher), allow_unused=True)
    assert mine[1] is None, "the teacher takes no gradient"
    torch.testing.assert_close(mine[0], (student.softmax(-1) - mixed) / 4)


def test_momentum_distillation_of_masked_words() -> None:
    student, teacher, target = logits(0), logits(1), torch.tensor([1, IGNORE, 0, IGNORE])
    hard = masked_tokens(student, target)
    found = momentum_distillation(hard, student, teacher, 0.4, target != IGNORE)
    rows = [0, 2]
    expected = momentum_distillation(F.cross_entropy(student[rows], target[rows]), student[rows], teacher[rows], 0.4)
    torch.testing.assert_close(found, expected)


def test_the_ramp_rises_over_its_steps_and_stays() -> None:
    assert [ramp(0.4, step, 4) for step in (0, 1, 2, 4, 9)] == pytest.approx([0, 0.1, 0.2, 0.4, 0.4])
