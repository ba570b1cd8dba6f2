"""Masked prediction: words, regions and patches that the model does not see and must tell from the rest.

Only what is masked enters a loss; where nothing is masked it is 0, with a gradient of 0.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.objectives.reduce import log_losses, mean_of, wide
from chiasm.types import IGNORE


def picked(features: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that are predicted, and their targets: [P, D] and int64 [P], of features [..., D] and target [...].

    A head over V words then computes P rows of logits and not every token's: with 15 % masked, a seventh of the work.
    """
    predicted = target != IGNORE
    return features[predicted], target[predicted]


def masked_tokens(logits: Tensor, target: Tensor) -> Tensor:
    """Masked language modelling (BERT, arXiv 1810.04805, 3.1), and every other choice among V at some positions.

    logits: [..., V]; target: int64 [...], IGNORE where nothing is predicted. → the mean over predicted tokens, in nats.
    Chance: ln V. Also for translation language modelling, CAMLM and BTMLM (ERNIE-M, arXiv 2012.15674), which differ in what a token may
    see, and for next-sentence prediction (V = 2).
    """
    values, _ = log_losses(logits, target)
    return mean_of(values, len(values))


def region_class(logits: Tensor, target: Tensor) -> Tensor:
    """Masked region classification with a hard label (UNITER's MRC, arXiv 1909.11740, 3.2; Unicoder-VL, arXiv 1908.06066; VL-BERT).

    logits: [B, R, C]; target: int64 [B, R], IGNORE for regions that are not masked. → mean, in nats. Chance: ln C.
    """
    return masked_tokens(logits, target)


def region_kl(logits: Tensor, distribution: Tensor, masked: Tensor) -> Tensor:
    """KL(given ‖ predicted) over masked regions (UNITER's MRC-kl, arXiv 1909.11740, 3.2; ViLBERT, arXiv 1908.02265, 3.1).

    logits: [B, R, C]; distribution: [B, R, C], a detector's, summing to 1; masked: bool [B, R]. → the mean over masked regions, in nats.
    Chance: `region_kl_chance`.
    """
    logs, given = wide(logits[masked]).log_softmax(-1), wide(distribution[masked])
    return mean_of(torch.xlogy(given, given) - given * logs, len(logs))


def region_kl_chance(distribution: Tensor, masked: Tensor) -> float:
    """What `region_kl` is for a uniform prediction: ln C less the mean entropy of the given distributions, in nats."""
    given = wide(distribution[masked])
    if not len(given):
        return 0.0
    return math.log(given.shape[-1]) + float(torch.xlogy(given, given).sum() / len(given))


def region_regression(predicted: Tensor, feature: Tensor, masked: Tensor) -> Tensor:
    """Masked region feature regression (UNITER's MRFR, arXiv 1909.11740, 3.2): squared error to the region's own feature.

    predicted, feature: [B, R, F]; masked: bool [B, R]. → the mean over masked regions and, as in the published code, over F, in squared units of
    the feature. Chance: `region_regression_chance`.
    """
    return _squared_error(predicted[masked], feature[masked])


def region_regression_chance(feature: Tensor, masked: Tensor) -> float:
    """What `region_regression` is for a model that always answers with the mean masked feature: their variance."""
    chosen = wide(feature[masked])
    return float(chosen.var(0, correction=0).mean()) if len(chosen) else 0.0


def masked_patches(predicted: Tensor, pixels: Tensor, masked: Tensor, normalise: bool = True) -> Tensor:
    """MAE's pixel regression (arXiv 2111.06377, 3, "Reconstruction target"): squared error over masked patches.

    predicted, pixels: [B, N, P], P numbers a patch; masked: bool [B, N]. With `normalise` each patch's pixels are first brought to mean 0 and
    variance 1. → mean over masked patches and P, in squared units. Chance, where normalised: about 1, (P − 1)/P, that of answering 0.
    """
    target = wide(pixels[masked])
    if normalise:
        # The sample variance and the 1e-6 are those of the published code; a patch of one colour becomes zeros.
        variance = target.var(-1, keepdim=True) if len(target) else target[..., :1]
        target = (target - target.mean(-1, keepdim=True)) / (variance + 1e-6).sqrt()
    return _squared_error(predicted[masked], target)


def _squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    return mean_of(F.mse_loss(wide(predicted), wide(target), reduction="none"), target.numel())
