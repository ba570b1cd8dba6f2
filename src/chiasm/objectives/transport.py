"""Optimal transport between two sets: IPOT and Sinkhorn plans, and the word-region alignment that UNITER learns by.

Both plans are found in the log domain, where a small entropy underflows nothing. They take no gradient: by the envelope
theorem the gradient of a transport cost is that of ⟨plan, cost⟩ with the plan held still.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.objectives.reduce import wide


@torch.no_grad()
def ipot(cost: Tensor, valid_a: Tensor, valid_b: Tensor, beta: float = 0.5, iterations: int = 50) -> Tensor:
    """Optimal transport between uniform weights by the inexact proximal point method (IPOT, arXiv 1802.04307, Algorithm 1).

    cost: [B, n, m]; valid_a: bool [B, n]; valid_b: bool [B, m]. beta is the step: unlike an entropy weight it does not move the solution, only
    the pace. → plan [B, n, m]: each of the n valid rows sums to 1/n exactly, each of the m valid columns to 1/m in the limit of iterations;
    0 wherever a side is padding. One Sinkhorn step an iteration, as in the paper and in UNITER's code.
    """
    cost = wide(cost)
    both = valid_a[:, :, None] & valid_b[:, None, :]
    step = (-cost / beta).masked_fill(~both, -torch.inf)
    log_a, log_b = _log_uniform(valid_a), _log_uniform(valid_b)
    plan = torch.zeros_like(cost).masked_fill(~both, -torch.inf)
    f = torch.zeros_like(log_a)
    for _ in range(iterations):
        kernel = plan + step
        g = _fit(kernel, log_b, f, 1)
        f = _fit(kernel, log_a, g, 2)
        plan = kernel + f[:, :, None] + g[:, None, :]
    return plan.exp()


@torch.no_grad()
def sinkhorn(cost: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Entropic optimal transport between uniform weights (arXiv 1306.0895): argmin ⟨P, cost⟩ − epsilon·H(P).

    cost: [n, m]. → plan [n, m]: columns sum to 1/m exactly, rows to 1/n in the limit of iterations. epsilon is in units of the cost.
    """
    kernel = -wide(cost)[None] / epsilon
    log_a = _log_uniform(torch.ones_like(kernel[:, :, 0], dtype=torch.bool))
    log_b = _log_uniform(torch.ones_like(kernel[:, 0, :], dtype=torch.bool))
    f, g = torch.zeros_like(log_a), torch.zeros_like(log_b)
    for _ in range(iterations):
        f = _fit(kernel, log_a, g, 2)
        g = _fit(kernel, log_b, f, 1)
    return (kernel + f[:, :, None] + g[:, None, :]).exp()[0]


def word_region_alignment(
    words: Tensor,
    regions: Tensor,
    valid_words: Tensor,
    valid_regions: Tensor,
    beta: float = 0.5,
    iterations: int = 50,
) -> Tensor:
    """How far the words of each pair are from its regions: the optimal transport cost under 1 − cosine (UNITER, arXiv 1909.11740, 3.2).

    words: [B, n, E]; regions: [B, m, E]; valid_·: bool. → [B], 0 … 2, 0 for a pair of which a side is empty.
    """
    a = F.normalize(wide(words).masked_fill(~valid_words[..., None], 0), dim=-1)
    b = F.normalize(wide(regions).masked_fill(~valid_regions[..., None], 0), dim=-1)
    cost = 1 - a @ b.mT
    return (cost * ipot(cost.detach(), valid_words, valid_regions, beta, iterations)).sum((1, 2))


def alignment_loss(distance: Tensor, matched: Tensor) -> Tensor:
    """Brings matched pairs together and mismatched ones apart, as UNITER's published code signs it (weight 0.1 beside matching).

    distance: [B], of `word_region_alignment`; matched: int64 or bool [B]. → (Σ matched − Σ mismatched) / B, in units of the distance.
    Chance, where half match: 0, that of distances that do not depend on whether a pair matches.
    """
    sign = torch.where(matched.bool(), 1.0, -1.0).to(distance.dtype)
    return (sign * distance).sum() / max(len(distance), 1)


def _log_uniform(valid: Tensor) -> Tensor:
    """Log weights [B, n] that share 1 evenly among the valid; −inf elsewhere."""
    count = valid.sum(-1, keepdim=True).clamp(min=1)
    return (-count.float().log()).expand(valid.shape).masked_fill(~valid, -torch.inf)


def _fit(kernel: Tensor, log_weight: Tensor, other: Tensor, dim: int) -> Tensor:
    """The log scaling that gives one side its weights; 0 for padding and where the other side is empty, so that no −inf meets +inf."""
    total = (kernel + other.unsqueeze(3 - dim)).logsumexp(dim)
    return torch.where(total.isfinite() & log_weight.isfinite(), log_weight - total, 0)
