"""Attention bottlenecks: each modality has its stream, and all that passes between them goes through a few shared tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chiasm.fusion.fusion import Fused
from chiasm.fusion.sequences import mean
from chiasm.nn.layout import Layout
from chiasm.nn.transformer import Transformer
from chiasm.types import Features, Tokens


@dataclass(frozen=True)
class _Stream:
    """A modality's sequence with the bottleneck after it: packed rows are its P valid tokens, then B·K of the bottleneck."""

    layout: Layout
    own: int
    present: Tensor  # bool [B]


class Bottleneck(nn.Module):
    """Nagrani 2021 (arXiv 2107.00135, 3.2): in every layer a modality's tokens and the bottleneck attend to each other, by the modality's own
    weights, and the bottleneck goes on as the mean of what the modalities made of it (Eq. 8 and 9).

    What one modality wrote in a layer the others read in the next: it takes two layers to exchange anything. joint: the mean over a record's
    modalities of their mean tokens, [B, D] (the paper averages what its head says of each, which is the same for a linear head).
    """

    def __init__(self, streams: Mapping[str, Transformer], width: int, tokens: int = 4) -> None:
        """tokens: K of the bottleneck; the paper has 4. Raises ValueError for streams of unequal or less than two layers."""
        super().__init__()
        depths = {len(stream.blocks) for stream in streams.values()}
        if len(depths) > 1 or min(depths) < 2:
            raise ValueError(
                f"a bottleneck needs streams of one depth, of two layers or more; these have {sorted(depths)}"
            )
        self.streams = nn.ModuleDict(dict(streams))
        self.depth = depths.pop()
        self.tokens = nn.Parameter(torch.randn(tokens, width) * 0.02)

    def forward(self, parts: Mapping[str, Features | Tokens]) -> Fused:
        streams = {name: self._place(parts[name]) for name in self.streams}
        x = {name: streams[name].layout.pack(self._with_room(parts[name]))[: streams[name].own] for name in streams}
        count = len(next(iter(parts.values())).x)
        shared = self.tokens.to(next(iter(x.values())).dtype).expand(count, -1, -1)
        present = torch.stack([stream.present for stream in streams.values()])
        weight = (present / present.sum(0).clamp(min=1)).to(shared.dtype)[..., None, None]
        for index in range(self.depth):
            written: list[Tensor] = []
            for name, stream in streams.items():
                block = _transformer(self.streams[name]).blocks[index]
                mixed = block(torch.cat([x[name], shared.flatten(0, 1)]), stream.layout)
                x[name] = mixed[: stream.own]
                written.append(mixed[stream.own :].view_as(shared))
            shared = (torch.stack(written) * weight).sum(0)
        done = {name: self._done(name, x[name], parts[name]) for name in streams}
        means = torch.stack([mean(part) for part in done.values()])
        return Fused((means * weight[..., 0]).sum(0), done)

    def _place(self, part: Features | Tokens) -> _Stream:
        count, length = part.valid.shape
        room = part.valid.new_ones(count, len(self.tokens))
        segments = (("all", 0, length), ("all", length, length + room.shape[1]))
        layout = Layout(torch.cat([part.valid, room], 1), segments)
        return _Stream(layout, layout.spans[0][2], part.valid.any(1))

    def _with_room(self, part: Features | Tokens) -> Tensor:
        return torch.cat([part.x, part.x.new_zeros(len(part.x), len(self.tokens), part.x.shape[2])], 1)

    def _done(self, name: str, x: Tensor, part: Features | Tokens) -> Features:
        layout = Layout.single(part)
        return Features(layout.unpack(_transformer(self.streams[name]).norm(x)), part.valid, part.segments)


def _transformer(module: nn.Module) -> Transformer:
    assert isinstance(module, Transformer)
    return module
