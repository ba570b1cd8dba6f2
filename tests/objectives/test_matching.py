"""Matching, answers, and that hard negatives follow the similarity and never share the identity."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from chiasm.objectives.matching import (
    answer_class,
    answer_scores,
    answer_scores_chance,
    hard_negatives,
    matching,
    matching_chance,
)
from chiasm.types import IGNORE


def test_matching_is_cross_entropy_over_known_pairs() -> None:
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    matched = torch.tensor([1, 0, IGNORE, 1])
    expected = F.cross_entropy(logits[[0, 1, 3]], torch.tensor([1, 0, 1]))
    torch.testing.assert_close(matching(logits, matched), expected)
    torch.testing.assert_close(matching(logits[:2], torch.tensor([True, False])), matching(logits[:2], matched[:2]))
    assert matching(logits, torch.full((4,), IGNORE)).item() == 0


def test_matching_chance_is_what_the_best_constant_reaches() -> None:
    matched = torch.tensor([1, 0, 0, IGNORE])
    constant = torch.tensor([2 / 3, 1 / 3]).log().expand(4, 2)
    assert matching_chance(matched) == pytest.approx(matching(constant, matched).item())
    assert matching_chance(torch.tensor([True, False])) == pytest.approx(math.log(2))
    assert matching_chance(torch.tensor([1, 1])) == 0


def test_hard_negatives_follow_the_softmax() -> None:
    similarity = torch.tensor([[9.0, 1.0, 0.0, 2.0, 1.5]])
    a, b = torch.tensor([0]), torch.tensor([0, 1, 2, 3, 4])
    n = 20_000
    u = (torch.arange(n) + 0.5) / n
    index, found = hard_negatives(similarity.expand(n, 5), a.expand(n), b, u)
    assert found.all()
    shares = torch.bincount(index, minlength=5) / n
    expected = similarity[0].masked_fill(b == 0, -torch.inf).softmax(0)
    torch.testing.assert_close(shares, expected, rtol=0, atol=2 / n)


def test_hard_negatives_never_share_the_identity() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randint(5, (300,), generator=generator), torch.randint(5, (40,), generator=generator)
    similarity = 100 * (a[:, None] == b[None]) + 1000 * torch.randn(300, 40, generator=generator)
    ends = torch.tensor([0.0, 1 - 2**-24, 1.0])
    for u in (torch.rand(300, generator=generator), *(end.expand(300) for end in ends)):
        index, found = hard_negatives(similarity, a, b, u)
        assert found.all()
        assert (b[index] != a).all()


def test_hard_negatives_say_where_there_is_none() -> None:
    index, found = hard_negatives(
        torch.zeros(2, 3), torch.tensor([1, 2]), torch.tensor([1, 1, 1]), torch.tensor([0.5, 0.5])
    )
    assert found.tolist() == [False, True]
    assert index.tolist() == [0, 1]


def test_answer_scores_sum_over_answers() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, scores = torch.randn(3, 6, generator=generator), torch.rand(3, 6, generator=generator)
    p = logits.sigmoid()
    expected = -(scores * p.log() + (1 - scores) * (1 - p).log()).sum(1).mean()
    torch.testing.assert_close(answer_scores(logits, scores), expected)
    torch.testing.assert_close(answer_scores(torch.zeros(3, 6), scores).item(), 6 * math.log(2))
    constant = scores.mean(0).logit().expand(3, 6)
    assert answer_scores_chance(scores) == pytest.approx(answer_scores(constant, scores).item(), rel=1e-5)
    assert math.isfinite(answer_scores_chance(torch.zeros(3, 6)))


def test_answer_class_passes_over_answers_out_of_the_list() -> None:
    logits = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([4, IGNORE, 0])
    torch.testing.assert_close(answer_class(logits, target), F.cross_entropy(logits[[0, 2]], target[[0, 2]]))
    torch.testing.assert_close(answer_class(torch.zeros(3, 6), target).item(), math.log(6))
