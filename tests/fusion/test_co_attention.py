"""Two streams that ask each other: against the equations written out, and who may depend on whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.fusion.co_attention import Stream, make_co_attention
from chiasm.types import Features

STREAMS = {"text": Stream(16, 2, 3, 32), "regions": Stream(24, 3, 2, 40)}


def features(name: str, width: int, lengths: tuple[int, int]) -> Features:
    n = max(lengths)
    valid = torch.arange(n) < torch.tensor(lengths)[:, None]
    return Features(torch.randn(2, n, width), valid, ((name, 0, n),))


def given() -> dict[str, Features]:
    torch.manual_seed(3)
    return {"text": features("text", 16, (5, 3)), "regions": features("regions", 24, (2, 4))}


def split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def naive_block(block, x: Tensor, memory: Tensor | None) -> Tensor:
    """Post-norm self-attention or cross-attention of one sequence without padding [N, D], then the feed-forward part."""
    part, norm = (block.attention, block.attention_norm) if memory is None else (block.cross, block.cross_norm)
    if memory is None:
        q, k, v = part.qkv(x).chunk(3, -1)
    else:
        q, (k, v) = part.q(x), part.kv(memory).chunk(2, -1)
    q, k, v = (split(one, part.heads) for one in (q, k, v))
    mixed = ((q @ k.mT) * q.shape[-1] ** -0.5).softmax(-1) @ v
    x = norm(x + part.out(mixed.transpose(0, 1).flatten(1)))
    expert = block.experts["all"]
    return block.expert_norms["all"](x + expert.outer(F.gelu(expert.inner(x))))


def test_it_is_what_the_paper_writes() -> None:
    torch.manual_seed(0)
    fusion = make_co_attention(STREAMS, 2, heads=4, head_width=8, norm_first=False)
    parts = given()
    fused = fusion(parts)
    for row in range(2):
        text, regions = (parts[name].x[row][parts[name].valid[row]] for name in STREAMS)
        streams = [fusion.streams[name].blocks for name in STREAMS]
        text = naive_block(streams[0][0], text, None)
        for turn in range(2):
            crossed = naive_block(fusion.crossings["text"].blocks[turn], text, regions)
            regions = naive_block(fusion.crossings["regions"].blocks[turn], regions, text)
            text = naive_block(streams[0][turn + 1], crossed, None)
            regions = naive_block(streams[1][turn], regions, None)
        torch.testing.assert_close(fused.parts["text"].x[row][parts["text"].valid[row]], text)
        torch.testing.assert_close(fused.parts["regions"].x[row][parts["regions"].valid[row]], regions)
        torch.testing.assert_close(fused.joint[row], torch.cat([text.mean(0), regions.mean(0)]))


def test_each_stream_depends_on_the_other_and_on_nothing_padded() -> None:
    torch.manual_seed(0)
    fusion = make_co_attention(STREAMS, 1, heads=2, head_width=8)
    parts = given()
    before = fusion(parts)
    x = parts["regions"].x.clone()
    x[0, 0] += torch.randn(24)
    moved = fusion({**parts, "regions": replace(parts["regions"], x=x)})
    assert not torch.allclose(moved.parts["text"].x[0], before.parts["text"].x[0])
    torch.testing.assert_close(moved.parts["text"].x[1], before.parts["text"].x[1])
    x = parts["regions"].x.clone()
    x[0, 2:] += torch.randn(24)
    padded = fusion({**parts, "regions": replace(parts["regions"], x=x)})
    torch.testing.assert_close(padded.joint, before.joint)


def test_three_streams_see_all_others() -> None:
    torch.manual_seed(0)
    streams = {name: Stream(16, 2, 1) for name in ("text", "image", "audio")}
    fusion = make_co_attention(streams, 1, heads=2, head_width=8)
    parts = {name: features(name, 16, (3, 2)) for name in streams}
    before = fusion(parts).parts
    for name in streams:
        x = parts[name].x.clone()
        x[0, 0] += torch.randn(16)
        after = fusion({**parts, name: replace(parts[name], x=x)}).parts
        assert all(not torch.allclose(after[other].x[0], before[other].x[0]) for other in streams)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="one width"):
        make_co_attention({**STREAMS, "audio": Stream(16, 2, 2)}, 1, heads=2, head_width=8)
    with pytest.raises(ValueError, match="crossings"):
        make_co_attention(STREAMS, 3, heads=2, head_width=8)
