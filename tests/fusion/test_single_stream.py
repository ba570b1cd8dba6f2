"""Conversion and multiway against early fusion of the same weights."""

from __future__ import annotations

import torch
from fusion_cases import HEADS, LAYERS, WIDTH, fusion, parts

from chiasm.fusion.early import Early
from chiasm.types import Tokens


def test_converted_tokens_are_words_among_words() -> None:
    given, made = parts(), fusion("conversion")
    fused = made(given)
    pseudo = made.converters["image"](given["image"].x)
    x = torch.cat([pseudo, given["text"].x], 1)
    valid = torch.cat([given["image"].valid, given["text"].valid], 1)
    read = made.transformer(Tokens(x, valid, (("text", 0, 9),)))
    torch.testing.assert_close(fused.parts["text"].x, read.x[:, 4:])
    torch.testing.assert_close(fused.joint[0], read.x[0].mean(0))
    assert len(made.transformer.blocks) == LAYERS


def test_an_expert_sees_its_own_modality_only() -> None:
    given, made = parts(), fusion("multiway")
    before = made(given)
    with torch.no_grad():
        # Not the same to all: the norm at the end would take that out again.
        made.transformer.blocks[-1].experts["image"].outer.bias.add_(torch.arange(WIDTH))
    after = made(given)
    assert torch.equal(after.parts["text"].x, before.parts["text"].x)
    assert not torch.allclose(after.parts["image"].x, before.parts["image"].x)


def test_equal_experts_are_early_fusion() -> None:
    made = fusion("multiway")
    for block in made.transformer.blocks:
        for table in (block.experts, block.expert_norms):
            table["image"].load_state_dict(table["text"].state_dict())
    early = fusion("early")
    weights = {name.replace(".text.", ".all."): t for name, t in made.state_dict().items() if ".image." not in name}
    early.load_state_dict(weights)
    assert isinstance(early, Early)
    torch.testing.assert_close(early(parts()).joint, made(parts()).joint, atol=1e-6, rtol=0)
    assert made.transformer.blocks[0].attention.heads == HEADS
    assert made.transformer.blocks[0].attention.out.weight.shape == (WIDTH, WIDTH)
