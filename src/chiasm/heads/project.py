"""From the trunk's features to one vector an item."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.nn.linear import Linear
from chiasm.types import Features


def pool(features: Features) -> Tensor:
    """Features [I, N, D] → [I, D]: the mean of the valid tokens."""
    if bool(features.valid.all()):
        return features.x.mean(1)
    weight = features.valid.to(features.x.dtype)
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1)
    return (features.x * weight[..., None]).sum(1)


class Projection(nn.Module):
    """Pool, project and normalise to unit length: [I, N, D] → float32 [I, E]."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.linear = Linear(width, embedding, bias=False)

    def forward(self, features: Features) -> Tensor:
        # Similarities differ in their third digit near a perfect match: the last step is float32 whatever came before.
        return F.normalize(self.linear(pool(features)).float(), dim=-1)
