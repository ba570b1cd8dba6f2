"""What every loss ends with: float32, and a mean over what counts that is 0, not NaN, where nothing does."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.types import IGNORE


def wide(x: Tensor) -> Tensor:
    """x in float32; float64 stays as it is, so that gradients can be checked."""
    return x if x.dtype == torch.float64 else x.float()


def mean_of(values: Tensor, count: Tensor | int) -> Tensor:
    """The sum of values over count; of nothing it is 0, with a gradient of 0, so that a batch without targets changes nothing."""
    if isinstance(count, Tensor):
        return values.sum() / count.clamp(min=1)
    return values.sum() / max(count, 1)


def log_losses(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Negative log-likelihoods in nats of the targets that are not IGNORE: [P], and which of [...] they belong to: bool [...].

    logits: [..., V]; target: int64 [...]. Rows that are not predicted are dropped before the softmax: they cost nothing and a NaN
    in them does not spread.
    """
    predicted = target != IGNORE
    values = F.cross_entropy(wide(logits[predicted]), target[predicted], reduction="none", label_smoothing=smoothing)
    return values, predicted
