"""Alignment of two sets of which no pair is known: which point is which, and the map that carries one space onto the other.

`align_unpaired` finds an orthogonal map in closed form; `unpaired` is a loss for maps that are trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.objectives.reduce import wide
from chiasm.objectives.transport import sinkhorn


@dataclass(frozen=True, slots=True)
class Alignment:
    """map: orthogonal [E, E], a @ map lies on b · plan: [n, m], how much of each a is each b, summing to 1 ·
    cost: ⟨plan, squared distance⟩ after the map, to compare starts and sets by."""

    map: Tensor
    plan: Tensor
    cost: float


def procrustes(a: Tensor, b: Tensor, plan: Tensor | None = None) -> Tensor:
    """The orthogonal W [E, E] for which Σ planᵢⱼ‖aᵢ W − bⱼ‖² is least (Schönemann 1966, doi 10.1007/BF02289451).

    a: [n, E]; b: [m, E]; plan: [n, m], or None where row i of a belongs to row i of b."""
    u, _, vt = torch.linalg.svd(a.T @ (b if plan is None else plan @ b))
    return u @ vt


@torch.no_grad()
def similarity_profiles(x: Tensor, length: int) -> Tensor:
    """What each point's similarities to its own set look like, sorted: a description that no rotation and no shuffling changes.

    x: [n, E] → [n, length], quantiles of each row of X Xᵀ, so that sets of different sizes compare (arXiv 1805.06297, 3.2).
    """
    ranked = (x @ x.T).sort(dim=1).values
    return F.interpolate(ranked[:, None], size=length, mode="linear", align_corners=True)[:, 0]


@torch.no_grad()
def align_unpaired(a: Tensor, b: Tensor, epsilon: float = 0.01, rounds: int = 20, iterations: int = 50) -> Alignment:
    """Wasserstein–Procrustes (arXiv 1805.11222, 3): in turn the best plan for the map and the best map for the plan.

    a: [n, E]; b: [m, E], the same things in any order, seen through spaces that differ by a rotation or reflection; centre and scale them
    alike before. The problem is not convex, so the first plan comes from `similarity_profiles`: the more evenly points are spread over all
    directions, the more alike these are and the less noise it stands. epsilon: the entropy at the end, as a share of the mean cost; it
    falls to it over the rounds from ten times as much. Chance: 1/m of the points find their partner.
    """
    a, b = wide(a), wide(b)
    length = min(len(a), len(b))
    cost = torch.cdist(similarity_profiles(a, length), similarity_profiles(b, length)).square()
    plan = sinkhorn(cost, epsilon * _scale(cost), iterations)
    turn = procrustes(a, b, plan)
    for number in range(rounds):
        cost = torch.cdist(a @ turn, b).square()
        softness = 10 ** (1 - number / max(rounds - 1, 1))
        plan = sinkhorn(cost, softness * epsilon * _scale(cost), iterations)
        turn = procrustes(a, b, plan)
    cost = torch.cdist(a @ turn, b).square()
    return Alignment(turn, plan, float((plan * cost).sum()))


def cycle_consistency(a: Tensor, ab: Callable[[Tensor], Tensor], ba: Callable[[Tensor], Tensor]) -> Tensor:
    """How far a point is from itself after the way there and back (CycleGAN, arXiv 1703.10593, 3.2, with a squared error).

    a: [n, E]; ab, ba: the maps from a's space to b's and back. → the mean over points of ‖ba(ab(a)) − a‖², in squared units of a.
    An orthogonal map and its transpose have 0; an answer of 0 everywhere has the mean ‖a‖².
    """
    return (wide(ba(ab(a))) - wide(a)).square().sum(-1).mean()


def unpaired(
    a: Tensor,
    b: Tensor,
    ab: Callable[[Tensor], Tensor],
    ba: Callable[[Tensor], Tensor],
    epsilon: float = 0.05,
    iterations: int = 50,
) -> dict[str, Tensor]:
    """Losses for two maps between unpaired sets: each should land on the other set, and lead back.

    a: [n, Ea]; b: [m, Eb]; ab, ba: maps between the spaces; epsilon: the plan's entropy, as a share of the mean cost.
    transport: the cost of carrying ab(a) to b, and ba(b) to a (arXiv 1805.11222, 2) · cycle: `cycle_consistency` from both ends.
    → {"transport", "cycle"}, in squared units of the spaces.
    """
    return {
        "transport": _transported(ab(a), b, epsilon, iterations) + _transported(ba(b), a, epsilon, iterations),
        "cycle": cycle_consistency(a, ab, ba) + cycle_consistency(b, ba, ab),
    }


def _transported(moved: Tensor, goal: Tensor, epsilon: float, iterations: int) -> Tensor:
    moved, goal = wide(moved), wide(goal)
    cost = (moved[:, None] - goal[None]).square().sum(-1)
    return (cost * sinkhorn(cost.detach(), epsilon * _scale(cost), iterations)).sum()


def _scale(cost: Tensor) -> float:
    """The mean cost, which epsilon is a share of; 1 where all costs are 0."""
    return float(cost.detach().mean()) or 1.0
