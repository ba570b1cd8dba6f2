"""The assembly: norms, experts, masks, memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from chiasm.nn.attention import CrossAttention
from chiasm.nn.block import Block
from chiasm.nn.feedforward import FeedForward, geglu
from chiasm.nn.layout import Layout
from chiasm.nn.linear import LayerNorm
from chiasm.nn.transformer import make_transformer
from chiasm.types import Features, Tokens


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, dtype=torch.bool)


def test_one_shared_expert_takes_any_modality_in_one_product() -> None:
    """Text and regions in one stream; packed or padded, whatever the segments are called."""
    torch.manual_seed(0)
    trunk = make_transformer({"all": 2}, width=8, heads=2)
    calls = []
    trunk.blocks[0].get_submodule("experts.all").register_forward_hook(
        lambda _, given, __: calls.append(given[0].shape[0])
    )
    x = torch.randn(2, 5, 8)
    valid = torch.tensor([[True, True, False, True, True], [True, False, False, True, False]])
    found = trunk(Tokens(x, valid, (("text", 0, 3), ("regions", 3, 5))))
    assert calls == [6]
    assert found.segments == (("text", 0, 3), ("regions", 3, 5))
    for b in range(2):
        alone = trunk(Tokens(x[b : b + 1, valid[b]], ones(1, int(valid[b].sum())), (("any", 0, int(valid[b].sum())),)))
        torch.testing.assert_close(found.x[b, valid[b]], alone.x[0], atol=1e-5, rtol=1e-5)


def test_post_norm_is_what_the_paper_says() -> None:
    torch.manual_seed(0)
    trunk = make_transformer({"text": 1}, width=8, heads=2, norm_first=False, final_norm=False)
    assert not any(name.startswith("norm.") for name in trunk.state_dict())
    block = trunk.blocks[0]
    x, layout = torch.randn(4, 8), Layout(ones(1, 4), (("text", 0, 4),))
    middle = block.attention_norm(x + block.attention(x, layout))
    expected = block.expert_norms["text"](middle + block.experts["text"](middle))
    torch.testing.assert_close(trunk(Tokens(x[None], ones(1, 4), (("text", 0, 4),))).x[0], expected)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_memory_is_looked_at_between_attention_and_feed_forward(norm_first: bool) -> None:
    torch.manual_seed(0)
    trunk = make_transformer({"all": 1}, width=8, heads=2, cross=True, memory_width=6, norm_first=norm_first)
    block = trunk.blocks[0]
    x, memory = torch.randn(4, 8), torch.randn(3, 6)
    layout, other = Layout(ones(1, 4), (("all", 0, 4),)), Layout(ones(1, 3), (("all", 0, 3),))
    if norm_first:
        a = x + block.attention(block.attention_norm(x), layout)
        b = a + block.cross(block.cross_norm(a), layout, memory, other)
        c = b + block.experts["all"](block.expert_norms["all"](b))
    else:
        a = block.attention_norm(x + block.attention(x, layout))
        b = block.cross_norm(a + block.cross(a, layout, memory, other))
        c = block.expert_norms["all"](b + block.experts["all"](b))
    features = Features(memory[None], ones(1, 3), (("image", 0, 3),))
    found = trunk(Tokens(x[None], ones(1, 4), (("text", 0, 4),)), memory=features).x[0]
    torch.testing.assert_close(found, trunk.norm(c))


def test_a_block_without_self_attention_only_looks_at_the_memory() -> None:
    torch.manual_seed(0)
    cross, norm = CrossAttention(8, 2), LayerNorm(8)
    block = Block(
        None, {"all": FeedForward(8, 16)}, None, {"all": LayerNorm(8)}, norm_first=False, cross=cross, cross_norm=norm
    )
    x, memory = torch.randn(4, 8), torch.randn(3, 8)
    layout, other = Layout(ones(1, 4), (("all", 0, 4),)), Layout(ones(1, 3), (("all", 0, 3),))
    middle = norm(x + cross(x, layout, memory, other))
    expected = block.expert_norms["all"](middle + block.experts["all"](middle))
    torch.testing.assert_close(block(x, layout, (memory, other)), expected)
    with pytest.raises(ValueError, match="together"):
        Block(None, {}, LayerNorm(8), {})


def test_a_token_does_not_change_what_may_not_see_it() -> None:
    """A prefix-LM's mask: the first two see each other, the rest see what came before."""
    torch.manual_seed(0)
    trunk = make_transformer({"all": 2}, width=8, heads=2)
    x, valid, segments = torch.randn(2, 5, 8), ones(2, 5), (("text", 0, 5),)
    allowed = ones(5, 5).tril()
    allowed[:2, :2] = True
    before = trunk(Tokens(x, valid, segments), allowed=allowed[None]).x
    for token in range(5):
        changed = x.clone()
        changed[:, token] = torch.randn(2, 8)
        moved = (trunk(Tokens(changed, valid, segments), allowed=allowed[None]).x - before).abs().amax((0, 2)) > 1e-6
        assert torch.equal(moved, allowed[:, token]), token
    causal = make_transformer({"all": 2}, width=8, heads=2, causal=True)
    causal.load_state_dict(trunk.state_dict())
    torch.testing.assert_close(
        causal(Tokens(x, valid, segments)).x, trunk(Tokens(x, valid, segments), allowed=ones(1, 5, 5).tril()).x
    )


def test_padding_in_the_middle_does_not_move_relative_positions() -> None:
    torch.manual_seed(0)
    for positions in ("relative", "rotary"):
        trunk = make_transformer({"all": 1}, width=8, heads=2, positions=positions)
        if trunk.relative is not None:
            nn.init.normal_(trunk.relative.table)
        x, valid = torch.randn(1, 6, 8), torch.tensor([[True, True, False, True, True, False]])
        found = trunk(Tokens(x, valid, (("text", 0, 3), ("image", 3, 6)))).x
        alone = trunk(Tokens(x[:, valid[0]], ones(1, 4), (("text", 0, 4),))).x
        torch.testing.assert_close(found[valid], alone[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ["scaled_dot", "dot", "additive"])
@pytest.mark.parametrize("positions", [None, "rotary", "relative"])
def test_every_parameter_gets_a_gradient_and_the_type_is_kept(attention: str, positions: str | None) -> None:
    torch.manual_seed(0)
    trunk = make_transformer(
        {"all": 2}, width=8, heads=2, cross=True, attention=attention, positions=positions, activation="geglu",
        norm="rms_norm", bias=False, head_width=6, hidden=20,
    )  # fmt: skip
    memory = Features(torch.randn(2, 3, 8), ones(2, 3), (("image", 0, 3),))
    tokens = Tokens(torch.randn(2, 4, 8), ones(2, 4), (("text", 0, 4),))
    trunk(tokens, memory=memory).x.square().sum().backward()
    assert [name for name, p in trunk.named_parameters() if p.grad is None or not p.grad.any()] == []
    half = Tokens(tokens.x.bfloat16(), tokens.valid, tokens.segments)
    assert trunk(half, memory=Features(memory.x.bfloat16(), memory.valid, memory.segments)).x.dtype == torch.bfloat16


def test_a_gate_multiplies_the_second_half() -> None:
    x = torch.randn(3, 10)
    torch.testing.assert_close(geglu(x), nn.functional.gelu(x[:, :5], approximate="tanh") * x[:, 5:])
    assert FeedForward(4, 6, "geglu").inner.weight.shape == (12, 4)


@pytest.mark.parametrize("likeness", [0.0, 0.6])
def test_like_looks_at_like_from_the_start(likeness: float) -> None:
    torch.manual_seed(0)
    trunk = make_transformer({"all": 2}, width=64, heads=2, likeness=likeness)
    for block in trunk.blocks:
        assert isinstance(block, Block)
        q, k, v = (part.flatten() for part in block.attention.qkv.weight.chunk(3))  # type: ignore[union-attr]
        assert torch.corrcoef(torch.stack([q, k]))[0, 1].item() == pytest.approx(likeness, abs=0.05)
        assert torch.corrcoef(torch.stack([q, v]))[0, 1].abs().item() < 0.05
        assert k.std().item() == pytest.approx(64**-0.5, rel=0.05), "no key is larger for it"


def test_unknown_choices_are_refused() -> None:
    for wrong in ({"attention": "linear"}, {"positions": "learned"}, {"norm": "batch"}):
        with pytest.raises(ValueError, match="must be"):
            make_transformer({"all": 1}, width=8, heads=2, **wrong)  # pyright: ignore
    with pytest.raises(ValueError, match="multiple"):
        make_transformer({"all": 1}, width=8, heads=3)
