"""Do these two belong together, and which answer is right? With the mismatches that are hardest to tell."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.objectives.reduce import log_losses, mean_of, wide
from chiasm.types import IGNORE


def matching(logits: Tensor, matched: Tensor) -> Tensor:
    """Image-text matching (ViLBERT, arXiv 1908.02265, 3.1; UNITER, 1909.11740, 3.2; ALBEF, 2107.07651, 3.2), or Oscar's tag contrast.

    logits: [..., 2], mismatched then matched; matched: int64 or bool [...], 1 where the pair belongs together, IGNORE where unknown.
    → mean, in nats. Chance: ln 2 where half match, else `matching_chance`.
    """
    values, _ = log_losses(logits, matched.long())
    return mean_of(values, len(values))


def matching_chance(matched: Tensor) -> float:
    """The entropy of how often pairs match, in nats: the loss of a model that knows nothing else (0.637 at ALBEF's one in three)."""
    known = matched.long()[matched != IGNORE]
    share = float(known.float().mean()) if len(known) else 0.0
    return -sum(p * math.log(p) for p in (share, 1 - share) if p > 0)


@torch.no_grad()
def hard_negatives(similarity: Tensor, identity_a: Tensor, identity_b: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """For each a, a b that is another thing but looks alike: drawn by the softmax of their similarity (ALBEF, arXiv 2107.07651, 3.2).

    similarity: [n, m], already divided by the temperature; identity_a, identity_b: int64 [n], [m]; u: uniform in [0, 1), [n], drawn with
    the batch. → index: int64 [n] into b; found: bool [n], False (and index 0) where every b has the identity of that a.
    """
    # On the CPU in float64: the same draw on every device, and no rounding of the sum can pick what has no probability.
    other = (identity_a[:, None] != identity_b[None, :]).cpu()
    found = other.any(1)
    logits = similarity.cpu().double().masked_fill(~other, -torch.inf)
    cumulative = logits.softmax(1).where(other, 0).cumsum(1)
    threshold = u.cpu().double().clamp(0, 1 - 1e-12)[:, None] * cumulative[:, -1:]
    index = torch.searchsorted(cumulative, threshold, right=True)[:, 0].where(found, 0)
    return index.to(similarity.device), found.to(similarity.device)


def answer_scores(logits: Tensor, scores: Tensor) -> Tensor:
    """VQA with soft scores: binary cross-entropy over the answers (arXiv 1708.02711, 3; ViLBERT, 1908.02265, 3.2).

    logits: [B, A]; scores: [B, A] in 0 … 1, min(1, annotators who gave it / 3). → summed over answers, mean over questions, in nats.
    Chance: A·ln 2 for a model that says one half; see `answer_scores_chance` for one that knows how rare each answer is.
    """
    values = F.binary_cross_entropy_with_logits(wide(logits), wide(scores), reduction="none")
    return mean_of(values, len(values))


def answer_scores_chance(scores: Tensor) -> float:
    """The loss of a model that knows each answer's mean score in this batch and nothing of the question, in nats."""
    mean = wide(scores).mean(0)
    return -float((torch.xlogy(mean, mean) + torch.xlogy(1 - mean, 1 - mean)).sum())


def answer_class(logits: Tensor, target: Tensor) -> Tensor:
    """VQA as a choice among A answers. logits: [B, A]; target: int64 [B], IGNORE where the answer is not among them. → mean, in nats.

    Chance: ln A."""
    values, _ = log_losses(logits, target)
    return mean_of(values, len(values))
