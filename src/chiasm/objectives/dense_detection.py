"""Detection without queries: every cell near the middle of an object says its class and how far the object's sides are (FCOS, arXiv 1904.01355, 3.1).

Legend: B pictures · n cells a side · C classes · G objects a picture at most. Boxes are x0 y0 x1 y1 as fractions of the picture's sides.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.objectives.detection import box_iou, generalized_iou
from chiasm.objectives.reduce import mean_of
from chiasm.types import IGNORE

MIDDLE = 0.5
"""The share of an object's width and height, about its middle, whose cells answer for it (FCOS's centre sampling)."""
SURE = 0.2
"""A cell that gives no class so much probability has found nothing."""
AGREEING = 0.5
"""Boxes of the same object that overlap its surest one more have a say in where it is."""


Found = tuple[tuple[float, float, float, float], int, float]
"""A box, its class, its probability."""


def cell_boxes(values: Tensor) -> Tensor:
    """How far the sides are from each cell's middle, as logs of cells: float32 [B, n, n, 4] (left, top, right, bottom) → boxes [B, n·n, 4]."""
    n = values.shape[1]
    middle = _middles(n, values.device)
    away = values.clamp(-4, 4).exp() / n
    return torch.cat([middle - away[..., :2], middle + away[..., 2:]], -1).flatten(1, 2)


def cell_targets(labels: Tensor, boxes: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """labels: int64 [B, G], IGNORE for padding; boxes: [B, G, 4] → class of each cell int64 [B, n·n], 0 for none and 1 + the object's class else,
    and its object's box [B, n·n, 4]. Where the middles of several overlap, the smallest object has the cell; every object has at least one."""
    middle = _middles(n, boxes.device).flatten(0, 1)[None, :, None]
    centre, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
    reach = (half * MIDDLE).clamp(min=0.5 / n + 1e-6)[:, None]
    real = (labels != IGNORE)[:, None]
    inside = ((middle - centre[:, None]).abs() <= reach).all(-1) & real
    area = torch.where(inside, half.prod(-1)[:, None].expand(inside.shape), torch.inf)
    smallest, which = area.min(-1)
    found = torch.where(smallest < torch.inf, labels.gather(1, which) + 1, 0)
    return found, boxes.gather(1, which[..., None].expand(-1, -1, 4))


def dense_detection(logits: Tensor, values: Tensor, labels: Tensor, boxes: Tensor) -> dict[str, Tensor]:
    """class: cross-entropy over nothing and C classes, the mean over objects' cells and the mean over the others, halved ·
    giou: 1 − generalised IoU, the mean over objects' cells, 0 … 2. logits: float32 [B, n, n, C + 1], class 0 for nothing; values: as `cell_boxes`.

    Cells without an object are some twenty times as many. Halving alone would have the logits say that they are as many: the share of
    each is taken out of them in the loss (logit adjustment, arXiv 2007.07314, 3), so that what is read are probabilities."""
    target, box = cell_targets(labels, boxes, logits.shape[1])
    target = target.flatten()
    rows, others = target.nonzero()[:, 0], (target == 0).nonzero()[:, 0]
    share = math.log(max(len(others), 1) / max(len(rows), 1))
    nothing = F.one_hot(torch.zeros((), dtype=torch.int64), logits.shape[-1]).to(logits)
    loss = F.cross_entropy(logits.flatten(0, 2) - share * nothing, target, reduction="none")
    mine, theirs = (x.flatten(0, 1).index_select(0, rows)[:, None] for x in (cell_boxes(values), box))
    overlap = generalized_iou(mine, theirs)[:, 0, 0]
    found = mean_of(loss.index_select(0, rows), len(rows))
    return {
        "class": (found + mean_of(loss.index_select(0, others), len(others))) / 2,
        "giou": mean_of(1 - overlap, len(rows)),
    }


@torch.no_grad()
def read_cells(logits: Tensor, values: Tensor, overlapping: float = 0.3) -> list[list[Found]]:
    """The objects of each picture, surest first: (box within the picture, class, probability). Greedy non-maximum suppression, class by class,
    from an IoU of `overlapping` on; the place is the mean, by probability, of the surest box and those beyond AGREEING of it (box voting,
    Gidaris and Komodakis 2015, arXiv 1505.01749, 3.3)."""
    share = logits.softmax(-1)[..., 1:].flatten(1, 2)
    boxes = cell_boxes(values).clamp(0, 1)
    found: list[list[Found]] = []
    for probability, box in zip(share, boxes, strict=True):
        cell, kind = (probability > SURE).nonzero(as_tuple=True)
        score = probability[cell, kind]
        order = score.argsort(descending=True, stable=True)
        cell, kind, score = cell[order], kind[order], score[order]
        mine = box[cell]
        overlap = box_iou(mine, mine) * (kind[:, None] == kind[None])
        left = torch.ones(len(cell), dtype=torch.bool, device=cell.device)
        rows: list[Found] = []
        for i in range(len(cell)):
            if left[i]:
                votes = score * (left & (overlap[i] > AGREEING))
                votes[i] = score[i]  # also where the box has no area, and overlaps not even itself
                x0, y0, x1, y1 = (votes @ mine / votes.sum()).tolist()
                rows.append(((x0, y0, x1, y1), int(kind[i]), float(score[i])))
                left &= overlap[i] <= overlapping
        found.append([row for row in rows if row[0][2] > row[0][0] and row[0][3] > row[0][1]])
    return found


def _middles(n: int, device: torch.device) -> Tensor:
    """x and y of the cells' middles: [n, n, 2]."""
    place = (torch.arange(n, device=device) + 0.5) / n
    return torch.stack([place[None].expand(n, n), place[:, None].expand(n, n)], -1)
