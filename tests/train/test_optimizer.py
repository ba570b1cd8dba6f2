"""What the optimizer does to weights that hold several matrices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from chiasm.config import OptimizerConfig
from chiasm.nn.linear import Linear
from chiasm.train.optimizer import Optimizer

CONFIG = OptimizerConfig(kind="muon")


def gradients(steps: int) -> list[Tensor]:
    made = torch.randn(steps, 24, 8, generator=torch.Generator().manual_seed(0))
    made[:, 16:] *= 100  # as of values beside queries and keys
    return list(made)


def follow(optimizer: Optimizer, weights: Sequence[nn.Parameter], steps: Sequence[Tensor]) -> Tensor:
    for gradient in steps:
        for weight, part in zip(weights, gradient.chunk(len(weights)), strict=True):
            weight.grad = part.clone()
        optimizer.step()
        optimizer.clear()
    return torch.cat([w.detach() for w in weights])


def test_stacked_matrices_are_taken_one_by_one() -> None:
    torch.manual_seed(0)
    whole = Linear(8, 24, bias=False)
    apart = nn.ModuleList(Linear(8, 8, bias=False) for _ in range(3))
    for part, rows in zip(apart.parameters(), whole.weight.detach().chunk(3), strict=True):
        part.data.copy_(rows)
    start = whole.weight.detach().clone()
    whole.stacked = 3
    one = follow(Optimizer(whole, CONFIG), [whole.weight], gradients(3))
    three = follow(Optimizer(apart, CONFIG), list(apart.parameters()), gradients(3))
    torch.testing.assert_close(one, three)
    moved = [float(part.norm()) for part in (one - start).chunk(3)]
    assert max(moved) < 1.5 * min(moved), "however large its gradients, none leaves the others behind"


def test_its_state_comes_back() -> None:
    torch.manual_seed(0)
    model, again = Linear(8, 24, bias=False), Linear(8, 24, bias=False)
    model.stacked = again.stacked = 3
    first = Optimizer(model, CONFIG)
    follow(first, [model.weight], gradients(2))
    again.load_state_dict(model.state_dict())
    second = Optimizer(again, CONFIG)
    second.load({name: value.clone() for name, value in first.state().items()})
    assert len(first.state()) == 3
    torch.testing.assert_close(
        follow(first, [model.weight], gradients(3)), follow(second, [again.weight], gradients(3)), rtol=0, atol=0
    )


def test_a_state_from_before_they_were_told_apart_is_taken_part_by_part() -> None:
    torch.manual_seed(0)
    whole, apart = Linear(8, 24, bias=False), Linear(8, 24, bias=False)
    apart.stacked = 3
    old = Optimizer(whole, CONFIG)
    follow(old, [whole.weight], gradients(2))
    new = Optimizer(apart, CONFIG)
    new.load({name: value.clone() for name, value in old.state().items()})
    momentum = torch.cat([value for name, value in sorted(new.state().items()) if name.endswith("momentum_buffer")])
    assert torch.equal(momentum, old.state()["weight/momentum_buffer"])
