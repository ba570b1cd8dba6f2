"""Positions against their definitions and T5's own buckets."""

from __future__ import annotations

import math

import pytest
import torch

from chiasm.nn.positions import RelativeBias, Rotary, sinusoidal


def test_sinusoids_equal_the_formula() -> None:
    found = sinusoidal(7, 10)
    for position in range(7):
        for i in range(5):
            angle = position / 10000 ** (2 * i / 10)
            assert found[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert found[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_equal_t5s(bidirectional: bool) -> None:
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    distance = torch.arange(-600, 600)
    for buckets, maximum in ((32, 128), (8, 20)):
        found = RelativeBias(1, buckets, maximum, bidirectional).bucket(distance)
        expected = t5.T5Attention._relative_position_bucket(distance, bidirectional, buckets, maximum)
        assert torch.equal(found, expected)


def test_a_later_chunk_has_the_last_rows_of_the_bias() -> None:
    bias = RelativeBias(3)
    whole = bias(9, 9)
    assert whole.shape == (3, 9, 9)
    assert torch.equal(bias(2, 9, offset=7), whole[:, 7:])
    positions = torch.tensor([[0, 1, 2], [4, 0, 8]])
    given = bias.at(positions, positions)
    assert torch.equal(given[0], whole[:, :3, :3])
    assert torch.equal(given[1], whole[:, positions[1]][:, :, positions[1]])


def test_rotation_equals_complex_multiplication() -> None:
    torch.manual_seed(0)
    x, positions = torch.randn(2, 3, 5, 8), torch.randint(0, 1000, (2, 5))
    found = Rotary(8)(x, positions)
    for b in range(2):
        for n in range(5):
            for i in range(4):
                turn = complex(math.cos(angle := positions[b, n].item() * 10000 ** (-2 * i / 8)), math.sin(angle))
                for h in range(3):
                    pair = complex(x[b, h, n, 2 * i].item(), x[b, h, n, 2 * i + 1].item()) * turn
                    assert found[b, h, n, 2 * i].item() == pytest.approx(pair.real, abs=2e-4)
                    assert found[b, h, n, 2 * i + 1].item() == pytest.approx(pair.imag, abs=2e-4)


def test_rotated_products_depend_on_distance_alone() -> None:
    q, k = torch.randn(2, 1, 1, 1, 8)
    rotary = Rotary(8)

    def product(a: int, b: int) -> float:
        return (rotary(q, torch.tensor([[a]])) * rotary(k, torch.tensor([[b]]))).sum().item()

    assert product(3, 1) == pytest.approx(product(103, 101), abs=1e-4)
    assert product(3, 1) != pytest.approx(product(3, 2), abs=1e-4)
