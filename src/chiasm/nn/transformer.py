"""The one Transformer: a stack of blocks with a final norm. Systems differ in the parts they hand in, never in this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from chiasm.nn.attention import CrossAttention, SelfAttention
from chiasm.nn.block import Block
from chiasm.nn.cache import Cache
from chiasm.nn.feedforward import FeedForward
from chiasm.nn.layout import Layout
from chiasm.nn.linear import Linear, make_norm
from chiasm.nn.positions import RelativeBias, Rotary
from chiasm.types import Features, Tokens


class Transformer(nn.Module):
    """Tokens → Features of the same layout: an encoder; a decoder where attention is causal; with a memory, the decoder of an encoder.

    relative: T5's bias, shared by all blocks. A trunk that has one expert in all takes tokens of any modality; otherwise each
    segment's name chooses the expert.
    """

    def __init__(self, blocks: Sequence[Block], norm: nn.Module, relative: RelativeBias | None = None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.relative = relative
        names = {name for block in blocks for name in block.experts}
        self.only = names.pop() if len(names) == 1 else None

    def forward(
        self,
        tokens: Tokens,
        layers: int | None = None,
        *,
        memory: Features | Tokens | None = None,
        allowed: Tensor | None = None,
        cache: Cache | None = None,
        places: Tensor | None = None,
        memory_places: Tensor | None = None,
        whole: bool | None = None,
    ) -> Features:
        """`layers`: only the last so many blocks, for a modality that needs less depth than the others of a shared trunk.

        memory: what the cross-attention looks at, of as many sequences. With a cache it is needed only once.
        allowed: bool [1 or B, N, M], which token may look at which (M counts the cached ones too), e.g. a prefix-LM's; the diagonal
        of every valid token should be True.
        cache: what earlier chunks of the same sequences left; `tokens` are the next chunk and are added to it.
        places, memory_places: [1 or B, N, D] and [1 or B, M, C], added in every attention to what queries and keys are made of, but
        not to values (DETR, arXiv 2005.12872, A.4).
        whole: whether all tokens are valid, where that is known (a decoder's next step).
        """
        if self.only is None:
            layout = Layout.of(tokens, allowed, whole)
        else:
            layout = Layout.single(tokens, self.only, allowed, whole)
        x = layout.pack(tokens.x)
        places = None if places is None else layout.pack(places.to(x.dtype).expand_as(tokens.x))
        packed = None
        if memory is not None and not (cache is not None and cache.has_memory):
            memory_layout = Layout.single(memory)
            packed = (memory_layout.pack(memory.x), memory_layout)
            if memory_places is not None:
                memory_places = memory_layout.pack(memory_places.to(x.dtype).expand_as(memory.x))
        if cache is not None:
            cache.extend(tokens.valid, layout.valid is None)
        bias = None if self.relative is None else self._relative(self.relative, layout, cache).to(x.dtype)
        skipped = 0 if layers is None else len(self.blocks) - layers
        for index, block in enumerate(self.blocks):
            if index >= skipped:
                block_cache = None if cache is None else cache[index]
                x = block(x, layout, packed, bias, block_cache, places, memory_places)
        return Features(layout.unpack(self.norm(x)), tokens.valid, tokens.segments)

    @staticmethod
    def _relative(relative: RelativeBias, layout: Layout, cache: Cache | None) -> Tensor:
        """[1 or B, H, N, M]. Distances are those of positions without padding; where the valid tokens of every sequence stand
        together, those of the padded positions are the same ones, and one bias does for the whole batch."""
        valid, keys = (layout.valid, layout.length) if cache is None else (cache.valid, cache.length)
        if cache is not None and cache.tree is not None:
            before = torch.arange(keys, device=layout.device)[None] if valid is None else valid.cumsum(1) - 1
            return relative.at(cache.positions, torch.cat([before.clamp(min=0), cache.positions], 1))
        if valid is None or not bool((valid[:, 1:] & ~valid[:, :-1]).sum(1).add(valid[:, 0].long()).gt(1).any()):
            return relative(layout.length, keys, keys - layout.length)[None]
        at = (valid.cumsum(1) - 1).clamp(min=0)
        return relative.at(at[:, keys - layout.length :], at)


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
    norm_first: bool = True,
    cross: bool = False,
    memory_width: int | None = None,
    attention: str = "scaled_dot",
    head_width: int | None = None,
    positions: str | None = None,
    eps: float = 1e-5,
    hidden: int | None = None,
    final_norm: bool = True,
    likeness: float = 0.0,
) -> Transformer:
    """The usual assembly: shared self-attention and, in every block, a feed-forward expert for each modality that passes it.

    layers: how many blocks each modality passes, the last ones of as many as the deepest needs. One entry ({"all": 12}) makes a
    trunk that treats every token alike.
    hidden: the feed-forward part's inner width, width · ratio where None. cross: blocks also look at a memory of `memory_width`.
    attention: scaled_dot, dot or additive. positions: rotary or relative; None where the embedder adds them.
    norm_first, final_norm: pre-norm trunks end in a norm; post-norm ones (norm_first=False) have normed already and mostly want
    final_norm=False.

    likeness: the correlation with which each head's keys start as its queries, so that from the first step on like looks at like
    (mimetic initialisation, arXiv 2305.09828, 3).

    Weights start normal with variance 1/width; projections into the residual stream are scaled down by 2√layers (GPT-2, 2.3, scales them
    by √(2·layers)), so that the stream's variance does not grow with depth.
    """
    if positions not in (None, "rotary", "relative"):
        raise ValueError(f"positions must be None, rotary or relative, not {positions!r}")
    depth = max(layers.values())
    inner = hidden or int(width * ratio)
    rotary = Rotary(head_width or width // heads) if positions == "rotary" else None

    def block(index: int) -> Block:
        modalities = [m for m, passed in layers.items() if index >= depth - passed]
        return Block(
            attention=SelfAttention(
                width, heads, bias=bias, causal=causal, kind=attention, head_width=head_width, rotary=rotary
            ),
            experts={m: FeedForward(width, inner, activation, bias=bias) for m in modalities},
            attention_norm=make_norm(norm, width, eps),
            expert_norms={m: make_norm(norm, width, eps) for m in modalities},
            norm_first=norm_first,
            cross=CrossAttention(width, heads, memory_width, bias, attention, head_width) if cross else None,
            cross_norm=make_norm(norm, width, eps) if cross else None,
        )

    transformer = Transformer(
        [block(index) for index in range(depth)],
        make_norm(norm, width, eps) if final_norm else nn.Identity(),
        RelativeBias(heads, bidirectional=not causal) if positions == "relative" else None,
    )
    initialise(transformer, width, depth, likeness)
    return transformer


def initialise(stack: nn.Module, width: int, depth: int, likeness: float = 0.0) -> None:
    """Normal weights of variance 1/width, smaller where they lead into a residual stream of `depth` blocks; zero biases.
    likeness: as for `make_transformer`."""
    for name, module in stack.named_modules():
        if isinstance(module, Linear):
            into_residual = name.endswith((".out", ".outer"))
            nn.init.normal_(module.weight, std=width**-0.5 * (0.5 / depth**0.5 if into_residual else 1.0))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in stack.modules():
        if likeness and isinstance(module, SelfAttention):
            q, k, _ = module.qkv.weight.detach().chunk(3)
            k.mul_((1 - likeness**2) ** 0.5).add_(q, alpha=likeness)
