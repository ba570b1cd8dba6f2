"""Next-token prediction: language models, captions, answers as text, span corruption, translation, and codes of pictures and sounds."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chiasm.objectives.reduce import log_losses, mean_of
from chiasm.types import IGNORE


def next_tokens(tokens: Tensor, valid: Tensor) -> Tensor:
    """The target of a causal model at each position, the token that follows: int64 [B, N], IGNORE where none does.

    tokens: int64 [B, N]; valid: bool [B, N].
    """
    target = torch.full_like(tokens, IGNORE)
    target[:, :-1] = torch.where(valid[:, 1:] & valid[:, :-1], tokens[:, 1:], IGNORE)
    return target


def next_token(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of what follows (GPT, 3.1, Eq. 1; T5's span corruption, arXiv 1910.10683, 3.1.4; captions; answers as text).

    logits: [B, N, V]; target: int64 [B, N], what position n predicts: already moved by one (`next_tokens`), IGNORE for padding and for a prompt
    that is given. smoothing: the share of the target that goes evenly to all V (arXiv 1512.00567, 7; arXiv 1706.03762, 5.4: 0.1).
    → the mean over predicted tokens, in nats. Chance: ln V at any smoothing.
    """
    values, _ = log_losses(logits, target, smoothing)
    return mean_of(values, len(values))


def language_model_bits(loss: float, tokens: int, units: int) -> float:
    """Bits a unit (byte, character), the figure that models with different vocabularies can be compared by (arXiv 2101.00027, 3).

    loss: nats a token, unsmoothed; tokens: how many it is the mean of; units: the bytes or characters that they spell.
    Chance: language_model_bits(ln V, tokens, units).
    """
    return loss * tokens / (units * math.log(2))
