"""From the trunk's features to one vector an item."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.fusion.sequences import mean
from chiasm.nn.linear import Linear
from chiasm.types import Features


class Projection(nn.Module):
    """Pool, project and normalise to unit length: [I, N, D] → float32 [I, E]."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.linear = Linear(width, embedding, bias=False)

    def forward(self, features: Features) -> Tensor:
        # Similarities differ in their third digit near a perfect match: the last step is float32 whatever came before.
        return F.normalize(self.linear(mean(features)).float(), dim=-1)
