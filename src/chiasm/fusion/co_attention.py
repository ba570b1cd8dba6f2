"""Co-attention: a stream a modality, and at each crossing every stream asks with its own queries for the others' keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chiasm.fusion.fusion import Fused
from chiasm.fusion.sequences import mean
from chiasm.nn.attention import CrossAttention
from chiasm.nn.block import Block
from chiasm.nn.feedforward import FeedForward
from chiasm.nn.layout import Layout
from chiasm.nn.linear import make_norm
from chiasm.nn.transformer import Transformer, initialise, make_transformer
from chiasm.types import Features, Tokens


@dataclass(frozen=True)
class Stream:
    """One modality's stream: D, heads of its self-attention, its own layers, inner width of its feed-forward parts (None: 4·D)."""

    width: int
    heads: int
    layers: int
    hidden: int | None = None


class CoAttention(nn.Module):
    """ViLBERT's co-attentional Transformer (arXiv 1908.02265, 3.1), for two streams or more.

    Each stream first passes its own layers but the last C, alone; then C times: every stream attends to the others' tokens (all at
    once, each to what the others were before), and passes one more layer of its own. joint: the streams' mean tokens side by side,
    [B, ΣD_m].
    """

    def __init__(self, streams: Mapping[str, Transformer], crossings: Mapping[str, Transformer]) -> None:
        """crossings[m]: C blocks of cross-attention without self-attention, whose memory has the width of the other streams."""
        super().__init__()
        self.streams = nn.ModuleDict(dict(streams))
        self.crossings = nn.ModuleDict(dict(crossings))
        self.depth = len(next(iter(crossings.values())).blocks)

    def forward(self, parts: Mapping[str, Features | Tokens]) -> Fused:
        parts = {name: parts[name] for name in self.streams}
        own = {name: Layout.single(part) for name, part in parts.items()}
        others = {name: _others(parts, name) for name in parts}
        x = {name: own[name].pack(part.x) for name, part in parts.items()}
        for name, stream in self.streams.items():
            for alone in _trunk(stream).blocks[: -self.depth]:
                x[name] = alone(x[name], own[name])
        for turn in range(self.depth):
            shown = {name: _shown(_trunk(self.crossings[name]).blocks[turn], x[name]) for name in parts}
            for name, stream in self.streams.items():
                seen = torch.cat([shown[other] for other in parts if other != name])
                mixed = _trunk(self.crossings[name]).blocks[turn](x[name], own[name], (seen, others[name]))
                x[name] = _trunk(stream).blocks[turn - self.depth](mixed, own[name])
        done: dict[str, Features] = {}
        for name, part in parts.items():
            features = own[name].unpack(_trunk(self.streams[name]).norm(x[name]))
            done[name] = Features(features, part.valid, part.segments)
        return Fused(torch.cat([mean(part) for part in done.values()], -1), done)


def make_co_attention(
    streams: Mapping[str, Stream],
    crossings: int,
    *,
    heads: int,
    head_width: int,
    norm_first: bool = True,
    eps: float = 1e-5,
) -> CoAttention:
    """crossings: C, at most as many as the layers of any stream; heads, head_width: of the attention from stream to stream.

    Raises ValueError for three streams or more that differ in width: their tokens stand side by side where another stream looks at them.
    """
    for name in streams:
        if len({stream.width for other, stream in streams.items() if other != name}) > 1:
            raise ValueError("more than two streams must have one width")
    if not 0 < crossings <= min(stream.layers for stream in streams.values()):
        raise ValueError(f"{crossings} crossings do not fit streams of {[s.layers for s in streams.values()]} layers")

    def trunk(stream: Stream) -> Transformer:
        return make_transformer(
            {"all": stream.layers}, width=stream.width, heads=stream.heads, hidden=stream.hidden,
            norm_first=norm_first, final_norm=norm_first, eps=eps,
        )  # fmt: skip

    def crossing(name: str, stream: Stream) -> Transformer:
        seen = next(s.width for other, s in streams.items() if other != name)
        made = Transformer(
            [
                Block(
                    attention=None,
                    attention_norm=None,
                    cross=CrossAttention(stream.width, heads, seen, head_width=head_width),
                    cross_norm=make_norm("layer_norm", stream.width, eps),
                    experts={"all": FeedForward(stream.width, stream.hidden or 4 * stream.width, "gelu")},
                    expert_norms={"all": make_norm("layer_norm", stream.width, eps)},
                    norm_first=norm_first,
                )
                for _ in range(crossings)
            ],
            nn.Identity(),
        )
        initialise(made, stream.width, crossings + stream.layers)
        return made

    return CoAttention(
        {name: trunk(stream) for name, stream in streams.items()},
        {name: crossing(name, stream) for name, stream in streams.items()},
    )


def _trunk(module: nn.Module) -> Transformer:
    assert isinstance(module, Transformer)
    return module


def _shown(crossing: nn.Module, x: Tensor) -> Tensor:
    """What the others see of a stream [P, D]: with pre-norm, what its own queries are made of."""
    assert isinstance(crossing, Block)
    return crossing.cross_norm(x) if crossing.norm_first and crossing.cross_norm is not None else x


def _others(parts: Mapping[str, Features | Tokens], name: str) -> Layout:
    """Where the packed tokens of all other streams, one stream after the other, sit in one sequence."""
    segments: list[tuple[str, int, int]] = []
    stop = 0
    for other, part in parts.items():
        if other != name:
            segments.append((other, stop, stop + part.x.shape[1]))
            stop = segments[-1][2]
    return Layout(torch.cat([part.valid for other, part in parts.items() if other != name], 1), segments)
