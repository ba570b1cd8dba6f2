"""Neighbourhood layers against convolutions of torch, and against what stands beyond the edge."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from chiasm.nn.local import LocalBlock, Neighbours, cells, uncells


def seeded(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_the_plane_is_a_product_with_the_unfolded_input() -> None:
    layer, x = Neighbours(5, 7, plane=True), seeded(2, 6, 4, 5)
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    unfolded = torch.cat([padded[:, i : i + 6, j : j + 4] for i in range(3) for j in range(3)], -1)
    torch.testing.assert_close(layer(x), F.linear(unfolded, layer.weight, layer.bias), rtol=1e-5, atol=1e-5)


def test_the_line_is_a_convolution() -> None:
    layer, x = Neighbours(5, 7, plane=False), seeded(2, 9, 5)
    kernel = layer.weight.unflatten(1, (3, 5)).transpose(1, 2)
    expected = F.conv1d(x.transpose(1, 2), kernel, layer.bias, padding=1).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_what_is_not_valid_counts_as_beyond_the_edge() -> None:
    block, x = LocalBlock(5, plane=False), seeded(2, 9, 5)
    torch.nn.init.normal_(block.mix.weight)
    valid = torch.ones(2, 9, dtype=torch.bool)
    valid[1, 6:] = False
    changed = x.clone()
    changed[1, 6:] = 100
    torch.testing.assert_close(block(changed, valid)[1, :6], block(x[1:, :6])[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(block(changed, valid)[0], block(x[:1])[0], rtol=1e-5, atol=1e-5)


def test_a_block_begins_as_the_identity() -> None:
    x = seeded(1, 4, 4, 6)
    block = LocalBlock(6, plane=True)
    assert block.mix.bias is not None
    torch.testing.assert_close(block(x), x + block.mix.bias)


def test_space_to_depth_and_back() -> None:
    x = seeded(2, 8, 4, 3)
    deep = cells(x, 2)
    assert deep.shape == (2, 4, 2, 12)
    assert torch.equal(deep[1, 3, 1].reshape(2, 2, 3), x[1, 6:8, 2:4])
    assert torch.equal(uncells(deep, 2), x)
