"""DETR's set loss against transformers' and against every permutation."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from chiasm.objectives.detection import (
    WEIGHTS,
    assign,
    box_iou,
    centre_size,
    corners,
    detection,
    detection_chance,
    generalized_iou,
)
from chiasm.types import IGNORE


def boxes(*shape: int, seed: int = 0) -> Tensor:
    ends = torch.rand(*shape, 2, 2, generator=torch.Generator().manual_seed(seed)).sort(dim=-2).values
    return torch.cat([ends[..., 0, :], ends[..., 1, :]], dim=-1)


def example() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, boxes, labels and true boxes of three pictures with 3, 1 and no objects; 6 queries, 4 classes."""
    logits = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[2, 0, 2], [3, IGNORE, IGNORE], [IGNORE] * 3])
    return logits, boxes(3, 6), labels, boxes(3, 3, seed=2)


def test_known_overlaps() -> None:
    a = torch.tensor([[0.0, 0.0, 0.5, 0.5]])
    b = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.25, 0.0, 0.75, 0.5], [0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    torch.testing.assert_close(box_iou(a, b), torch.tensor([[1, 1 / 3, 0, 0.25]]))
    torch.testing.assert_close(generalized_iou(a, b), torch.tensor([[1, 1 / 3, -0.5, 0.25]]))
    point = torch.full((1, 4), 0.5)
    assert box_iou(point, point).item() == 0


def test_forms_of_a_box_turn_into_each_other() -> None:
    given = boxes(10)
    torch.testing.assert_close(corners(centre_size(given)), given)
    torch.testing.assert_close(centre_size(torch.tensor([0.2, 0.1, 0.6, 0.3])), torch.tensor([0.4, 0.2, 0.4, 0.2]))


def test_assignment_is_the_cheapest_of_all() -> None:
    logits, found, labels, wanted = example()
    query = assign(logits, found, labels, wanted)

    def cost(queries: tuple[int, ...]) -> float:
        total = 0.0
        for g, q in enumerate(queries):
            total -= logits[0, q].softmax(-1)[labels[0, g]].item()
            total += 5 * (centre_size(found[0, q]) - centre_size(wanted[0, g])).abs().sum().item()
            total -= 2 * generalized_iou(found[0, q : q + 1], wanted[0, g : g + 1]).item()
        return total

    assert tuple(query[0].tolist()) == min(itertools.permutations(range(6), 3), key=cost)
    assert query[1, 1:].tolist() == [IGNORE, IGNORE]
    assert query[2].tolist() == [IGNORE] * 3


def test_assignments_equal_those_of_transformers() -> None:
    from transformers.loss.loss_for_object_detection import HungarianMatcher

    logits = torch.randn(40, 12, 5, generator=torch.Generator().manual_seed(1))
    found, wanted = boxes(40, 12), boxes(40, 8, seed=2)
    labels = torch.randint(4, (40, 8), generator=torch.Generator().manual_seed(3))
    theirs = HungarianMatcher(1, 5, 2)(
        {"logits": logits, "pred_boxes": centre_size(found)},
        [{"class_labels": one, "boxes": centre_size(some)} for one, some in zip(labels, wanted, strict=True)],
    )
    mine = assign(logits, found, labels, wanted)
    for one, (queries, objects) in enumerate(theirs):
        assert mine[one, objects].tolist() == queries.tolist()


def test_more_objects_than_queries() -> None:
    logits, found, labels, wanted = example()
    query = assign(logits[:, :2], found[:, :2], labels, wanted)
    assert sorted(query[0].tolist()) == [IGNORE, 0, 1]
    assert all(loss.isfinite() for loss in detection(logits[:, :2], found[:, :2], labels, wanted).values())


def test_losses_equal_those_of_transformers() -> None:
    from transformers.loss.loss_for_object_detection import HungarianMatcher, ImageLoss, generalized_box_iou

    logits, found, labels, wanted = example()
    torch.testing.assert_close(generalized_iou(found[0], wanted[0]), generalized_box_iou(found[0], wanted[0]))
    real = labels != IGNORE
    targets = [
        {"class_labels": labels[i][real[i]], "boxes": centre_size(wanted[i][real[i]])} for i in range(len(labels))
    ]
    theirs = ImageLoss(HungarianMatcher(1, 5, 2), num_classes=4, eos_coef=0.1, losses=["labels", "boxes"])(
        {"logits": logits, "pred_boxes": centre_size(found)}, targets
    )
    mine = detection(logits, found, labels, wanted)
    assert set(mine) == set(WEIGHTS)
    for name, other in (("class", "loss_ce"), ("l1", "loss_bbox"), ("giou", "loss_giou")):
        torch.testing.assert_close(mine[name], theirs[other])


def test_padding_and_pictures_without_objects() -> None:
    logits, found, labels, wanted = example()
    expected = detection(logits, found, labels, wanted)
    longer = torch.cat([labels, torch.full((3, 2), IGNORE)], dim=1)
    padded = detection(logits, found, longer, torch.cat([wanted, torch.full((3, 2, 4), torch.nan)], dim=1))
    for name, loss in expected.items():
        torch.testing.assert_close(padded[name], loss)
    found.requires_grad_()
    empty = detection(logits, found, torch.full_like(labels, IGNORE), wanted)
    assert empty["l1"].item() == empty["giou"].item() == 0
    assert torch.autograd.grad(empty["l1"], found)[0].eq(0).all()
    torch.testing.assert_close(empty["class"], -logits.log_softmax(-1)[..., -1].mean())


def test_a_prediction_that_is_not_a_number_shows_in_the_loss() -> None:
    logits, found, labels, wanted = example()
    losses = detection(logits * torch.nan, found * torch.nan, labels, wanted)
    assert all(loss.isnan() for loss in losses.values())


def test_chance_is_the_mean_box_and_no_class() -> None:
    _, _, labels, wanted = example()
    mean = wanted[labels != IGNORE].mean(0).expand(3, 6, 4)
    losses = detection(torch.zeros(3, 6, 5), mean, labels, wanted)
    assert detection_chance(labels, wanted, 4) == pytest.approx({n: x.item() for n, x in losses.items()}, rel=1e-5)
    assert detection_chance(torch.full_like(labels, IGNORE), wanted, 4) == {"class": math.log(5), "l1": 0, "giou": 0}
