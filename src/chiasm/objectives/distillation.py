"""Learning from a teacher's probabilities beside the hard target."""

from __future__ import annotations

from torch import Tensor

from chiasm.objectives.reduce import mean_of, wide


def soft_cross_entropy(logits: Tensor, teacher_probabilities: Tensor, mask: Tensor | None = None) -> Tensor:
    """Cross-entropy of a prediction under a given distribution (arXiv 1503.02531, 2).

    logits, teacher_probabilities: [..., V], the latter summing to 1 and taking no gradient; mask: bool [...], True for the rows that count, or
    None for all. → mean over those rows, in nats. Chance: ln V. Its floor is the teacher's entropy, not 0.
    """
    if mask is not None:
        logits, teacher_probabilities = logits[mask], teacher_probabilities[mask]
    logits, given = wide(logits), wide(teacher_probabilities.detach())
    return mean_of(-given * logits.log_softmax(-1), logits[..., 0].numel())


def momentum_distillation(
    loss_hard: Tensor, logits: Tensor, teacher_logits: Tensor, alpha: float, mask: Tensor | None = None
) -> Tensor:
    """(1 − α)·hard + α·soft, the soft target being the momentum teacher's softmax (ALBEF, arXiv 2107.07651, 3.3, Eq. 6 and 7).

    loss_hard: the loss against the true targets, over the same rows; logits, teacher_logits: [..., V], similarities already divided by the
    temperature (ITC) or token logits (MLM); mask: bool [...], the rows that count, e.g. target != IGNORE. The published code
    takes the cross-entropy where the paper writes KL: they differ by the teacher's entropy, and not in the gradient. → nats. Chance: ln V.
    """
    soft = soft_cross_entropy(logits, wide(teacher_logits).softmax(-1), mask)
    return (1 - alpha) * loss_hard + alpha * soft


def momentum_contrast(mine: Tensor, taught: Tensor, keys: Tensor, scale: Tensor, alpha: float) -> Tensor:
    """Each of mine finds its partner among the keys, with what the momentum teacher's view of it finds as a soft target beside
    (ALBEF's image-text contrast in one direction, arXiv 2107.07651, 3.2 and 3.3, Eq. 6).

    mine, taught: unit-length [B, E], the student's and the teacher's; keys: [B + K, E], the teacher's of the other modality, mine's partners
    row for row first, then a queue; scale: 1/temperature. → nats. Chance: ln(B + K).
    """
    logits, soft = scale * mine @ keys.T, scale.detach() * taught @ keys.T
    hard = mean_of(-logits.log_softmax(-1).diagonal(), len(mine))
    return momentum_distillation(hard, logits, soft, alpha)


def ramp(alpha: float, step: int, steps: int) -> float:
    """α at a step (from 0), rising evenly from 0 over the first `steps` (ALBEF: one epoch): a teacher knows nothing at first."""
    return alpha * min(1.0, step / max(steps, 1))
