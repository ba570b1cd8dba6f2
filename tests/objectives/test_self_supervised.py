"""NT-Xent in tiles against the full matrix; MoCo's losses against their papers' pseudocode."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.objectives.self_supervised import (
    nt_xent,
    nt_xent_chance,
    queue_contrastive,
    symmetric_query_key,
    symmetric_query_key_chance,
)


def unit(n: int, width: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, width, generator=generator, dtype=torch.float64), dim=1).requires_grad_()


def naive_nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    z = torch.cat([a, b])
    losses: list[Tensor] = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        logits = torch.stack([z[i] @ z[j] for j in others]) / temperature
        losses.append(-logits.log_softmax(0)[others.index((i + len(a)) % len(z))])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("tile", [1, 5, 8, 1000])
@pytest.mark.parametrize("n", [1, 9])
def test_nt_xent_and_its_gradients_equal_the_full_matrix(tile: int, n: int) -> None:
    a, b = unit(n), unit(n, seed=1)
    fast = torch.autograd.grad(loss := nt_xent(a, b, 0.5, tile), (a, b))
    slow = torch.autograd.grad(expected := naive_nt_xent(a, b, 0.5), (a, b))
    torch.testing.assert_close(loss, expected)
    for mine, theirs in zip(fast, slow, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_nt_xent_gradient_by_differences() -> None:
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.3, 3), (unit(4, 5), unit(4, 5, seed=1)))


def test_nt_xent_of_unrelated_vectors_is_chance() -> None:
    a, b = torch.eye(32)[:16], torch.eye(32)[16:]
    assert nt_xent_chance(16) == math.log(31)
    torch.testing.assert_close(nt_xent(a, b, 0.1).item(), nt_xent_chance(16))
    a, b = unit(64).detach(), unit(64, seed=1).detach()
    assert abs(nt_xent(a, b, 100.0).item() - nt_xent_chance(64)) < 1e-3


def test_nt_xent_keeps_its_precision_at_a_low_temperature() -> None:
    """exp(1/0.05) = 5e8 on the diagonal would leave nothing of the others in float32."""
    a, b = unit(64).detach(), unit(64, seed=1).detach()
    torch.testing.assert_close(nt_xent(a.float(), b.float(), 0.05).double(), nt_xent(a, b, 0.05), rtol=1e-5, atol=0)


def test_queue_contrastive_is_moco() -> None:
    query, key, queue = unit(6), unit(6, seed=1), unit(20, seed=2)
    loss = queue_contrastive(query, key, queue, 0.07)
    rows = [
        -torch.cat([(query[i] @ key[i])[None], queue @ query[i]]).div(0.07).log_softmax(0)[0] for i in range(len(query))
    ]
    torch.testing.assert_close(loss, torch.stack(rows).mean())
    gradients = torch.autograd.grad(loss, (query, key, queue), allow_unused=True)
    assert gradients[0] is not None
    assert gradients[1] is None and gradients[2] is None
    apart = torch.eye(40)
    chance = queue_contrastive(apart[:5], apart[5:10], apart[10:], 0.07)
    torch.testing.assert_close(chance.item(), math.log(31))


def test_symmetric_query_key_is_moco_v3() -> None:
    q1, q2, k1, k2 = (unit(7, seed=seed) for seed in range(4))

    def ctr(q: Tensor, k: Tensor) -> Tensor:
        return 2 * 0.2 * F.cross_entropy(q @ k.T / 0.2, torch.arange(7))

    loss = symmetric_query_key(q1, q2, k1, k2, 0.2)
    torch.testing.assert_close(loss, ctr(q1, k2) + ctr(q2, k1))
    assert torch.autograd.grad(loss, k1, allow_unused=True)[0] is None
    apart = torch.eye(40)
    chance = symmetric_query_key(apart[:10], apart[10:20], apart[20:30], apart[30:], 0.2)
    torch.testing.assert_close(chance.item(), symmetric_query_key_chance(10, 0.2))
