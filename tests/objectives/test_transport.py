"""Transport plans against linear programming, and IPOT against the published steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment, linprog
from torch import Tensor

from chiasm.objectives.transport import alignment_loss, ipot, sinkhorn, word_region_alignment


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def optimum(cost: Tensor) -> float:
    """The exact transport cost between uniform weights."""
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    sums = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return float(linprog(cost.flatten().numpy(), A_eq=np.vstack([rows, columns]), b_eq=sums).fun)


def valid(lengths: list[int], size: int) -> Tensor:
    return torch.arange(size)[None] < torch.tensor(lengths)[:, None]


def published(cost: Tensor, beta: float, iterations: int) -> Tensor:
    """IPOT as the paper and UNITER's code write it, for one pair without padding: a is sigma, b is delta."""
    n, m = cost.shape
    kernel, plan, sigma = (-cost / beta).exp(), torch.ones_like(cost), torch.full((n,), 1 / n, dtype=cost.dtype)
    for _ in range(iterations):
        q = kernel * plan
        delta = 1 / (m * (sigma @ q))
        sigma = 1 / (n * (q @ delta))
        plan = sigma[:, None] * q * delta
    return plan


def test_ipot_takes_the_published_steps() -> None:
    cost = random(1, 5, 7)
    everything = torch.ones(1, 5, dtype=torch.bool), torch.ones(1, 7, dtype=torch.bool)
    for iterations in (1, 5, 50):
        plan = ipot(cost, *everything, iterations=iterations)
        torch.testing.assert_close(plan[0], published(cost[0], 0.5, iterations))


@pytest.mark.parametrize("shape", [(6, 6), (4, 7), (1, 5)])
def test_ipot_reaches_the_optimum(shape: tuple[int, int]) -> None:
    n, m = shape
    cost = random(3, n, m)
    plan = ipot(cost, torch.ones(3, n, dtype=torch.bool), torch.ones(3, m, dtype=torch.bool), 0.05, 500)
    torch.testing.assert_close(plan.sum(2), torch.full((3, n), 1 / n, dtype=torch.float64))
    torch.testing.assert_close(plan.sum(1), torch.full((3, m), 1 / m, dtype=torch.float64), rtol=1e-2, atol=1e-4)
    for one in range(3):
        assert float((plan[one] * cost[one]).sum()) == pytest.approx(optimum(cost[one]), rel=5e-3)


def test_ipot_of_equal_sizes_is_an_assignment() -> None:
    cost = random(1, 6, 6, seed=3)
    everything = torch.ones(1, 6, dtype=torch.bool)
    plan = ipot(cost, everything, everything, 0.05, 500)[0]
    assert plan.argmax(1).tolist() == linear_sum_assignment(cost[0].numpy())[1].tolist()


def test_padding_changes_no_plan() -> None:
    cost = random(3, 5, 7)
    rows, columns = valid([5, 2, 0], 5), valid([3, 7, 4], 7)
    broken = cost.masked_fill(~(rows[:, :, None] & columns[:, None]), torch.nan)
    plan = ipot(broken, rows, columns)
    for one, (n, m) in enumerate([(5, 3), (2, 7)]):
        torch.testing.assert_close(plan[one, :n, :m], published(cost[one, :n, :m], 0.5, 50))
    assert plan[~(rows[:, :, None] & columns[:, None])].eq(0).all()


def test_ipot_in_float32_with_a_small_step_does_not_underflow() -> None:
    plan = ipot(100 * random(1, 4, 4).float(), valid([4], 4), valid([4], 4), beta=0.1)
    assert plan.isfinite().all()
    torch.testing.assert_close(plan.sum(2), torch.full((1, 4), 0.25))


def test_sinkhorn_nears_the_optimum_as_its_entropy_falls() -> None:
    cost = random(5, 8)
    costs = [float((sinkhorn(cost, epsilon, 2000) * cost).sum()) for epsilon in (1.0, 0.1, 0.01)]
    assert costs[0] > costs[1] > costs[2]
    assert costs[2] == pytest.approx(optimum(cost), rel=2e-2)
    plan = sinkhorn(cost, 0.1, 200)
    torch.testing.assert_close(plan.sum(1), torch.full((5,), 1 / 5, dtype=torch.float64), rtol=1e-4, atol=0)
    torch.testing.assert_close(plan.sum(0), torch.full((8,), 1 / 8, dtype=torch.float64))


def test_word_region_alignment_ignores_padding_and_order() -> None:
    words, regions = random(3, 4, 8) - 0.5, random(3, 6, 8, seed=1) - 0.5
    rows, columns = valid([4, 2, 3], 4), valid([6, 3, 0], 6)
    distance = word_region_alignment(words, regions, rows, columns)
    broken = word_region_alignment(
        words.masked_fill(~rows[..., None], torch.nan),
        regions.masked_fill(~columns[..., None], torch.nan),
        rows,
        columns,
    )
    torch.testing.assert_close(distance, broken)
    short = word_region_alignment(words[1:2, :2], regions[1:2, :3], rows[1:2, :2], columns[1:2, :3])
    torch.testing.assert_close(distance[1:2], short)
    turned = word_region_alignment(words[:1].flip(1), 3 * regions[:1].flip(1), rows[:1], columns[:1])
    torch.testing.assert_close(distance[:1], turned)
    assert distance[2] == 0


def test_the_same_set_is_at_no_distance() -> None:
    words = torch.eye(4, dtype=torch.float64)[None]
    everything = torch.ones(1, 4, dtype=torch.bool)
    near = word_region_alignment(words, words[:, [2, 0, 3, 1]], everything, everything)
    far = word_region_alignment(words, -words, everything, everything)
    assert near.item() < 1e-6
    assert far.item() > 0.99


def test_the_gradient_is_that_of_the_cost_under_the_plan() -> None:
    words, regions = (random(2, 3, 5) - 0.5).requires_grad_(), random(2, 4, 5, seed=1) - 0.5
    rows, columns = valid([3, 2], 3), valid([4, 3], 4)
    (mine,) = torch.autograd.grad(word_region_alignment(words, regions, rows, columns).sum(), words)
    cost = 1 - torch.nn.functional.cosine_similarity(words[:, :, None], regions[:, None], dim=-1)
    plan = ipot(cost.detach(), rows, columns)
    (expected,) = torch.autograd.grad((plan * cost).sum(), words)
    torch.testing.assert_close(mine, expected)
    assert mine[1, 2].eq(0).all()


def test_alignment_loss_has_the_sign_of_the_match() -> None:
    distance = torch.tensor([0.2, 0.9, 0.5])
    matched = torch.tensor([1, 0, 1])
    assert alignment_loss(distance, matched).item() == pytest.approx((0.2 + 0.5 - 0.9) / 3)
    assert alignment_loss(torch.ones(4), torch.tensor([1, 0, 0, 1])).item() == 0
