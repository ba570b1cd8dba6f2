"""Single stream: one Transformer over all tokens, indifferent to padding and to how they are named."""

from __future__ import annotations

import torch

from chiasm.fusion.early import Early
from chiasm.nn.transformer import make_transformer
from chiasm.types import Features, Tokens


def parts(words: int = 5, regions: int = 3) -> dict[str, Tokens]:
    torch.manual_seed(1)
    valid = torch.arange(words) < torch.tensor([[words], [words - 2]])
    return {
        "text": Tokens(torch.randn(2, words, 16), valid, (("text", 0, words),)),
        "regions": Tokens(
            torch.randn(2, regions, 16), torch.ones(2, regions, dtype=torch.bool), (("regions", 0, regions),)
        ),
    }


def test_it_is_the_transformer_over_the_concatenation_and_gives_back_the_layout() -> None:
    torch.manual_seed(0)
    trunk = make_transformer({"all": 2}, width=16, heads=2)
    given = parts()
    fused = Early(trunk)(given)
    x = torch.cat([part.x for part in given.values()], 1)
    valid = torch.cat([part.valid for part in given.values()], 1)
    whole = trunk(Tokens(x, valid, (("anything", 0, 8),)))
    torch.testing.assert_close(fused.parts["text"].x, whole.x[:, :5])
    torch.testing.assert_close(fused.parts["regions"].x, whole.x[:, 5:])
    torch.testing.assert_close(fused.joint[1], whole.x[1][valid[1]].mean(0))
    assert fused.parts["regions"].segments == (("regions", 0, 3),)
    assert torch.equal(fused.parts["text"].valid, given["text"].valid)


def test_a_record_without_a_modality_is_its_other_one() -> None:
    torch.manual_seed(0)
    early = Early(make_transformer({"all": 1}, width=16, heads=2))
    given = parts()
    without = {**given, "regions": Features(given["regions"].x, given["regions"].valid & False, (("regions", 0, 3),))}
    alone = early({"text": given["text"]})
    torch.testing.assert_close(early(without).joint, alone.joint)
