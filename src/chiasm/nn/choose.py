"""What one step of decoding is made of: who reads, who predicts, what is allowed, and how a code is picked from its logits.

R is the number of sequences decoded at once: the rows, times their candidates or beams, which stand next to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from chiasm.config import DecodingConfig
from chiasm.errors import ModelError
from chiasm.nn.cache import Cache

TIES = 64
"""How many codes beyond the k likeliest are looked at for ties with the k-th."""


class Head(Protocol):
    """Predicts a step's codes from its features, one group after the other. groups: G, how many codes make a step (text: 1)."""

    @property
    def groups(self) -> int: ...
    def logits(self, features: Tensor, chosen: Sequence[Tensor]) -> Tensor:
        """features: [R, D]; chosen: int64 [R] each, the codes of this step's groups before → float32 [R, C] of group len(chosen)."""
        ...


class Read(Protocol):
    """Reads the step just decoded: int64 [R, G] → features [R, D] that the next step is predicted from.

    It knows the sequences by the cache alone: beams and candidates make more of them than there are rows, in an order of their own.
    Within a cache's `branches` it reads the tree: R = sequences · `cache.chunk`, the tokens of one sequence next to each other.
    """

    def __call__(self, codes: Tensor, cache: Cache, /) -> Tensor: ...


class Constraint(Protocol):
    """Which codes may come: bool [1, B or R, C], with at least one True a sequence, or None for all.

    codes: int64 [R, step + 1, G], what has been decoded; of the last step only the groups before `group` are set.
    """

    def __call__(self, step: int, group: int, codes: Tensor, /) -> Tensor | None: ...


class Cycle:
    """Fixed masks in turn, bool [C] or [B, C]: step s may choose what masks[s mod n] allows (boxes: x0, y0, x1, y1, class)."""

    def __init__(self, masks: Sequence[Tensor]) -> None:
        self._masks = [mask if mask.dim() == 2 else mask[None] for mask in masks]

    def __call__(self, step: int, group: int, codes: Tensor) -> Tensor:
        return self._masks[step % len(self._masks)]


def allow(logits: Tensor, constraint: Constraint | None, step: int, group: int, codes: Tensor) -> Tensor:
    """float32 [R, C] with −∞ where the constraint forbids."""
    mask = None if constraint is None else constraint(step, group, codes)
    if mask is None:
        return logits
    if mask.shape[-1] != logits.shape[-1] or len(logits) % len(mask):
        raise ModelError(f"a constraint of shape {tuple(mask.shape)} does not fit logits of {tuple(logits.shape)}")
    if not bool(mask.any(-1).all()):
        raise ModelError(f"the constraint leaves a sequence without any code at step {step}, group {group}")
    mask = mask.to(logits.device)
    if len(mask) not in (1, len(logits)):
        mask = mask.repeat_interleave(len(logits) // len(mask), 0)
    return logits.masked_fill(~mask, -torch.inf)


def guide(logits: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance, u + s (c − u) (arXiv 2207.12598, Eq. 6 with s = 1 + w): [2R, C], the conditional rows first → [R, C]."""
    if scale == 1:
        return logits
    given, free = logits.chunk(2)
    return free + scale * (given - free)


def truncate(logits: Tensor, top_k: int | None, top_p: float) -> Tensor:
    """−∞ outside the k likeliest codes, then outside the fewest of the likeliest that together have at least the probability p
    (nucleus sampling, arXiv 1904.09751, 3.1). [R, C] → [R, C]; ties with the k-th stay."""
    if top_k is not None and top_k < logits.shape[-1]:
        logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], -torch.inf)
    if top_p < 1:
        ordered, order = logits.sort(stable=True, dim=-1, descending=True)
        share = ordered.softmax(-1)
        drop = share.cumsum(-1) - share >= top_p
        drop[:, 0] = False
        logits = logits.masked_fill(torch.zeros_like(drop).scatter(-1, order, drop), -torch.inf)
    return logits


def pick(logits: Tensor, options: DecodingConfig, uniform: Tensor | None) -> Tensor:
    """float32 [R, C] → int64 [R]: the likeliest, or for `sample` the one at which the cumulated probability passes uniform, [R] in [0, 1)."""
    if uniform is None:
        return logits.max(
            -1
        ).indices  # argmax is slower on a CPU, the more so of many rows; both give the first of equals
    likely = None
    if options.top_k is not None and options.top_k + TIES < logits.shape[-1]:
        # No other can be drawn. In the vocabulary's order, so that what is drawn is the same.
        likely = logits.topk(options.top_k + TIES).indices.sort(-1).values
        logits = logits.gather(-1, likely)
    share = truncate(logits / options.temperature, options.top_k, options.top_p).softmax(-1)
    # float64 so that no code of probability 0 is ever met by rounding; MPS has none.
    wide = (share.cpu() if share.device.type == "mps" else share).double().cumsum(-1)
    place = uniform.to(wide.device)[:, None] * wide[:, -1:]
    code = torch.searchsorted(wide, place, right=True).to(logits.device)
    return code[:, 0] if likely is None else likely.gather(-1, code)[:, 0]


def draws(seed: int, rows: Sequence[int], candidates: int, count: int) -> Tensor:
    """float64 [len(rows) · candidates, count] in [0, 1). A row's numbers depend on the seed, its number and the candidate's, and on
    nothing else in the batch; more of them begin with the same ones."""
    streams = [np.random.default_rng((seed, row, candidate)) for row in rows for candidate in range(candidates)]
    return torch.from_numpy(np.stack([stream.random(count) for stream in streams]))


def log_probability(logits: Tensor, code: Tensor) -> Tensor:
    """float32 [R, C], int64 [R] → float32 [R]."""
    return logits.log_softmax(-1).gather(-1, code[:, None])[:, 0]
