"""Parallel decoding: the schedule, what is kept, and the odds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from chiasm.config import DecodingConfig
from chiasm.errors import ConfigError
from chiasm.nn.fill import fill

LENGTH, SIZES = 16, (5, 3)


class Field:
    """Fixed logits a row and place; counts what is known at each pass and sees that no known code changes."""

    def __init__(self, rows: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.tables = [torch.randn(rows, LENGTH, size, generator=generator) * 2 for size in SIZES]
        self.seen: list[tuple[Tensor, Tensor]] = []

    def __call__(self, codes: Tensor, known: Tensor) -> list[Tensor]:
        if self.seen:
            before, was = self.seen[-1]
            assert (known | ~was).all() and torch.equal(codes[was], before[was])
        assert (codes[~known] == 0).all()
        self.seen.append((codes.clone(), known.clone()))
        return self.tables


def test_the_cosine_schedule() -> None:
    field = Field(2)
    codes = fill(field, 2, LENGTH, SIZES, 8, DecodingConfig(kind="sample", seed=1))
    open_ = [int((~known[0]).sum()) for _, known in field.seen]
    assert open_ == [LENGTH, *(math.floor(LENGTH * math.cos(math.pi * r / 16)) for r in range(1, 8))]
    assert all((~known).sum(1).unique().numel() == 1 for _, known in field.seen)
    assert codes.shape == (2, LENGTH, 2) and all((codes[..., g] < size).all() for g, size in enumerate(SIZES))


def test_the_surest_places_first() -> None:
    field = Field(2)
    codes = fill(field, 2, LENGTH, SIZES, 4, DecodingConfig())
    assert torch.equal(codes, torch.stack([table.argmax(-1) for table in field.tables], -1))
    sure = sum((table.log_softmax(-1).amax(-1) for table in field.tables), torch.zeros(()))
    for _, known in field.seen[1:]:
        for row in range(2):
            assert sure[row][known[row]].min() >= sure[row][~known[row]].max()


def test_more_rounds_than_places_fill_one_each() -> None:
    field = Field(1)
    fill(field, 1, LENGTH, SIZES, 50, DecodingConfig())
    assert len(field.seen) <= LENGTH and all(
        int(later.sum()) > int(known.sum()) for (_, known), (_, later) in zip(field.seen, field.seen[1:], strict=False)
    )


def test_a_row_draws_the_same_in_any_batch() -> None:
    field, options = Field(3), DecodingConfig(kind="sample", seed=4)
    together = fill(field, 3, LENGTH, SIZES, 5, options)
    alone = Field(3)
    alone.tables = [table[1:2] for table in alone.tables]
    assert torch.equal(fill(alone, 1, LENGTH, SIZES, 5, options, rows=[1]), together[1:2])


def test_samples_of_one_round_are_as_frequent_as_probable() -> None:
    logits = torch.tensor([2.0, 0.0, 1.0])
    codes = fill(lambda c, k: [logits.expand(*c.shape[:2], 3)], 100, 100, (3,), 1, DecodingConfig(kind="sample"))
    share = torch.bincount(codes.flatten(), minlength=3) / 10_000
    torch.testing.assert_close(share, logits.softmax(-1), atol=0.02, rtol=0)


def test_guidance_by_two_tables() -> None:
    field = Field(4)
    codes = fill(field, 2, LENGTH, SIZES, 3, DecodingConfig(guidance=3.0))
    for group, table in enumerate(field.tables):
        assert torch.equal(codes[..., group], (table[2:] + 3 * (table[:2] - table[2:])).argmax(-1))


def test_beams_do_not_fill() -> None:
    with pytest.raises(ConfigError, match="greedy or sampled"):
        fill(Field(1), 1, LENGTH, SIZES, 4, DecodingConfig(kind="beam"))
