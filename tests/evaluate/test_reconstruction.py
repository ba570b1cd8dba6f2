"""Measures of reconstruction against formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from chiasm.evaluate.metrics.pictures import psnr, ssim
from chiasm.evaluate.metrics.reconstruction import code_use, mel_distance


def pictures() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (2, 14, 16, 3), dtype=np.uint8)
    return a, np.clip(a.astype(int) + rng.integers(-40, 41, a.shape), 0, 255).astype(np.uint8)


def test_psnr() -> None:
    black, grey = np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 51, np.uint8)
    np.testing.assert_allclose(psnr(black, grey), -20 * np.log10(0.2))
    np.testing.assert_allclose(psnr(grey, grey), 100)
    a, b = pictures()
    for one, x, y in zip(psnr(a, b), a.astype(float), b.astype(float), strict=True):
        assert one == pytest.approx(10 * np.log10(255**2 / np.mean((x - y) ** 2)))


def test_ssim_against_the_formula_at_every_place() -> None:
    a, b = pictures()
    r = np.arange(-5, 6)
    window = np.exp(-(r[:, None] ** 2 + r[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    for found, one, two in zip(ssim(a, b), a / 255, b / 255, strict=True):
        values: list[float] = []
        for y in range(14 - 10):
            for x in range(16 - 10):
                for c in range(3):
                    p, q = one[y : y + 11, x : x + 11, c], two[y : y + 11, x : x + 11, c]
                    mp, mq = (window * p).sum(), (window * q).sum()
                    vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                    cov = (window * (p - mp) * (q - mq)).sum()
                    c1, c2 = 0.01**2, 0.03**2
                    values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
        assert found == pytest.approx(np.mean(values))
    np.testing.assert_allclose(ssim(a, a), 1)


def test_mel_distance_counts_valid_frames_only() -> None:
    a = np.zeros((2, 4, 80), np.uint8)
    b = np.full((2, 4, 80), 10, np.uint8)
    b[1, 2:] = 255
    valid = np.ones((2, 4), np.bool_)
    valid[1, 2:] = False
    np.testing.assert_allclose(mel_distance(a, b, valid), 10 * 90 / 255)


def test_code_use() -> None:
    assert code_use(np.arange(8), 8) == (pytest.approx(8.0), 1.0)
    assert code_use(np.zeros(5, np.int64), 8) == (pytest.approx(1.0), 0.125)
    assert code_use(np.array([0, 0, 1, 1]), 4) == (pytest.approx(2.0), 0.5)
