"""Beam search: several continuations of each row at once, the best of them by length-normalised log-probability."""

from __future__ import annotations

import torch
from torch import Tensor

from chiasm.config import DecodingConfig
from chiasm.nn.cache import Cache
from chiasm.nn.choose import Constraint, Head, Read, allow


def length_penalty(length: int, alpha: float) -> float:
    """What a log-probability is divided by, ((5 + |Y|) / 6)^α (arXiv 1609.08144, Eq. 14). length: codes, the end among them."""
    return ((5 + length) / 6) ** alpha


def beam_search(
    features: Tensor,
    read: Read,
    cache: Cache,
    head: Head,
    length: int,
    end: int | None,
    options: DecodingConfig,
    constraint: Constraint | None,
    padding: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """features: [B, D] → codes int64 [B · n, ≤ length, 1], length int64 [B · n], log-probability float32 [B · n], where n = candidates.

    Every beam may end at every step; what has not ended after `length` steps counts as it is. A row is done when no beam could
    still enter its n best, whatever follows.
    """
    device, B, k = features.device, len(features), options.beams
    # The tokens before this are a row's own, whichever of its beams goes on.
    shared = cache.length
    index = torch.arange(B, device=device).repeat_interleave(k)
    cache.reorder(index)
    features = features.index_select(0, index)
    row = torch.arange(B, device=device)[:, None] * k
    codes = torch.full((B, k, length), padding, device=device)
    total = torch.full((B, k), -torch.inf, device=device)
    total[:, 0] = 0
    best = _Best(B, options, length, padding, device)
    step = 0
    while step < length:
        if step:
            features = read(codes[:, :, step - 1].reshape(B * k, 1), cache)
        logits = head.logits(features, ())
        allowed = allow(logits, constraint, step, 0, codes[:, :, : step + 1].reshape(B * k, step + 1, 1))
        gain = (allowed - logits.logsumexp(-1, keepdim=True)).view(B, k, -1)
        paths = total[..., None] + gain
        if end is not None:
            ended = codes.clone()
            ended[:, :, step] = end
            best.add(ended, paths[..., end], step, step + 1)
            paths[..., end] = -torch.inf
        vocabulary = paths.shape[-1]
        total, place = paths.flatten(1).topk(k)
        origin, code = place // vocabulary, place % vocabulary
        codes = codes.gather(1, origin[..., None].expand_as(codes))
        codes[:, :, step] = code
        step += 1
        if step == length or best.settled(total):
            break
        origin = (row + origin).flatten()
        if not torch.equal(origin, torch.arange(B * k, device=device)):
            cache.reorder(origin, shared)
    if step == length:
        best.add(codes, total, length, length)
    return best.codes.flatten(0, 1)[:, :step, None], best.length.flatten(), best.score.flatten()


class _Best:
    """The n best finished hypotheses of each row, best first. codes: [B, n, L]; length, score: [B, n]."""

    def __init__(self, rows: int, options: DecodingConfig, length: int, padding: int, device: torch.device) -> None:
        n = options.candidates
        self._alpha, self._longest = options.length_penalty, length
        self.codes = torch.full((rows, n, length), padding, device=device)
        self.length = torch.zeros(rows, n, dtype=torch.int64, device=device)
        self.score = torch.full((rows, n), -torch.inf, device=device)
        self._rank = self.score.clone()

    def add(self, codes: Tensor, score: Tensor, length: int, counted: int) -> None:
        """codes: [B, k, L] with log-probabilities [B, k]; counted: codes with the end."""
        rank = torch.cat([self._rank, score / length_penalty(counted, self._alpha)], 1)
        self._rank, place = rank.topk(self._rank.shape[1])
        self.score = torch.cat([self.score, score], 1).gather(1, place)
        self.length = torch.cat([self.length, torch.full_like(score, length, dtype=torch.int64)], 1).gather(1, place)
        wide = place[..., None].expand(-1, -1, codes.shape[-1])
        self.codes = torch.cat([self.codes, codes], 1).gather(1, wide)

    def settled(self, total: Tensor) -> bool:
        """A path's log-probability only falls; divided by the longest length's penalty, it is the most that it can come to."""
        return bool((total[:, 0] / length_penalty(self._longest, self._alpha) <= self._rank[:, -1]).all())
