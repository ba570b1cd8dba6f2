"""Late fusion against its formulas, record by record."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from fusion_cases import WIDTH, fusion, parts, shake, without
from torch import Tensor

from chiasm.fusion.joins import Gated
from chiasm.fusion.make import FusionKind


def _weighted(join: Any, x: dict[int, Tensor]) -> Tensor:
    weight = {m: math.exp(join.scores[m].item()) for m in x}
    return torch.stack([weight[m] / sum(weight.values()) * x[m] for m in x]).sum(0)


def _gated(join: Any, x: dict[int, Tensor]) -> Tensor:
    every = torch.cat([x.get(m, torch.zeros(WIDTH)) for m in (0, 1)])
    scores = join.gates(every).view(2, WIDTH)
    total = torch.stack([scores[m].exp() for m in x]).sum(0)
    return torch.stack([scores[m].exp() / total * join.hidden[m](x[m]).tanh() for m in x]).sum(0)


def _bilinear(join: Any, x: dict[int, Tensor]) -> Tensor:
    product = torch.ones(WIDTH)
    for m in x:
        product = product * join.factors[m](x[m]).tanh()
    return join.out(product)


NAIVE: dict[str, Callable[[Any, dict[int, Tensor]], Tensor]] = {
    "late_concat": lambda join, x: torch.cat([x.get(m, torch.zeros(WIDTH)) for m in (0, 1)]),
    "late_sum": lambda join, x: torch.stack(list(x.values())).sum(0),
    "late_weighted": _weighted,
    "late_gated": _gated,
    "late_max": lambda join, x: torch.stack(list(x.values())).amax(0),
    "late_bilinear": _bilinear,
}


@pytest.mark.parametrize("kind", list(NAIVE))
def test_the_join_is_its_formula(kind: FusionKind) -> None:
    made, given = fusion(kind), parts()
    given["image"] = without(given["image"], 1)
    fused = made(given)
    for record in range(3):
        means = {
            m: fused.parts[name].x[record, given[name].valid[record]].mean(0)
            for m, name in enumerate(given)
            if given[name].valid[record].any()
        }
        torch.testing.assert_close(fused.joint[record], NAIVE[kind](made.join, means), atol=1e-5, rtol=0)


def test_two_gates_are_one_sigmoid() -> None:
    """z and 1 − z of the paper, its W_z the difference of the two gates' weights."""
    torch.manual_seed(0)
    join = shake(Gated(2, WIDTH))
    x = torch.randn(4, 2, WIDTH)
    difference = (
        join.gates.weight[:WIDTH] - join.gates.weight[WIDTH:],
        join.gates.bias[:WIDTH] - join.gates.bias[WIDTH:],
    )
    z = torch.sigmoid(x.flatten(1) @ difference[0].T + difference[1])
    a, b = (join.hidden[m](x[:, m]).tanh() for m in (0, 1))
    found = join(x, torch.ones(4, 2, dtype=torch.bool))
    torch.testing.assert_close(found, z * a + (1 - z) * b, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", list(NAIVE))
def test_a_record_of_nothing_is_finite(kind: FusionKind) -> None:
    given = {name: without(part, 0) for name, part in parts().items()}
    joint = fusion(kind)(given).joint
    assert joint.isfinite().all()
    if kind != "late_bilinear":  # its factors are all 1: a constant
        assert not joint[0].any()


@pytest.mark.parametrize("kind", list(NAIVE))
def test_alone_is_the_joint_without_the_others(kind: FusionKind) -> None:
    made, given = fusion(kind), parts()
    alone = made.alone(made(given))
    for name, other in (("text", "image"), ("image", "text")):
        lacking = given
        for record in range(3):
            lacking = {**lacking, other: without(lacking[other], record)}
        torch.testing.assert_close(alone[name], made(lacking).joint, atol=1e-5, rtol=0)
