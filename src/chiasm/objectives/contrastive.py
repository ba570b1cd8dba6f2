"""Contrastive objectives over a batch, in memory that grows with B instead of B².

`info_nce` and `sigmoid` are functions of embeddings; `Contrastive` sums them over every pair of modalities in a batch.
The similarity matrix is never held: it is made tile by tile, its log-sum-exps are kept, and the backward pass makes each tile
again (as flash attention does for attention; Inf-CL, arXiv 2410.17243, for this loss). Gradients are exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.types import Output


class _PairLogSumExp(torch.autograd.Function):
    """Row and column log-sum-exp of scale·A Bᵀ without holding it: one product a tile forward, three backward."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, scale: Tensor, tile: int) -> tuple[Tensor, Tensor]:
        n, m = len(a), len(b)
        rows = a.new_empty(n)
        column_max = a.new_full((m,), -torch.inf)
        column_sum = a.new_zeros(m)
        buffer = a.new_empty(min(tile, n), m)
        for start in range(0, n, tile):
            count = min(tile, n - start)
            logits = torch.mm(a[start : start + count] * scale, b.T, out=buffer[:count])
            rows[start : start + count] = logits.logsumexp(1)
            # Columns grow tile by tile: what is summed so far is rescaled whenever a larger logit turns up.
            raised = torch.maximum(column_max, logits.amax(0))
            column_sum.mul_((column_max - raised).exp_())
            column_sum += logits.sub_(raised).exp_().sum(0)
            column_max = raised
        columns = column_sum.log_().add_(column_max)
        ctx.save_for_backward(a, b, scale, rows, columns)
        ctx.tile = tile
        return rows, columns

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        a, b, scale, rows, columns = ctx.saved_tensors
        row_gradient, column_gradient = gradients
        tile, n, m = ctx.tile, len(a), len(b)
        da, db = torch.empty_like(a), torch.zeros_like(b)
        buffer, other = a.new_empty(min(tile, n), m), a.new_empty(min(tile, n), m)
        for start in range(0, n, tile):
            count = min(tile, n - start)
            part = slice(start, start + count)
            logits = torch.mm(a[part] * scale, b.T, out=buffer[:count])
            weight = torch.sub(logits, rows[part, None], out=other[:count]).exp_().mul_(row_gradient[part, None])
            weight.addcmul_(logits.sub_(columns).exp_(), column_gradient[None, :])
            torch.mm(weight, b, out=da[part])
            db.addmm_(weight.T, a[part])
        dscale = (da * a).sum()
        return da.mul_(scale), db.mul_(scale), dscale, None


def info_nce(a: Tensor, b: Tensor, a_identity: Tensor, b_identity: Tensor, scale: Tensor, tile: int = 1024) -> Tensor:
    """Symmetric InfoNCE (arXiv 1807.03748; CLIP, arXiv 2103.00020) with any number of positives an item.

    a: unit-length float32 [n, E]; b: [m, E]; *_identity: int64 [n], [m], equal for positives; scale: 1/temperature.
    For an item with several positives the mean of their log-probabilities is taken (SupCon's L_out, arXiv 2004.11362, 3.2.2).
    Items without any positive on the other side serve as negatives only. → scalar, in nats; ln m is chance.
    """
    rows, columns = _PairLogSumExp.apply(a, b, scale, tile)
    a_mean, a_matched = _positive_mean(b, b_identity, a_identity)
    b_mean, b_matched = _positive_mean(a, a_identity, b_identity)
    forward = rows - scale * (a * a_mean).sum(-1)
    backward = columns - scale * (b * b_mean).sum(-1)
    return 0.5 * (_masked_mean(forward, a_matched) + _masked_mean(backward, b_matched))


class _PairSigmoid(torch.autograd.Function):
    """Sum of −log σ(±(scale·A Bᵀ + bias)); the loss is a plain sum, so each tile's gradient is taken as it passes."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        a_identity: Tensor,
        b_identity: Tensor,
        scale: Tensor,
        bias: Tensor,
        tile: int,
    ) -> Tensor:
        loss = a.new_zeros(())
        da, db = torch.empty_like(a), torch.zeros_like(b)
        dscale, dbias = torch.zeros_like(scale), torch.zeros_like(bias)
        for start in range(0, len(a), tile):
            part = slice(start, start + tile)
            cosine = a[part] @ b.T
            sign = torch.where(a_identity[part, None] == b_identity[None, :], 1.0, -1.0).to(a.dtype)
            logits = (cosine * scale + bias).mul_(sign)
            loss = loss - F.logsigmoid(logits).sum()
            slope = torch.sigmoid(-logits).mul_(sign).neg_()
            dscale = dscale + (slope * cosine).sum()
            dbias = dbias + slope.sum()
            torch.mm(slope, b, out=da[part])
            db.addmm_(slope.T, a[part])
        ctx.save_for_backward(da.mul_(scale), db.mul_(scale), dscale, dbias)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        da, db, dscale, dbias = ctx.saved_tensors
        g = gradients[0]
        return da * g, db * g, None, None, dscale * g, dbias * g, None


def sigmoid(
    a: Tensor,
    b: Tensor,
    a_identity: Tensor,
    b_identity: Tensor,
    scale: Tensor,
    bias: Tensor,
    tile: int = 1024,
) -> Tensor:
    """SigLIP's pairwise sigmoid loss (arXiv 2303.15343, 3.2), averaged over the items of a → scalar, in nats.

    Every pair is a binary question, so several positives need no special care. Shapes as in `info_nce`.
    """
    return _PairSigmoid.apply(a, b, a_identity, b_identity, scale, bias, tile) / max(len(a), 1)  # type: ignore[no-any-return]


class Contrastive(nn.Module):
    """A named loss for every pair of modalities of which the batch has both: {"text-image": …, "text-audio": …}."""

    def __init__(self, kind: str = "info_nce", tile: int = 1024, weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.kind, self.tile, self.weights = kind, tile, dict(weights or {})

    def forward(self, output: Output, identity: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """identity[modality]: int64 [I], row for row with output.embedding[modality]; equal identities are positives."""
        losses: dict[str, Tensor] = {}
        for one, two in itertools.combinations(output.embedding, 2):
            a, b = output.embedding[one], output.embedding[two]
            if not torch.isin(identity[one], identity[two]).any():
                continue
            if self.kind == "sigmoid":
                assert output.bias is not None, "the sigmoid loss needs a model with a bias"
                losses[f"{one}-{two}"] = sigmoid(
                    a, b, identity[one], identity[two], output.scale, output.bias, self.tile
                )
            else:
                losses[f"{one}-{two}"] = info_nce(a, b, identity[one], identity[two], output.scale, self.tile)
        return losses

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum that is differentiated; a pair's weight is found under either order of its names."""
        return torch.stack([self._weight(name) * loss for name, loss in losses.items()]).sum()

    def _weight(self, name: str) -> float:
        one, two = name.split("-")
        return self.weights.get(name, self.weights.get(f"{two}-{one}", 1.0))


def _positive_mean(keys: Tensor, key_identity: Tensor, query_identity: Tensor) -> tuple[Tensor, Tensor]:
    """For each query the mean of the keys of its identity: [n, E], and whether it has any: bool [n]."""
    names, index = torch.cat([key_identity, query_identity]).unique(return_inverse=True)
    of_keys, of_queries = index[: len(keys)], index[len(keys) :]
    count = keys.new_zeros(len(names)).index_add_(0, of_keys, keys.new_ones(len(keys)))
    sums = keys.new_zeros(len(names), keys.shape[1]).index_add(0, of_keys, keys)
    mean = sums / count.clamp(min=1)[:, None]
    return mean[of_queries], count[of_queries] > 0


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    weight = mask.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=1)
