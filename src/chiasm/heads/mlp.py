"""A few linear layers with ReLU between them: SimCLR's and MoCo's projections and predictors, DETR's boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.nn.linear import Linear


class MLP(nn.Module):
    """[..., widths[0]] → [..., widths[-1]]; two widths are one linear layer.

    norm: batch normalisation over all rows after every hidden layer · last_norm: after the last one too, without gain and bias (MoCo v3,
    arXiv 2104.02057, 3 and 4.1). A layer that is normalised has no bias of its own.
    """

    def __init__(self, widths: Sequence[int], *, norm: bool = False, last_norm: bool = False) -> None:
        super().__init__()
        last = len(widths) - 2
        normed = [last_norm if index == last else norm for index in range(last + 1)]
        self.layers = nn.ModuleList(
            Linear(widths[index], widths[index + 1], bias=not normed[index]) for index in range(last + 1)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(widths[index + 1], affine=index < last) if normed[index] else nn.Identity()
            for index in range(last + 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        for index, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            x = norm(layer(x if index == 0 else F.relu(x)))
        return x
