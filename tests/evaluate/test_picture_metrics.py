"""PSNR and SSIM against loops that follow their definitions, and where drawn pictures are found."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.errors import DataError
from chiasm.evaluate.metrics.pictures import PSNR_LIMIT, nearest_pictures, nearest_vectors, psnr, ssim


@pytest.fixture
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Smooth pictures [4, 20, 17, 3], and the same with noise that grows from one to the next."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:20, :17]
    clean = np.stack([127 + 100 * np.sin((x * i + y) / 7 + c) for i in range(4) for c in range(3)])
    clean = clean.reshape(4, 3, 20, 17).transpose(0, 2, 3, 1)
    noisy = clean + rng.normal(0, 1, clean.shape) * np.array([2, 10, 30, 60])[:, None, None, None]
    return clean.astype(np.uint8), noisy.clip(0, 255).astype(np.uint8)


def test_psnr_follows_its_definition(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pictures
    expected = [
        20 * np.log10(255 / np.sqrt(np.mean((x.astype(float) - y.astype(float)) ** 2)))
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(psnr(a, b), expected)
    np.testing.assert_allclose(psnr(a, a), PSNR_LIMIT)
    black, white = np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 255, np.uint8)
    assert psnr(black, white)[0] == pytest.approx(0, abs=1e-9), "unsigned differences must not wrap around"
    with pytest.raises(DataError, match="one shape"):
        psnr(a, b[:, :-1])


def naive_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """One plane, window by window, with the paper's weighted moments."""
    grid = np.arange(11) - 5
    weight = np.exp(-(grid[:, None] ** 2 + grid[None] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            p, q = x[i : i + 11, j : j + 11].astype(float), y[i : i + 11, j : j + 11].astype(float)
            mp, mq = (weight * p).sum(), (weight * q).sum()
            vp, vq = (weight * (p - mp) ** 2).sum(), (weight * (q - mq) ** 2).sum()
            cov = (weight * (p - mp) * (q - mq)).sum()
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


def test_ssim_follows_its_definition(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pictures
    expected = [np.mean([naive_ssim(x[..., c], y[..., c]) for c in range(3)]) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(ssim(a, b), expected, rtol=1e-9)
    assert (np.diff(ssim(a, b)) < 0).all(), "more noise, less alike"
    luma = [naive_ssim(x @ [0.299, 0.587, 0.114], y @ [0.299, 0.587, 0.114]) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(ssim(a, b, grey=True), luma, rtol=1e-9)
    np.testing.assert_allclose(ssim(a, a), 1)
    with pytest.raises(DataError, match="at least 11"):
        ssim(a[:, :10], b[:, :10])


@pytest.mark.parametrize("side", [32, 64, 24])
def test_a_drawing_a_little_off_still_finds_its_picture(side: int) -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (40, 8, 8, 3))
    gallery = coarse.repeat(side // 8, 1).repeat(side // 8, 2).astype(np.uint8)
    drawn = np.clip(np.roll(gallery[:10], 1, axis=2) + rng.normal(0, 20, gallery[:10].shape), 0, 255).astype(np.uint8)
    found = nearest_pictures(drawn, gallery, np.arange(10), np.arange(40))
    np.testing.assert_array_equal(found.rank(), 1)
    wrong = nearest_pictures(drawn, gallery, np.arange(10, 20), np.arange(40))
    assert (wrong.rank() > 1).all() and not wrong.hit(1).any()


def test_ranks_are_by_distance_and_ties_are_drawn() -> None:
    gallery = np.array([[0, 0], [3, 0], [3, 0], [0, 10]], dtype=np.float32)
    identity = np.array([0, 1, 2, 0])
    found = nearest_vectors(np.array([[2.9, 0], [0, 6], [9, 0]], np.float32), gallery, np.array([1, 0, 0]), identity)
    # Two pictures are equal: each is first half the time. The second query's nearest right one is the far corner.
    np.testing.assert_array_equal(found.rank(), [1.5, 1, 3])
    np.testing.assert_array_equal(found.hit(1), [0.5, 1, 0])
    rng = np.random.default_rng(2)
    x, y = rng.normal(5, 1, (30, 12)).astype(np.float32), rng.normal(5, 2, (50, 12)).astype(np.float32)
    key, keys = rng.integers(0, 9, 30), np.concatenate([np.arange(9), rng.integers(0, 9, 41)])
    order = np.argsort(((x[:, None] - y[None]) ** 2).sum(-1), axis=1)
    expected = [1 + int(np.argmax(keys[row] == one)) for row, one in zip(order, key, strict=True)]
    np.testing.assert_array_equal(nearest_vectors(x, y, key, keys).rank(), expected)


def test_what_cannot_be_ranked_is_refused() -> None:
    blank = np.zeros((2, 32, 32, 3), np.uint8)
    with pytest.raises(DataError, match="same size"):
        nearest_pictures(blank, blank[:, :16, :16], np.arange(2), np.arange(2))
    with pytest.raises(DataError, match="no relevant item"):
        nearest_pictures(blank, blank, np.array([0, 7]), np.arange(2))
