"""Contrast between two views of the same picture: SimCLR's NT-Xent and MoCo's query against keys."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.objectives.reduce import wide


class _OthersLogSumExp(torch.autograd.Function):
    """For each row of Z the log-sum-exp of scale·Z Zᵀ over the other rows, tile by tile: memory grows with N, not N².

    The diagonal is left out before the sum and not subtracted after it, where it would drown the rest (e^(1/τ) against N).
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, scale: float, tile: int) -> Tensor:
        rows = z.new_empty(len(z))
        for start in range(0, len(z), tile):
            logits = _logits_to_others(z, scale, start, tile)
            rows[start : start + tile] = logits.logsumexp(1)
        ctx.save_for_backward(z, rows)
        ctx.scale, ctx.tile = scale, tile
        return rows

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        z, rows = ctx.saved_tensors
        gradient, scale, tile = gradients[0], ctx.scale, ctx.tile
        dz = torch.empty_like(z)
        for start in range(0, len(z), tile):
            part = slice(start, start + tile)
            logits = _logits_to_others(z, scale, start, tile)
            # Z stands on both sides of a symmetric product: each pair counts once as (i, j) and once as (j, i).
            weight = (logits - rows[part, None]).exp_().mul_(gradient[part, None])
            weight += logits.sub_(rows).exp_().mul_(gradient)
            dz[part] = weight @ z * scale
        return dz, None, None


def _logits_to_others(z: Tensor, scale: float, start: int, tile: int) -> Tensor:
    logits = z[start : start + tile] @ z.T * scale
    logits.diagonal(start).fill_(-torch.inf)
    return logits


def nt_xent(a: Tensor, b: Tensor, temperature: float, tile: int = 1024) -> Tensor:
    """SimCLR's NT-Xent (arXiv 2002.05709, 2.1, Eq. 1): each of the 2N views finds its partner among the 2N − 1 others.

    a, b: unit-length [N, E], two views row for row. → scalar, in nats. Chance: ln(2N − 1), see `nt_xent_chance`.
    """
    a, b = wide(a), wide(b)
    others = _OthersLogSumExp.apply(torch.cat([a, b]), 1 / temperature, tile)
    partner = (a * b).sum(-1) / temperature
    return others.mean() - partner.mean()  # type: ignore[no-any-return]


def nt_xent_chance(pairs: int) -> float:
    """ln(2N − 1), in nats, for N pairs of views."""
    return math.log(2 * pairs - 1)


def queue_contrastive(query: Tensor, key: Tensor, queue: Tensor, temperature: float | Tensor) -> Tensor:
    """MoCo's InfoNCE (arXiv 1911.05722, Eq. 1): each query finds its key among that key and K older ones.

    query, key: unit-length [N, E], row for row; queue: unit-length [K, E], only the rows that have been filled.
    Keys come from the momentum encoder: they take no gradient. → scalar, in nats. Chance: ln(K + 1).
    """
    query, key, queue = wide(query), wide(key.detach()), wide(queue.detach())
    positive = (query * key).sum(-1, keepdim=True)
    logits = torch.cat([positive, query @ queue.T], dim=1) / temperature
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.int64))


def symmetric_query_key(q1: Tensor, q2: Tensor, k1: Tensor, k2: Tensor, temperature: float) -> Tensor:
    """MoCo v3's loss without a queue (arXiv 2104.02057, 3 and Algorithm 1): 2τ·(ctr(q1, k2) + ctr(q2, k1)).

    q·: predictions of the online encoder, k·: those of the momentum encoder (no gradient), for views 1 and 2; unit-length [N, E], row for
    row; the other rows' keys are the negatives. → scalar, in nats times 2τ. Chance: 4τ·ln N, see `symmetric_query_key_chance`.
    """
    target = torch.arange(len(q1), device=q1.device)

    def contrast(query: Tensor, key: Tensor) -> Tensor:
        return F.cross_entropy(wide(query) @ wide(key.detach()).T / temperature, target)

    return 2 * temperature * (contrast(q1, k2) + contrast(q2, k1))


def symmetric_query_key_chance(pairs: int, temperature: float) -> float:
    """4τ·ln N for N pairs of views."""
    return 4 * temperature * math.log(pairs)
