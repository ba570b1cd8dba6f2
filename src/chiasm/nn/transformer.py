"""The one Transformer: a stack of blocks with a final norm. Systems differ in the parts they hand in, never in this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from chiasm.nn.attention import SelfAttention
from chiasm.nn.block import Block
from chiasm.nn.feedforward import FeedForward
from chiasm.nn.layout import Layout
from chiasm.nn.linear import Linear, make_norm
from chiasm.types import Features, Tokens


class Transformer(nn.Module):
    """Tokens → Features of the same layout."""

    def __init__(self, blocks: Sequence[Block], norm: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm

    def forward(self, tokens: Tokens, layers: int | None = None) -> Features:
        """`layers`: only the last so many blocks, for a modality that needs less depth than the others of a shared trunk."""
        layout = Layout.of(tokens)
        x = layout.pack(tokens.x)
        for block in list(self.blocks)[len(self.blocks) - (layers or len(self.blocks)) :]:
            x = block(x, layout)
        return Features(layout.unpack(self.norm(x)), tokens.valid, tokens.segments)


def make_transformer(
    layers: Mapping[str, int],
    *,
    width: int,
    heads: int,
    ratio: float = 4.0,
    activation: str = "gelu",
    norm: str = "layer_norm",
    bias: bool = True,
    causal: bool = False,
) -> Transformer:
    """The usual assembly: shared self-attention and, in every block, a feed-forward expert for each modality that passes it.

    `layers`: how many blocks each modality passes, the last ones of as many as the deepest needs.

    Weights start normal with variance 1/width; projections into the residual stream are scaled down by 2√layers (GPT-2, 2.3, scales them
    by √(2·layers)), so that the stream's variance does not grow with depth.
    """

    depth = max(layers.values())

    def block(index: int) -> Block:
        modalities = [m for m, passed in layers.items() if index >= depth - passed]
        return Block(
            attention=SelfAttention(width, heads, bias=bias, causal=causal),
            experts={m: FeedForward(width, int(width * ratio), activation, bias=bias) for m in modalities},
            attention_norm=make_norm(norm, width),
            expert_norms={m: make_norm(norm, width) for m in modalities},
        )

    transformer = Transformer([block(index) for index in range(depth)], make_norm(norm, width))
    for name, module in transformer.named_modules():
        if isinstance(module, Linear):
            into_residual = name.endswith((".out", ".outer"))
            nn.init.normal_(module.weight, std=width**-0.5 * (0.5 / depth**0.5 if into_residual else 1.0))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return transformer
