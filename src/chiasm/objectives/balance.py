"""How several losses become one, and how a modality that learns faster is kept from drowning the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from chiasm.errors import ConfigError


class UncertaintyWeights(nn.Module):
    """Weights that are learned as each task's noise (Kendall 2018, arXiv 1705.07115, 3.2): Σ e^(−s)·L + s/2, s = ln σ² from 0.

    A squared error counts half, ½·e^(−s)·L (Eq. 5); a cross-entropy does not (Eq. 10). For a fixed L the optimum is e^s = 2L, or L for a squared
    error. The sum may become negative: watch the losses and not the sum. No weight decay on s: it would pull every σ towards 1.
    """

    def __init__(self, names: Iterable[str], squared: Collection[str] = ()) -> None:
        super().__init__()
        self.names, self.squared = tuple(names), frozenset(squared)
        self.log_variance = nn.Parameter(torch.zeros(len(self.names)))

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Only the losses that this step has; raises ConfigError for one that was not named."""
        if unknown := [name for name in losses if name not in self.names]:
            raise ConfigError(
                f"no learned weight for the loss {unknown[0]!r}: the weights are for {', '.join(self.names)}"
            )
        parts: list[Tensor] = []
        for name, loss in losses.items():
            s = self.log_variance[self.names.index(name)]
            parts.append((0.5 if name in self.squared else 1.0) * (-s).exp() * loss + s / 2)
        return torch.stack(parts).sum()


def ogm_ge_coefficients(scores_by_modality: Mapping[str, Tensor], alpha: float) -> dict[str, float]:
    """How much of its gradient each modality keeps (OGM-GE, Peng 2022, arXiv 2203.15332, 3.2, Eq. 8 to 10).

    scores_by_modality: name → [B], the probability that this modality alone gives to the right answer; alpha > 0: how hard the leader is held
    back. ρ is a modality's summed score over the mean of the others' (the paper has two modalities). → 1 − tanh(α·ρ) where ρ > 1, else 1.
    """
    total = {name: float(scores.float().sum()) for name, scores in scores_by_modality.items()}
    coefficients: dict[str, float] = {}
    for name, own in total.items():
        others = [value for other, value in total.items() if other != name]
        ratio = own / max(sum(others) / len(others), 1e-12) if others else 1.0
        coefficients[name] = 1 - float(np.tanh(alpha * ratio)) if ratio > 1 else 1.0
    return coefficients


@torch.no_grad()
def modulate_gradients(
    parameters_by_modality: Mapping[str, Iterable[nn.Parameter]],
    coefficients: Mapping[str, float],
    noise: np.random.Generator | None,
) -> None:
    """Scales each modality's gradients in place, between backward and update, and adds noise of their own spread (OGM-GE 3.2 and 3.3).

    noise: seeded by (seed, step, purpose); drawn in the order of the parameters, on the CPU, with the standard deviation that the gradient had before
    it was scaled; None leaves the "GE" out. Parameters without gradient are passed over.
    """
    for name, parameters in parameters_by_modality.items():
        for parameter in parameters:
            if parameter.grad is None:
                continue
            spread = parameter.grad.std(correction=0)
            parameter.grad.mul_(coefficients[name])
            if noise is not None:
                drawn = torch.from_numpy(np.asarray(noise.standard_normal(parameter.shape, dtype=np.float32)))
                parameter.grad.add_(drawn.to(parameter.grad) * spread)
