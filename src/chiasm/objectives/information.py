"""How much two views tell of each other, at least, by a contrastive loss."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InformationBound:
    """nats: the views share at least this much · ceiling: ln N, the most that N candidates can show ·
    saturated: the bound is within 5 % of its ceiling, so that more candidates would show more."""

    nats: float
    ceiling: float
    saturated: bool


def mutual_information_bound(loss: float, candidates: float) -> InformationBound:
    """I(a; b) ≥ ln N − loss (InfoNCE, arXiv 1807.03748, 2.3, Eq. 8 and A.1).

    loss: InfoNCE in nats, on data that training has not seen; with one positive a query; candidates: N, that positive included (a symmetric
    loss over n and m: √(n·m)). A loss above chance shows nothing: 0. → see InformationBound; chance: 0.
    """
    ceiling = math.log(candidates)
    nats = min(max(ceiling - loss, 0.0), ceiling)
    return InformationBound(nats, ceiling, nats >= 0.95 * ceiling)
