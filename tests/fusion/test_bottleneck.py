"""Bottlenecks: what passes between modalities, and only through them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from fusion_cases import HEADS, WIDTH, asked, parts, shake, without
from torch import Tensor

from chiasm.fusion.bottleneck import Bottleneck
from chiasm.nn.layout import Layout
from chiasm.nn.transformer import make_transformer
from chiasm.types import Features


def bottleneck(tokens: int, layers: int = 3, modalities: tuple[str, ...] = ("text", "image")) -> Any:
    torch.manual_seed(0)
    streams = {name: make_transformer({"all": layers}, width=WIDTH, heads=HEADS) for name in modalities}
    return shake(Bottleneck(streams, WIDTH, tokens))


def seen_from(made: Any, given: dict[str, Features], reader: str, other: str) -> float:
    """The largest gradient of the reader's fused tokens by the other modality's."""
    x = given[other].x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        asked(made({**given, other: replace(given[other], x=x)}).parts[reader].x), x, allow_unused=True
    )
    return 0.0 if gradient is None else gradient.abs().max().item()


@pytest.mark.parametrize(("reader", "other"), [("text", "image"), ("image", "text")])
def test_nothing_passes_but_through_the_bottleneck(reader: str, other: str) -> None:
    given = parts()
    assert seen_from(bottleneck(4), given, reader, other) > 1e-4
    assert seen_from(bottleneck(0), given, reader, other) == 0

    made = bottleneck(4)
    own = int(given[other].valid.sum())

    def cut(module: Any, inputs: Any, output: Tensor) -> Tensor:
        """What the other modality writes into the bottleneck, without a way back to it."""
        return torch.cat([output[:own], output[own:].detach()])

    for block in made.streams[other].blocks:
        block.register_forward_hook(cut)
    assert seen_from(made, given, reader, other) == 0


def test_it_is_the_paper_s_update() -> None:
    """Eq. 8 and 9 on dense sequences, one record at a time."""
    given, made = parts(), bottleneck(2)
    given["image"] = without(given["image"], 1)
    fused = made(given)
    for record in range(3):
        x = {name: part.x[record, part.valid[record]] for name, part in given.items() if part.valid[record].any()}
        shared = made.tokens
        for index in range(3):
            written: list[Tensor] = []
            for name in x:
                both = torch.cat([x[name], shared])
                layout = Layout(torch.ones(1, len(both), dtype=torch.bool), (("all", 0, len(both)),))
                mixed = made.streams[name].blocks[index](both, layout)
                x[name] = mixed[:-2]
                written.append(mixed[-2:])
            shared = torch.stack(written).mean(0)
        means = [made.streams[name].norm(x[name]).mean(0) for name in x]
        torch.testing.assert_close(fused.joint[record], torch.stack(means).mean(0), atol=1e-5, rtol=0)


def test_one_layer_exchanges_nothing_and_is_refused() -> None:
    with pytest.raises(ValueError, match="two layers or more"):
        bottleneck(4, layers=1)
