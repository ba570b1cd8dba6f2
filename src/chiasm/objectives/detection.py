"""Set prediction of boxes: each object is matched with one query, and the loss is taken between them (DETR, arXiv 2005.12872, 3.1).

Boxes are x0 y0 x1 y1 as fractions of the picture's sides; DETR's centre-size form is used inside, where its L1 distance asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.objectives.reduce import mean_of, wide
from chiasm.types import IGNORE

WEIGHTS: Mapping[str, float] = {"class": 1.0, "l1": 5.0, "giou": 2.0}
"""How much each loss counts, in the matching as in the sum (arXiv 2005.12872, A.4)."""

NO_OBJECT_WEIGHT = 0.1
"""How much a query counts that has no object: most have none (arXiv 2005.12872, 3.1)."""


def centre_size(boxes: Tensor) -> Tensor:
    """x0 y0 x1 y1 → centre x, centre y, width, height; [..., 4]."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def corners(boxes: Tensor) -> Tensor:
    """Centre x, centre y, width, height → x0 y0 x1 y1; [..., 4]."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union, 0 … 1. a: [..., n, 4]; b: [..., m, 4] → [..., n, m]; 0 for two boxes without area."""
    intersection, union = _overlap(a[..., :, None, :], b[..., None, :, :])
    return intersection / union.clamp(min=_TINY)


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU less the share of the enclosing box that neither covers, −1 … 1 (arXiv 1902.09630, Algorithm 1).

    a: [..., n, 4]; b: [..., m, 4] → [..., n, m]."""
    return _generalized(a[..., :, None, :], b[..., None, :, :])


@torch.no_grad()
def assign(logits: Tensor, boxes: Tensor, labels: Tensor, target_boxes: Tensor) -> Tensor:
    """Which query predicts which object, by the cheapest one-to-one matching (Hungarian; DETR 3.1, Eq. 1).

    logits: [B, Q, C + 1], the last being "no object"; boxes: [B, Q, 4]; labels: int64 [B, G], IGNORE for padding; target_boxes: [B, G, 4].
    The cost is −probability of the class + 5·L1 − 2·generalised IoU. → int64 [B, G]: the query of each object, IGNORE for padding and for objects
    beyond the Q cheapest.
    """
    from scipy.optimize import linear_sum_assignment  # not before it is needed: importing it takes a while

    probability, boxes, target_boxes = wide(logits).softmax(-1), wide(boxes), wide(target_boxes)
    classes = labels.clamp(min=0)[:, None, :].expand(-1, logits.shape[1], -1)
    distance = (centre_size(boxes)[:, :, None] - centre_size(target_boxes)[:, None]).abs().sum(-1)
    cost = (
        -WEIGHTS["class"] * probability.gather(2, classes)
        + WEIGHTS["l1"] * distance
        - WEIGHTS["giou"] * generalized_iou(boxes, target_boxes)
    )
    # Not a number costs more than any number: the matching goes through, and the loss is NaN, which the training loop reports.
    table = np.nan_to_num(cost.double().cpu().numpy(), nan=1e9, posinf=1e9, neginf=1e9)
    real = (labels != IGNORE).cpu().numpy()
    query = np.full(labels.shape, IGNORE, dtype=np.int64)
    for one, (costs, objects) in enumerate(zip(table, real, strict=True)):
        (places,) = objects.nonzero()
        queries, chosen = linear_sum_assignment(costs[:, places])
        query[one, places[chosen]] = queries
    return torch.from_numpy(query).to(labels.device)


def detection(logits: Tensor, boxes: Tensor, labels: Tensor, target_boxes: Tensor) -> dict[str, Tensor]:
    """DETR's losses (arXiv 2005.12872, 3.1 and A.2) after `assign`; shapes as there. Sum them with WEIGHTS.

    class: cross-entropy over C + 1, in nats, queries without object at NO_OBJECT_WEIGHT, chance ln(C + 1) · l1: summed over centre x, centre y, width
    and height, fractions of the picture · giou: 1 − generalised IoU, 0 … 2. The last two are means over the objects of the batch; for
    boxes that know nothing see `detection_chance`.
    """
    query = assign(logits, boxes, labels, target_boxes)
    matched = query != IGNORE
    record = torch.arange(len(labels), device=labels.device)[:, None].expand_as(query)[matched]
    query, count = query[matched], len(query[matched])
    no_object = logits.shape[-1] - 1
    target = torch.full(logits.shape[:2], no_object, dtype=torch.int64, device=logits.device)
    target[record, query] = labels[matched]
    weight = torch.ones(no_object + 1, device=logits.device, dtype=wide(logits).dtype)
    weight[no_object] = NO_OBJECT_WEIGHT
    found, wanted = wide(boxes[record, query]), wide(target_boxes[matched])
    return {
        "class": F.cross_entropy(wide(logits).flatten(0, 1), target.flatten(), weight),
        "l1": mean_of((centre_size(found) - centre_size(wanted)).abs(), count),
        "giou": mean_of(1 - _generalized(found, wanted), count),
    }


@torch.no_grad()
def detection_chance(labels: Tensor, target_boxes: Tensor, classes: int, queries: int) -> dict[str, float]:
    """What each loss of `detection` is where nothing of the picture is known: every class equally likely, and the same `queries` boxes for every
    picture, as a model can learn them that never looks. They are the centres of the batch's objects by k-means, matched with each picture's
    objects by `assign`. Boxes fitted to the batch by gradient are a little better still (giou by a tenth); a batch of no more objects than
    queries is met exactly, l1 and giou 0, as one without objects is.
    """
    real = labels != IGNORE
    guessed = _constants(wide(target_boxes[real]), queries) if real.any() else wide(target_boxes.new_zeros(queries, 4))
    uniform = torch.zeros(len(labels), queries, classes + 1, device=labels.device)
    losses = detection(uniform, guessed.expand(len(labels), -1, -1), labels, target_boxes)
    return {"class": float(np.log(classes + 1)), "l1": float(losses["l1"]), "giou": float(losses["giou"])}


_ROUNDS = 5
"""Of k-means; more lower the losses by hardly anything."""


def _constants(boxes: Tensor, count: int) -> Tensor:
    """`count` boxes that stand for all [n, 4] by Lloyd's iterations over centre and size, started from boxes evenly spaced in the order of
    their centres → [count, 4]. A centre that no box is nearest to stays where it is."""
    points = centre_size(boxes)
    order = (points[:, 0] + points[:, 1]).argsort(stable=True)
    chosen = points[order[torch.arange(count, device=boxes.device) * len(points) // count]]
    for _ in range(_ROUNDS):
        nearest = F.one_hot(torch.cdist(points, chosen).argmin(1), count).to(points)
        members = nearest.sum(0)[:, None]
        chosen = torch.where(members > 0, nearest.T @ points / members.clamp(min=1), chosen)
    return corners(chosen)


_TINY = 1e-9
"""Keeps a box without area from dividing by 0; no pixel's area comes near it."""


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Areas of intersection and union of boxes that stand beside each other after broadcasting."""
    inside = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    intersection = inside.prod(-1)
    return intersection, (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - intersection


def _generalized(a: Tensor, b: Tensor) -> Tensor:
    intersection, union = _overlap(a, b)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    return intersection / union.clamp(min=_TINY) - (hull - union) / hull.clamp(min=_TINY)
