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


def small_boxes(seed: int) -> tuple[Tensor, Tensor]:
    """Labels and boxes of 64 pictures with 1 … 6 small objects each."""
    draw = torch.Generator().manual_seed(seed)
    centre, half = torch.rand(64, 6, 2, generator=draw) * 0.6 + 0.2, torch.rand(64, 6, 2, generator=draw) * 0.12 + 0.05
    there = torch.arange(6) < torch.randint(1, 7, (64, 1), generator=draw)
    return torch.where(there, 0, IGNORE), torch.cat([centre - half, centre + half], -1)


def blind(constants: Tensor, labels: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    logits = torch.zeros(len(labels), len(constants), 5)
    return detection(logits, constants.expand(len(labels), -1, -1), labels, wanted)


def test_chance_is_what_the_best_constant_boxes_reach() -> None:
    labels, wanted = small_boxes(0)
    chance = detection_chance(labels, wanted, 4, 12)
    assert chance == detection_chance(labels, wanted, 4, 12)
    assert chance["class"] == math.log(5)
    mean = blind(wanted[labels != IGNORE].mean(0).expand(12, 4), labels, wanted)
    assert chance["l1"] < 0.7 * mean["l1"]
    assert chance["giou"] < 0.8 * mean["giou"]
    logits = torch.randn(12, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    adam = torch.optim.Adam([logits], 0.05)
    for _ in range(150):  # as a model would learn them
        losses = blind(corners(logits.sigmoid()), labels, wanted)
        adam.zero_grad()
        (5 * losses["l1"] + 2 * losses["giou"]).backward()
        adam.step()
    losses = blind(corners(logits.sigmoid()), labels, wanted)
    for name in ("l1", "giou"):
        assert 0.85 * chance[name] < losses[name] < 1.15 * chance[name], name


def test_chance_takes_padding_for_nothing() -> None:
    labels, wanted = small_boxes(2)
    padded = torch.where((labels == IGNORE)[..., None], torch.nan, wanted)
    assert detection_chance(labels, padded, 4, 12) == detection_chance(labels, wanted, 4, 12)


def test_chance_of_fewer_objects_than_queries_and_of_none() -> None:
    _, _, labels, wanted = example()
    expected = pytest.approx({"class": math.log(5), "l1": 0, "giou": 0}, abs=1e-6)
    assert detection_chance(labels, wanted, 4, 6) == expected, "each object has its constant"
    assert detection_chance(labels, wanted, 4, 2)["l1"] > 0.01
    assert detection_chance(torch.full_like(labels, IGNORE), wanted, 4, 6) == {"class": math.log(5), "l1": 0, "giou": 0}
