"""Detection by cells: what the loss aims at is what reading gives back."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from chiasm.objectives.dense_detection import cell_boxes, cell_targets, dense_detection, read_cells
from chiasm.types import IGNORE

BOXES = torch.tensor(
    [
        [[0.1, 0.1, 0.4, 0.5], [0.5, 0.5, 0.95, 0.9], [0.0, 0.8, 0.06, 0.86]],
        [[0.2, 0.2, 0.8, 0.8], [0.4, 0.4, 0.6, 0.6], [0.0, 0.0, 0.0, 0.0]],
    ]
)
LABELS = torch.tensor([[0, 2, 1], [1, 1, IGNORE]])
N = 16


def perfect() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and distances that say exactly what the targets are."""
    target, box = cell_targets(LABELS, BOXES, N)
    logits = 20 * F.one_hot(target, 4).float().unflatten(1, (N, N))
    place = (torch.arange(N) + 0.5) / N
    middle = torch.stack([place[None].expand(N, N), place[:, None].expand(N, N)], -1).flatten(0, 1)
    away = torch.cat([middle - box[..., :2], box[..., 2:] - middle], -1)
    return logits, (away * N).clamp(min=1e-3).log().unflatten(1, (N, N))


def test_reading_what_the_loss_aims_at_gives_the_objects() -> None:
    logits, values = perfect()
    for found, labels, boxes in zip(read_cells(logits, values), LABELS, BOXES, strict=True):
        real = labels != IGNORE
        assert sorted(kind for _, kind, _ in found) == sorted(labels[real].tolist())
        for box, kind in zip(boxes[real], labels[real].tolist(), strict=True):
            nearest = min((torch.tensor(b) - box).abs().max() for b, k, _ in found if k == kind)
            assert nearest < 0.03  # the smallest box is smaller than its cell's clamp lets it be told


def test_the_loss_is_low_where_all_is_right_and_has_a_gradient_elsewhere() -> None:
    logits, values = perfect()
    right = dense_detection(logits, values, LABELS, BOXES)
    assert right["class"] < 1e-3
    assert right["giou"] < 0.1
    wrong = torch.zeros_like(logits).requires_grad_(), torch.zeros_like(values).requires_grad_()
    losses = dense_detection(*wrong, LABELS, BOXES)
    share = len(cell_targets(LABELS, BOXES, N)[0].nonzero()) / (2 * N * N)
    # What knows only how frequent objects are, and reads so, is at chance in the balanced loss.
    prior = torch.tensor([1 - share, share / 3, share / 3, share / 3]).log().expand_as(logits)
    assert torch.allclose(
        dense_detection(prior, values, LABELS, BOXES)["class"],
        (torch.log(torch.tensor(2.0)) + torch.log(torch.tensor(6.0))) / 2,
    )
    assert losses["class"] > 1
    sum(losses.values()).backward()
    assert wrong[0].grad is not None and wrong[0].grad.abs().sum() > 0
    assert wrong[1].grad is not None and wrong[1].grad.abs().sum() > 0


def test_the_smaller_of_two_objects_has_the_cell_and_each_has_one() -> None:
    target, box = cell_targets(LABELS, BOXES, N)
    middle = N // 2 * N + N // 2
    assert torch.equal(box[1, middle], BOXES[1, 1])
    for labels, boxes, kinds, places in zip(LABELS, BOXES, target, box, strict=True):
        for label, one in zip(labels.tolist(), boxes, strict=True):
            if label != IGNORE:
                assert bool(((places == one).all(-1) & (kinds == label + 1)).any())


def test_pictures_without_objects_and_padding_cost_nothing_but_the_background() -> None:
    logits, values = torch.zeros(2, N, N, 4), torch.zeros(2, N, N, 4)
    losses = dense_detection(logits, values, torch.full((2, 3), IGNORE), BOXES)
    assert losses["giou"] == 0
    assert 0 < float(losses["class"]) < 20


def test_copies_are_suppressed_within_a_class_only() -> None:
    logits = torch.full((1, 4, 4, 3), -20.0)
    logits[..., 0] = 0
    logits[0, 1, 1] = torch.tensor([-20.0, 9.0, -20.0])
    logits[0, 1, 2] = torch.tensor([-20.0, 8.0, 7.0])
    values = torch.log(torch.full((1, 4, 4, 4), 1.5))
    values[0, 1, 2, 0] = torch.log(torch.tensor(2.5))
    values[0, 1, 2, 2] = torch.log(torch.tensor(0.5))
    (found,) = read_cells(logits, values)
    assert [kind for _, kind, _ in found] == [0, 1]
    assert torch.allclose(cell_boxes(values).flatten(0, 1)[5], torch.tensor([0.0, 0.0, 0.75, 0.75]))


def test_boxes_of_one_object_vote_on_where_it_is() -> None:
    """A naive reading: groups about the surest, those that overlap it by more than half weighed by their probabilities."""
    logits, values = torch.zeros(1, N, N, 3), torch.zeros(1, N, N, 4)
    logits[..., 0] = 10
    boxes = {
        (4, 4): (0.1, 0.1, 0.5, 0.5),
        (4, 5): (0.12, 0.1, 0.54, 0.5),
        (2, 5): (0.1, 0.1, 0.5, 0.26),
        (9, 9): (0.58, 0.58, 0.62, 0.7),
    }
    sure = {(4, 4): 0.9, (4, 5): 0.6, (2, 5): 0.5, (9, 9): 0.4}
    for (row, column), (x0, y0, x1, y1) in boxes.items():
        x, y = (column + 0.5) / N, (row + 0.5) / N
        values[0, row, column] = (torch.tensor([x - x0, y - y0, x1 - x, y1 - y]) * N).log()
        share = sure[row, column]
        logits[0, row, column] = torch.tensor([1 - share, share, 0.0]).clamp(min=1e-9).log()
    (found,) = read_cells(logits, values)
    assert [round(score, 3) for _, _, score in found] == [0.9, 0.4], "two objects: the third box is a part of the first"
    mean = (torch.tensor(boxes[4, 4]) * 0.9 + torch.tensor(boxes[4, 5]) * 0.6) / 1.5
    assert torch.allclose(torch.tensor(found[0][0]), mean, atol=1e-3), "the third overlaps too little to have a vote"
