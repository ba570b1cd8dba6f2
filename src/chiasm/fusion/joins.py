"""How late fusion makes one vector of one a modality. Each takes x [B, M, D], zero where a modality is absent, and present bool [B, M]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chiasm.nn.linear import Linear
from chiasm.nn.transformer import initialise


class Concat(nn.Module):
    """Side by side: [B, M·D]; an absent modality is zeros."""

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        return x.flatten(1)


class Sum(nn.Module):
    """Σ x_m: [B, D]."""

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        return x.sum(1)


class Weighted(nn.Module):
    """Σ w_m·x_m with w the softmax of one learned number a modality, over those that are present: [B, D]."""

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(modalities))

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        weights = _shares(self.scores.to(x.dtype).expand(present.shape), present)
        return (weights[..., None] * x).sum(1)


class Gated(nn.Module):
    """Gated multimodal unit (Arevalo 2017, arXiv 1702.01992, 3.1): Σ z_m ∘ tanh(W_m·x_m), where gates z look at all modalities: [B, D].

    z is a softmax over modalities, a value a feature. Of two it is the paper's σ(W·[x_1, x_2]) and 1 − σ; for more, where the paper has
    independent sigmoids, it lets an absent modality drop out all the same.
    """

    def __init__(self, modalities: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(Linear(width, width) for _ in range(modalities))
        self.gates = Linear(modalities * width, modalities * width)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        hidden = torch.stack([layer(x[:, m]).tanh() for m, layer in enumerate(self.hidden)], 1)
        gates = _shares(self.gates(x.flatten(1)).view_as(x), present[..., None])
        return (gates * hidden).sum(1)


class Max(nn.Module):
    """The largest of each feature: [B, D]."""

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        largest = x.masked_fill(~present[..., None], torch.finfo(x.dtype).min).amax(1)
        return largest * present.any(1, keepdim=True)


class Bilinear(nn.Module):
    """Low-rank bilinear pooling (Kim 2017, arXiv 1610.04325, Eq. 8): P·(tanh(U·x_1) ∘ tanh(V·x_2)) + b, and so on for more: [B, D].

    An absent modality's factor is 1.
    """

    def __init__(self, modalities: int, width: int, rank: int) -> None:
        super().__init__()
        self.factors = nn.ModuleList(Linear(width, rank) for _ in range(modalities))
        self.out = Linear(rank, width)
        initialise(self, width, 1)  # smaller weights, multiplied with each other, would hardly begin to learn

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        product = torch.ones((), dtype=x.dtype, device=x.device)
        for m, factor in enumerate(self.factors):
            product = product * factor(x[:, m]).tanh().masked_fill(~present[:, m, None], 1.0)
        return self.out(product)


def _shares(scores: Tensor, present: Tensor) -> Tensor:
    """Softmax over dimension 1 of what is present, 0 elsewhere (and everywhere where nothing is)."""
    return scores.masked_fill(~present, torch.finfo(scores.dtype).min).softmax(1) * present
