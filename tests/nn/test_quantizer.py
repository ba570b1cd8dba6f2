"""Finite scalar quantisation: levels, codes and gradients."""

from __future__ import annotations

import pytest
import torch

from chiasm.nn.quantizer import Quantizer

CASES = [((8, 8, 8), 2), ((8, 5, 5, 5), 3), ((3,), 1), ((2, 7), 2), ((4, 4), 1)]


@pytest.mark.parametrize(("levels", "groups"), CASES)
def test_each_channel_takes_every_one_of_its_levels_and_no_other(levels: tuple[int, ...], groups: int) -> None:
    quantizer = Quantizer(levels, groups)
    sweep = torch.linspace(-6, 6, 1001)[:, None].expand(-1, quantizer.width)
    found = quantizer(sweep)
    assert found.shape == sweep.shape and found.dtype == torch.float32
    for channel, count in enumerate(levels * groups):
        values = found[:, channel].unique()
        half = count // 2
        low = -half if count % 2 == 0 else -(count - 1) // 2
        expected = torch.arange(low, low + count) / half
        torch.testing.assert_close(values, expected)
    assert torch.equal(quantizer(torch.zeros(1, quantizer.width)), torch.zeros(1, quantizer.width))


@pytest.mark.parametrize(("levels", "groups"), CASES)
def test_codes_and_latents_are_two_names_of_the_same(levels: tuple[int, ...], groups: int) -> None:
    quantizer = Quantizer(levels, groups)
    latents = torch.randn(50, 3, quantizer.width, generator=torch.Generator().manual_seed(0)) * 2
    codes = quantizer.encode(latents)
    assert codes.shape == (50, 3, groups) and codes.dtype == torch.int64
    torch.testing.assert_close(quantizer.decode(codes), quantizer(latents), rtol=0, atol=0)
    every = torch.arange(quantizer.sizes[0])[:, None].expand(-1, groups)
    back = quantizer.decode(every)
    assert len(back.unique(dim=0)) == quantizer.sizes[0], "no two codes mean the same"
    # The latents that stand for a level, before the bound: what encodes them must give the code again.
    bound = (back.unflatten(-1, (groups, -1)) * (quantizer._count // 2) + quantizer._aside) / quantizer._half  # pyright: ignore[reportPrivateUsage]
    raw = (torch.atanh(bound) - quantizer._shift).flatten(-2)  # pyright: ignore[reportPrivateUsage]
    assert torch.equal(quantizer.encode(raw), every)


def test_the_gradient_passes_through_the_rounding() -> None:
    quantizer = Quantizer((8, 5), 1)
    latents = torch.tensor([[0.3, -0.7]], requires_grad=True)
    quantizer(latents).sum().backward()
    found = latents.grad
    smooth = latents.detach().clone().requires_grad_()
    bounded = quantizer._bounded(smooth)  # pyright: ignore[reportPrivateUsage]
    (bounded / (quantizer._count // 2)).sum().backward()  # pyright: ignore[reportPrivateUsage]
    assert found is not None and smooth.grad is not None
    torch.testing.assert_close(found, smooth.grad)


def test_a_code_that_there_is_not_is_refused() -> None:
    quantizer = Quantizer((8, 8), 2)
    for wrong in (-1, 64):
        with pytest.raises(ValueError, match="they are 0 to 63"):
            quantizer.decode(torch.tensor([[0, wrong]]))
    with pytest.raises(ValueError, match="two levels"):
        Quantizer((8, 1), 2)
    assert quantizer.decode(torch.zeros(0, 2, dtype=torch.int64)).shape == (0, 4)


def test_nothing_of_it_is_stored() -> None:
    assert not Quantizer((8, 8), 2).state_dict()
