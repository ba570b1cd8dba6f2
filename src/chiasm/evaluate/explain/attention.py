"""Relevance of tokens from attention: rollout (Abnar & Zuidema 2020, arXiv 2005.00928) and gradient-weighted attention (Chefer, Gur & Wolf
2021, arXiv 2103.15679), and what each pair of tokens adds to a similarity.

Legend: I items · N tokens · H heads · D width · E embedding width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chiasm.evaluate.explain.watch import Sight
from chiasm.systems.chiasm import Chiasm
from chiasm.types import Features


def rollout(sight: Sight) -> Tensor:
    """[I, N], rows sum to 1: how much of each token reaches what is pooled, were attention all that mixes (arXiv 2005.00928, 3).

    Each layer passes half of itself on through the residual: 0.5 A + 0.5 I, heads averaged. It asks nothing about a target: a picture
    has one such map whatever the words.
    """
    mixed: Tensor | None = None
    for one in sight.looks:
        weights = one.weights()[0].mean(1)
        layer = 0.5 * weights + 0.5 * torch.eye(weights.shape[-1], device=weights.device)
        mixed = layer if mixed is None else layer @ mixed
    assert mixed is not None
    pooled = _pooled(_pull(sight, [sight.features.x])[0], sight.features.valid)
    return torch.einsum("in,inm->im", pooled, mixed)


def gradient(sight: Sight, target: Tensor) -> Tensor:
    """[I, N], ≥ 0: relevance of each token to the similarity with target [I, E] (arXiv 2103.15679, Eq. 5 and 6).

    R starts as I; each layer adds Ā R, Ā = the mean over heads of (A ⊙ ∂y/∂A)⁺. A mean over tokens is one more attention, of equal weights
    and one query, and treated as such: its (A ⊙ ∂y/∂A)⁺ is (x ⊙ ∂y/∂x)⁺ summed over the width. A class token takes its own row.
    """
    wanted = [one.mixed for one in sight.looks] + [sight.features.x]
    pulls = torch.autograd.grad((sight.vectors * target).sum(), wanted, retain_graph=True)
    found: Tensor | None = None
    for one, pull in zip(sight.looks, pulls, strict=False):
        weights, values = one.weights()
        pulled = torch.einsum("ihnd,ihmd->ihnm", one.heads(pull), values)
        layer = (weights * pulled).clamp(min=0).mean(1)
        own = torch.eye(layer.shape[-1], device=layer.device).expand_as(layer)
        found = own + layer if found is None else found + layer @ found
    assert found is not None
    with torch.no_grad():
        pooled = _pooled(pulls[-1], sight.features.valid)
        if bool((pooled.gt(0).sum(1) > 1).any()):
            pooled = (sight.features.x * pulls[-1]).sum(-1).clamp(min=0)
        return torch.einsum("in,inm->im", pooled, found)


def contributions(network: Chiasm, modality: str, features: Features, target: Tensor) -> Tensor:
    """[I, N]: what each token adds to the cosine with target [I, E]; the rows sum to it. Exact, since the head is a mean and a linear map.

    It says which of the trunk's last tokens carry the likeness, which need not be the patch or the word that stands there.
    """
    shares = _shares(network, modality, features)
    return torch.einsum("ine,ie->in", shares, target)


def pairwise(network: Chiasm, modalities: tuple[str, str], features: tuple[Features, Features]) -> Tensor:
    """[N, M]: what each token of one item and each token of another add to their cosine; the whole sums to it."""
    one, two = (_shares(network, m, f)[0] for m, f in zip(modalities, features, strict=True))
    return one @ two.T


@torch.no_grad()
def _shares(network: Chiasm, modality: str, features: Features) -> Tensor:
    """[I, N, E]: each token's part of the unit-length vector."""
    head = network.heads[modality]
    valid = features.valid[..., None]
    projected = head.linear(features.x).float() * valid  # type: ignore[operator]
    pooled = projected.sum(1, keepdim=True)
    return projected / pooled.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def _pull(sight: Sight, wanted: list[Tensor]) -> tuple[Tensor, ...]:
    # Of the sum of the coordinates: that of their squares is constant.
    return torch.autograd.grad(sight.vectors.sum(), wanted, retain_graph=True)


def _pooled(pull: Tensor, valid: Tensor) -> Tensor:
    """[I, N], rows sum to 1: equal for the tokens that the head looks at, known by their having a gradient."""
    seen = (pull.abs().sum(-1) > 0) & valid
    return seen.float() / seen.sum(1, keepdim=True).clamp(min=1)
