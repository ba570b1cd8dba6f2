"""Contrastive objectives over a batch, in memory that grows with B instead of B².

`info_nce` and `sigmoid` are functions of embeddings; `Contrastive` sums them over every pair of modalities in a batch.
The similarity matrix is never held: it is made tile by tile, its log-sum-exps are kept, and the backward pass makes each tile
again (as flash attention does for attention; Inf-CL, arXiv 2410.17243, for this loss). Gradients are exact.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
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

    def forward(
        self, output: Output, identity: Mapping[str, Tensor], language: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """identity[modality]: int64 [I], row for row with output.embedding[modality]; equal identities are positives.

        language[modality]: int64 [I], −1 for unknown. Between two modalities that both have it (a text, a voice), only items of the same
        language are positives; one whose record is there in other languages only takes no part in that pair. Languages meet through
        what has none (pictures): asking a sound of one language for a text of another drowns the signal (LOG.md).
        """
        losses: dict[str, Tensor] = {}
        for name, a, b, ia, ib in _pairs(output, identity, language):
            if self.kind == "sigmoid":
                assert output.bias is not None, "the sigmoid loss needs a model with a bias"
                losses[name] = sigmoid(a, b, ia, ib, output.scale, output.bias, self.tile)
            else:
                losses[name] = info_nce(a, b, ia, ib, output.scale, self.tile)
        return losses

    def chance(
        self, output: Output, identity: Mapping[str, Tensor], language: Mapping[str, Tensor] | None = None
    ) -> dict[str, float]:
        """What each pair's loss is where nothing is known: (ln n + ln m) / 2 for InfoNCE over n and m candidates. The sigmoid loss has no
        such value: {}."""
        if self.kind == "sigmoid":
            return {}
        return {
            name: (math.log(len(a)) + math.log(len(b))) / 2 for name, a, b, _, _ in _pairs(output, identity, language)
        }

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


def _pairs(
    output: Output, identity: Mapping[str, Tensor], language: Mapping[str, Tensor] | None
) -> Iterator[tuple[str, Tensor, Tensor, Tensor, Tensor]]:
    """Name, embeddings and identities of every pair of modalities that share a record."""
    for one, two in itertools.combinations(output.embedding, 2):
        a, b, ia, ib = output.embedding[one], output.embedding[two], identity[one], identity[two]
        if language is not None and one in language and two in language:
            a, b, ia, ib = _by_language(a, b, ia, ib, language[one], language[two])
        if torch.isin(ia, ib).any():
            yield f"{one}-{two}", a, b, ia, ib


def _by_language(
    a: Tensor, b: Tensor, ia: Tensor, ib: Tensor, la: Tensor, lb: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The items that take part in a pair of modalities with languages, and identities that are equal for the same thing in the same
    language. Where no record has both sides in one language, languages are ignored."""
    la, lb = _filled(ia, la, ib, lb), _filled(ib, lb, ia, la)
    span = int(max(la.max(), lb.max())) + 2
    ka, kb = ia * span + la + 1, ib * span + lb + 1
    if not torch.isin(ka, kb).any():
        return a, b, ia, ib
    # An item stays where it has a partner in its language, or none at all (then it is a negative like any other).
    keep_a, keep_b = torch.isin(ka, kb) | ~torch.isin(ia, ib), torch.isin(kb, ka) | ~torch.isin(ib, ia)
    return a[keep_a], b[keep_b], ka[keep_a], kb[keep_b]


def _filled(identity: Tensor, language: Tensor, other_identity: Tensor, other_language: Tensor) -> Tensor:
    """`language` with unknown ones (−1) taken from an item of the other side of the same identity."""
    names, index = torch.cat([identity, other_identity]).unique(return_inverse=True)
    known = language.new_full((len(names),), -1).scatter_reduce(0, index[len(identity) :], other_language, "amax")
    return torch.where(language < 0, known[index[: len(identity)]], language)
