"""Masked losses against loops over the masked rows; what is not masked changes nothing, not even as NaN."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from chiasm.objectives.masked import (
    masked_patches,
    masked_tokens,
    picked,
    region_class,
    region_kl,
    region_kl_chance,
    region_regression,
    region_regression_chance,
)
from chiasm.types import IGNORE


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


MASKED = torch.tensor([[True, False, True, False], [False, False, True, False], [False] * 4])
TARGET = torch.where(MASKED, torch.tensor([[1, 0, 2, 0], [0, 0, 4, 0], [0] * 4]), IGNORE)
NONE = torch.zeros_like(MASKED)
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "masked_tokens": lambda x, masked: masked_tokens(x, TARGET.where(masked, IGNORE)),
    "region_class": lambda x, masked: region_class(x, TARGET.where(masked, IGNORE)),
    "region_kl": lambda x, masked: region_kl(x, random(3, 4, 5, seed=1).softmax(-1), masked),
    "region_regression": lambda x, masked: region_regression(x, random(3, 4, 5, seed=1), masked),
    "masked_patches": lambda x, masked: masked_patches(x, random(3, 4, 5, seed=1), masked),
}


@pytest.mark.parametrize("name", LOSSES)
def test_only_masked_rows_count_and_nothing_masked_is_zero(name: str) -> None:
    loss = LOSSES[name]
    x = random(3, 4, 5)
    broken = x.masked_fill(~MASKED[..., None], torch.nan).requires_grad_()
    found = loss(broken, MASKED)
    torch.testing.assert_close(found, loss(x, MASKED))
    (gradient,) = torch.autograd.grad(found, broken)
    assert gradient[MASKED].abs().sum(-1).gt(0).all()
    assert gradient[~MASKED].eq(0).all()
    nothing = loss(x.requires_grad_(), NONE)
    assert nothing.item() == 0
    assert torch.autograd.grad(nothing, x)[0].eq(0).all()


def test_masked_tokens_is_the_mean_over_masked_positions() -> None:
    logits = random(3, 4, 5)
    expected = [-logits[i, n].log_softmax(0)[TARGET[i, n]] for i, n in MASKED.nonzero().tolist()]
    torch.testing.assert_close(masked_tokens(logits, TARGET), torch.stack(expected).mean())
    torch.testing.assert_close(region_class(logits, TARGET), torch.stack(expected).mean())
    torch.testing.assert_close(masked_tokens(torch.zeros(3, 4, 5), TARGET).item(), math.log(5))


def test_vocabulary_logits_of_picked_rows_give_the_same_loss() -> None:
    features, head = random(3, 4, 6), random(6, 5, seed=1)
    rows, target = picked(features, TARGET)
    assert rows.shape == (3, 6)
    assert target.tolist() == [1, 2, 4]
    torch.testing.assert_close(masked_tokens(rows @ head, target), masked_tokens(features @ head, TARGET))


def test_losses_are_float32_for_narrow_input() -> None:
    logits = random(3, 4, 5).bfloat16()
    assert masked_tokens(logits, TARGET).dtype == torch.float32
    assert region_kl(logits, logits.softmax(-1), MASKED).dtype == torch.float32
    assert masked_patches(logits, logits, MASKED).dtype == torch.float32


def test_region_kl_is_the_divergence_from_given_to_predicted() -> None:
    logits, given = random(3, 4, 5), (4 * random(3, 4, 5, seed=1)).softmax(-1)
    given[0, 0] = torch.eye(5)[2]  # zeros in a distribution are no NaN
    q = logits.softmax(-1)
    expected = [
        sum(p * (p / q[i, n, c]).log() for c, p in enumerate(given[i, n]) if p > 0)
        for i, n in MASKED.nonzero().tolist()
    ]
    torch.testing.assert_close(region_kl(logits, given, MASKED), torch.stack(expected).mean())  # type: ignore[arg-type]
    torch.testing.assert_close(region_kl(given.clamp(min=1e-300).log(), given, MASKED).item(), 0.0)
    uniform = region_kl(torch.zeros_like(logits), given, MASKED).item()
    torch.testing.assert_close(region_kl_chance(given, MASKED), uniform)
    assert region_kl_chance(given, NONE) == 0


def test_region_regression_and_its_chance() -> None:
    predicted, feature = random(3, 4, 5), random(3, 4, 5, seed=1)
    expected = [((predicted[i, n] - feature[i, n]) ** 2).mean() for i, n in MASKED.nonzero().tolist()]
    torch.testing.assert_close(region_regression(predicted, feature, MASKED), torch.stack(expected).mean())
    mean = feature[MASKED].mean(0).expand_as(feature)
    torch.testing.assert_close(
        region_regression(mean, feature, MASKED).item(), region_regression_chance(feature, MASKED), rtol=1e-6, atol=0
    )
    assert region_regression_chance(feature, NONE) == 0


def test_masked_patches_are_normalised_one_by_one() -> None:
    predicted, pixels = random(3, 4, 48), 7 + 3 * random(3, 4, 48, seed=1)
    expected = []
    for i, n in MASKED.nonzero().tolist():
        patch = (pixels[i, n] - pixels[i, n].mean()) / pixels[i, n].std()
        expected.append(((predicted[i, n] - patch) ** 2).mean())
    torch.testing.assert_close(
        masked_patches(predicted, pixels, MASKED), torch.stack(expected).mean(), rtol=1e-5, atol=0
    )
    zero = masked_patches(torch.zeros_like(pixels), pixels, MASKED)
    torch.testing.assert_close(zero.item(), 47 / 48, rtol=1e-5, atol=0)
    raw = masked_patches(predicted, pixels, MASKED, normalise=False)
    torch.testing.assert_close(raw, ((predicted - pixels)[MASKED] ** 2).mean())
    flat = masked_patches(torch.zeros_like(pixels), torch.full_like(pixels, 0.5), MASKED)
    assert flat.item() == 0
