"""Late fusion: a stream a modality to the end, where one vector of each meets the others'."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from chiasm.fusion.fusion import Fused
from chiasm.fusion.sequences import mean
from chiasm.nn.transformer import Transformer
from chiasm.types import Features, Tokens


class Late(nn.Module):
    """The mean valid token of each stream, joined (fusion/joins.py). joint: of the join's width. A record's absent modalities drop out."""

    def __init__(self, streams: Mapping[str, Transformer], join: nn.Module) -> None:
        super().__init__()
        self.streams = nn.ModuleDict(dict(streams))
        self.join = join

    def forward(self, parts: Mapping[str, Features | Tokens]) -> Fused:
        done: dict[str, Features] = {}
        for name, stream in self.streams.items():
            part = parts[name]
            done[name] = stream(Tokens(part.x, part.valid, part.segments))
        return Fused(self._join(done, list(self.streams)), done)

    def alone(self, fused: Fused) -> dict[str, Tensor]:
        """The joint vector of each modality by itself, as if the others were absent: what OGM-GE compares (arXiv 2203.15332, Eq. 8)."""
        return {name: self._join(fused.parts, [name]) for name in self.streams}

    def _join(self, done: Mapping[str, Features], heard: Collection[str]) -> Tensor:
        present = torch.stack([done[name].valid.any(1) & (name in heard) for name in self.streams], 1)
        x = torch.stack([mean(done[name]) for name in self.streams], 1)
        return self.join(x * present[..., None], present)
