"""The linear baseline against what linear algebra says it must do."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.evaluate.metrics.ranks import SharedKey, retrieval
from chiasm.evaluate.retrieval import baseline
from chiasm.evaluate.retrieval.baseline import correlate, fit_baseline
from chiasm.evaluate.retrieval.raw import FRAMES, coarse_mel


def views(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two linear views of 5 shared causes, with noise of their own."""
    cause = rng.normal(size=(n, 5))
    mix = np.random.default_rng(9)
    x = cause @ mix.normal(size=(5, 12)) + 0.3 * rng.normal(size=(n, 12)) + 3.0
    y = cause @ mix.normal(size=(5, 20)) + 0.3 * rng.normal(size=(n, 20)) - 1.0
    return x.astype(np.float32), y.astype(np.float32)


def test_correlation_agrees_with_the_textbook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ridge and weights, the projections' correlations are CCA's: roots of Cxx⁻¹ Cxy Cyy⁻¹ Cyx."""
    monkeypatch.setattr(baseline, "RIDGE", 0.0)
    monkeypatch.setattr(baseline, "POWER", 0.0)
    x, y = views(400, np.random.default_rng(0))
    left, right = correlate(x, y)
    a, b = (x - x.mean(0)) @ left._matrix, (y - y.mean(0)) @ right._matrix
    found = [float(np.corrcoef(a[:, i], b[:, i])[0, 1]) for i in range(5)]
    cxx, cyy = np.cov(x.T.astype(float)), np.cov(y.T.astype(float))
    cxy = np.cov(x.T.astype(float), y.T.astype(float))[:12, 12:]
    roots = np.linalg.eigvals(np.linalg.inv(cxx) @ cxy @ np.linalg.inv(cyy) @ cxy.T)
    assert found == pytest.approx(np.sqrt(np.sort(roots.real)[::-1][:5]), abs=1e-3)


def test_unseen_pairs_of_linear_views_are_found() -> None:
    rng = np.random.default_rng(1)
    x, y = views(600, rng)
    left, right = correlate(x[:400], y[:400])
    a, b = left(x[400:]), right(y[400:])
    assert np.linalg.norm(a, axis=1) == pytest.approx(np.ones(200), abs=1e-5)
    key = np.arange(200)[:, None]
    assert retrieval(a, b, SharedKey(key, key)).r5 > 0.9


def test_only_train_rows_are_fitted() -> None:
    """Whatever the held-out items are, the train items' embeddings stay."""
    rng = np.random.default_rng(2)
    texts = [f"{('red', 'blue', 'green')[i % 3]} thing {i % 7}" for i in range(60)]
    pictures = list(rng.integers(0, 256, size=(60, 1728), dtype=np.uint8))
    rows = {"text": np.arange(60), "image": np.arange(60)}
    train = np.arange(60) < 40
    one = fit_baseline({"text": texts, "image": pictures}, rows, train).pairs["text", "image"]
    changed = [p if i < 40 else 255 - p for i, p in enumerate(pictures)]
    two = fit_baseline({"text": texts[:40] + ["zebra"] * 20, "image": changed}, rows, train).pairs["text", "image"]
    for before, after in zip(one, two, strict=True):
        assert before[:40] == pytest.approx(after[:40], abs=1e-4)
        assert not np.allclose(before[40:], after[40:], atol=1e-2)


def test_records_are_paired_by_row_and_sparse_modalities_explained() -> None:
    rng = np.random.default_rng(3)
    texts = [("red", "blue", "green", "yellow")[i % 4] for i in range(50)]
    pictures = [np.repeat(np.eye(4, dtype=np.uint8)[i % 4] * 200, 432) for i in range(50)]
    order = {"text": np.arange(0, 100, 2), "image": np.arange(0, 100, 2), "audio": np.array([1, 3])}
    raw = {"text": texts, "image": pictures, "audio": list(rng.random((2, FRAMES * 80)).astype(np.float16))}
    found = fit_baseline(raw, order, np.ones(100, dtype=bool))
    assert set(found.pairs) == {("text", "image")}
    assert found.reasons["text", "audio"].startswith("0 train rows have both text and audio")
    assert found.embedding("audio", "text") is None
    forward, back = found.embedding("text", "image"), found.embedding("image", "text")
    assert forward is not None and back is not None and forward[0] is back[1] and forward[1] is back[0]
    key = (np.arange(50) % 4)[:, None]
    assert retrieval(*forward, SharedKey(key, key)).r1 == 1.0


def test_texts_without_a_letter_in_common_do_not_stop_it() -> None:
    raw = {
        "text": [chr(0x4E00 + i) for i in range(20)],
        "image": [np.full(1728, i, dtype=np.uint8) for i in range(20)],
    }
    rows = {"text": np.arange(20), "image": np.arange(20)}
    found = fit_baseline(raw, rows, np.ones(20, dtype=bool))
    assert all(np.isfinite(side).all() for side in found.pairs["text", "image"])


@pytest.mark.parametrize("frames", [1, 5, 24, 25, 301])
def test_sounds_of_any_length_fill_the_grid(frames: int) -> None:
    mel = np.random.default_rng(frames).integers(0, 256, size=(frames, 80), dtype=np.uint8)
    grid = coarse_mel(mel)
    assert grid.shape == (FRAMES, 80)
    if frames == 24:
        assert np.array_equal(grid, mel.astype(np.float16))
    assert grid.min() >= mel.min() and grid.max() <= mel.max() + 0.5
    assert grid.astype(np.float64).mean() == pytest.approx(mel.mean(), abs=6)
