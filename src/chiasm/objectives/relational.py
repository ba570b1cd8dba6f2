"""Scene-graph prediction: the words that name objects, attributes and relations are masked and told from the picture."""

from __future__ import annotations

from torch import Tensor

from chiasm.objectives.reduce import log_losses, mean_of

CATEGORIES = ("object", "attribute", "relation")
"""What a masked word is to the scene graph; its code is 1 + its place here, and 0 is any other word."""


def scene_graph(logits: Tensor, target: Tensor, category: Tensor) -> dict[str, Tensor]:
    """Scene-graph prediction (ERNIE-ViL, arXiv 2006.16934, 3.2): a loss for each kind of node and edge; the paper adds them up.

    logits: [..., V]; target: int64 [...], the masked word, IGNORE elsewhere; category: int64 [...], codes of CATEGORIES.
    → {"object", "attribute", "relation"}: mean over the masked words of that kind, in nats, 0 where there is none. Chance: ln V each.
    """
    values, predicted = log_losses(logits, target)
    kind = category[predicted]
    losses: dict[str, Tensor] = {}
    for code, name in enumerate(CATEGORIES, start=1):
        chosen = values[kind == code]
        losses[name] = mean_of(chosen, len(chosen))
    return losses
