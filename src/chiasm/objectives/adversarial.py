"""Two networks against each other: features that do not tell their modality, and generators that pass for real."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.nn.linear import Linear
from chiasm.objectives.reduce import log_losses, mean_of, wide


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """x itself; backwards, the gradient times −strength (Ganin & Lempitsky 2015, arXiv 1409.7495, 3)."""
    return _Reversal.apply(x, strength)  # type: ignore[no-any-return]


def reversal_strength(progress: float) -> float:
    """λ at a progress of 0 … 1 through training: 2/(1 + e^(−10p)) − 1, from 0 to 1 (arXiv 1409.7495, 4)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


class Discriminator(nn.Module):
    """Tells which modality an embedding came from, through a gradient reversal: it learns to tell, what feeds it learns not to be told."""

    def __init__(self, width: int, modalities: int) -> None:
        super().__init__()
        self.hidden = Linear(width, width)
        self.out = Linear(width, modalities)

    def forward(self, x: Tensor, strength: float = 1.0) -> Tensor:
        """x: [I, width] → logits [I, modalities]; strength as in `reverse_gradient`."""
        return self.out(F.gelu(self.hidden(reverse_gradient(x, strength))))


def modality_adversarial(logits: Tensor, modality: Tensor) -> Tensor:
    """Cross-entropy of a `Discriminator` (arXiv 1409.7495, 3; between modalities as in ACMR, doi 10.1145/3123266.3123326).

    logits: [I, K]; modality: int64 [I], 0 … K−1, or IGNORE. → mean, in nats. Chance: ln K for modalities that are equally frequent, and that is
    what alignment aims at: a loss that falls far below it says that the modalities still lie apart.
    """
    values, _ = log_losses(logits, modality)
    return mean_of(values, len(values))


def discriminator_loss(real: Tensor, fake: Tensor, kind: str = "non_saturating") -> Tensor:
    """What a GAN's discriminator minimises. real, fake: its logits [n], [m], of true and of generated examples (detach those) → scalar.

    non_saturating: binary cross-entropy in nats (arXiv 1406.2661, 3), chance 2·ln 2; hinge: margins (arXiv 1705.02894; 1802.05957, Eq. 16), chance 2.
    """
    real, fake = wide(real), wide(fake)
    if kind == "non_saturating":
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    raise ValueError(f"a GAN's loss is non_saturating or hinge, not {kind!r}")


def generator_loss(fake: Tensor, kind: str = "non_saturating") -> Tensor:
    """What the generator minimises. fake: the discriminator's logits [m] of generated examples, with gradient → scalar.

    non_saturating: −log D(G(z)) in nats (arXiv 1406.2661, 3), chance ln 2; hinge: −D(G(z)) (arXiv 1802.05957, Eq. 17), chance 0.
    """
    fake = wide(fake)
    if kind == "non_saturating":
        return F.softplus(-fake).mean()
    if kind == "hinge":
        return -fake.mean()
    raise ValueError(f"a GAN's loss is non_saturating or hinge, not {kind!r}")
