"""Attention and the trunk against plain definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from chiasm.nn.attention import CrossAttention, SelfAttention, attend
from chiasm.nn.feedforward import quick_gelu, squared_relu
from chiasm.nn.layout import Layout
from chiasm.nn.transformer import make_transformer
from chiasm.types import Tokens


def naive(q: Tensor, k: Tensor, v: Tensor, valid: Tensor | None, causal: bool) -> Tensor:
    """One query at a time, invalid keys really left out."""
    B, H, N, d = q.shape
    out = torch.zeros_like(q)
    for b in range(B):
        for h in range(H):
            for n in range(N):
                keys = [
                    m
                    for m in range(k.shape[2])
                    if (valid is None or valid[b, m]) and (not causal or m <= n + k.shape[2] - N)
                ]
                weights = torch.softmax(torch.stack([q[b, h, n] @ k[b, h, m] / math.sqrt(d) for m in keys]), 0)
                out[b, h, n] = sum(w * v[b, h, m] for w, m in zip(weights, keys, strict=True))
    return out


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("fused_from", [1, 10_000])
def test_both_kernels_equal_the_definition(
    causal: bool, masked: bool, fused_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chiasm.nn.attention.FUSED_FROM", fused_from)
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 5, 4)
    valid = torch.tensor([[True, True, True, False, False], [True] * 5]) if masked else None
    torch.testing.assert_close(attend(q, k, v, valid, causal), naive(q, k, v, valid, causal), atol=1e-5, rtol=1e-5)


def test_fewer_queries_than_keys_see_the_past_as_with_a_cache() -> None:
    q, k, v = torch.randn(1, 2, 6, 4), torch.randn(1, 2, 6, 4), torch.randn(1, 2, 6, 4)
    whole = attend(q, k, v, causal=True)
    last = attend(q[:, :, 4:], k, v, causal=True)
    torch.testing.assert_close(last, whole[:, :, 4:])


def test_no_valid_key_is_finite() -> None:
    x = torch.randn(1, 1, 3, 4)
    assert attend(x, x, x, torch.zeros(1, 3, dtype=torch.bool)).isfinite().all()


@pytest.mark.parametrize("fused_from", [1, 10_000])
@pytest.mark.parametrize("scale", [None, 1.0])
def test_bias_scale_and_allowed_equal_the_definition(
    fused_from: int, scale: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chiasm.nn.attention.FUSED_FROM", fused_from)
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 2, 4, 3), torch.randn(2, 2, 5, 3), torch.randn(2, 2, 5, 3)
    bias, allowed = torch.randn(1, 2, 4, 5), torch.rand(2, 4, 5) < 0.6
    allowed[..., 0] = True
    valid = torch.tensor([[True] * 5, [True, True, False, True, False]])
    scores = q @ k.mT * (scale or 3**-0.5) + bias
    scores = scores.masked_fill(~(allowed & valid[:, None])[:, None], float("-inf"))
    expected = scores.softmax(-1) @ v
    found = attend(q, k, v, valid, bias=bias, allowed=allowed, scale=scale)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_additive_attention_equals_the_definition(causal: bool) -> None:
    """One pair of tokens at a time: vᵀ tanh(Wq x + Wk y), by head."""
    torch.manual_seed(0)
    attention = SelfAttention(6, 2, causal=causal, kind="additive", head_width=4)
    torch.nn.init.normal_(attention.get_parameter("energy"))
    x = torch.randn(2, 3, 6)
    valid = torch.tensor([[True, True, False], [True, True, True]])
    layout = Layout(valid, (("text", 0, 3),))
    found = layout.unpack(attention(layout.pack(x), layout))
    q, k, v = attention.qkv(x).view(2, 3, 3, 2, 4).unbind(2)
    for b in range(2):
        for n in range(int(valid[b].sum())):
            keys = [m for m in range(3) if valid[b, m] and (m <= n or not causal)]
            heads = []
            for h in range(2):
                energy = attention.get_parameter("energy")[h]
                weights = torch.stack([energy @ torch.tanh(q[b, n, h] + k[b, m, h]) for m in keys]).softmax(0)
                heads.append(sum(w * v[b, m, h] for w, m in zip(weights, keys, strict=True)))
            torch.testing.assert_close(found[b, n], attention.out(torch.cat(heads)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["scaled_dot", "dot", "additive"])
def test_cross_attention_sees_the_valid_memory_of_its_own_sequence(kind: str) -> None:
    torch.manual_seed(0)
    attention = CrossAttention(6, 2, memory_width=5, kind=kind, head_width=4)
    x, memory = torch.randn(2, 3, 6), torch.randn(2, 4, 5)
    valid, seen = (
        torch.tensor([[True] * 3, [True, False, False]]),
        torch.tensor([[True, True, True, False], [True] * 4]),
    )
    layout, memory_layout = Layout(valid, (("text", 0, 3),)), Layout(seen, (("image", 0, 4),))
    found = layout.unpack(attention(layout.pack(x), layout, memory_layout.pack(memory), memory_layout))
    for b in range(2):
        alone = Layout(torch.ones(1, int(valid[b].sum()), dtype=torch.bool), (("text", 0, int(valid[b].sum())),))
        other = Layout(torch.ones(1, int(seen[b].sum()), dtype=torch.bool), (("image", 0, int(seen[b].sum())),))
        expected = attention(x[b, valid[b]], alone, memory[b, seen[b]], other)
        torch.testing.assert_close(found[b, valid[b]], expected, atol=1e-5, rtol=1e-5)


def test_packed_equals_padded_and_padding_content_is_irrelevant() -> None:
    """A ragged batch gives what each sequence gives alone, whatever the padding holds; gradients too."""
    torch.manual_seed(0)
    trunk = make_transformer({"text": 2}, width=16, heads=2)
    lengths = [5, 1, 3]
    x = torch.randn(3, 5, 16)
    valid = torch.arange(5)[None] < torch.tensor(lengths)[:, None]
    x[~valid] = 1e4
    together = trunk(Tokens(x, valid, (("text", 0, 5),))).x
    for row, length in enumerate(lengths):
        alone = trunk(
            Tokens(x[row : row + 1, :length], torch.ones(1, length, dtype=torch.bool), (("text", 0, length),))
        )
        torch.testing.assert_close(together[row, :length], alone.x[0], atol=1e-5, rtol=1e-5)
    assert (together[~valid] == 0).all()


def test_segments_pass_the_expert_of_their_modality() -> None:
    """Text then image in one sequence, ragged in both: every token is transformed by its own modality's expert."""
    torch.manual_seed(0)
    trunk = make_transformer({"text": 1, "image": 1}, width=8, heads=1)
    x = torch.randn(2, 5, 8)
    valid = torch.tensor([[True, True, False, True, True], [True, False, False, True, True]])
    segments = (("text", 0, 3), ("image", 3, 5))
    found = trunk(Tokens(x, valid, segments)).x
    block = trunk.blocks[0]
    for b in range(2):
        kept = valid[b].nonzero()[:, 0]
        alone = x[b : b + 1, kept]
        layout = Layout(torch.ones(1, len(kept), dtype=torch.bool), (("text", 0, len(kept)),))
        mixed = alone[0] + block.attention(block.attention_norm(alone[0]), layout)
        for position, token in zip(kept.tolist(), mixed, strict=True):
            name = "text" if position < 3 else "image"
            expected = token + block.experts[name](block.expert_norms[name](token))
            torch.testing.assert_close(found[b, position], trunk.norm(expected), atol=1e-5, rtol=1e-5)


def test_gradients_of_packing_equal_autograd_on_a_mask() -> None:
    torch.manual_seed(0)
    valid = torch.tensor([[True, True, False], [True, False, False]])
    x = torch.randn(2, 3, 4, requires_grad=True)
    layout = Layout(valid, (("text", 0, 3),))
    (layout.unpack(layout.pack(x)) ** 3).sum().backward()
    by_packing, x.grad = x.grad, None
    ((x * valid[..., None]) ** 3).sum().backward()
    torch.testing.assert_close(by_packing, x.grad)


@pytest.mark.parametrize(
    ("fast", "plain"),
    [(squared_relu, lambda x: x.relu() ** 2), (quick_gelu, lambda x: x * torch.sigmoid(1.702 * x))],
)
def test_activations_with_their_own_backward(fast: object, plain: object) -> None:
    x = torch.randn(50, dtype=torch.float64, requires_grad=True)
    assert callable(fast)
    assert callable(plain)
    torch.testing.assert_close(fast(x), plain(x))
    assert torch.autograd.gradcheck(fast, (x,))


def test_the_stream_stays_in_its_type() -> None:
    trunk = make_transformer({"text": 2}, width=8, heads=2)
    x = torch.randn(1, 3, 8, dtype=torch.bfloat16)
    assert trunk(Tokens(x, torch.ones(1, 3, dtype=torch.bool), (("text", 0, 3),))).x.dtype == torch.bfloat16


def test_experts_stand_only_in_the_blocks_that_their_modality_passes() -> None:
    trunk = make_transformer({"text": 1, "image": 3}, width=8, heads=2)
    assert [sorted(block.experts) for block in trunk.blocks] == [["image"], ["image"], ["image", "text"]]
    x = torch.randn(1, 3, 8)
    tokens = Tokens(x, torch.ones(1, 3, dtype=torch.bool), (("text", 0, 3),))
    layout = Layout.of(tokens)
    torch.testing.assert_close(trunk(tokens, 1).x[0], trunk.norm(trunk.blocks[2](x[0], layout)))
