"""Near pairs against all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.dataset import near
from chiasm.dataset.near import bands, cosine_pairs, distances, hamming_search, jaccards, level_pairs, minhash_pairs
from chiasm.dataset.signatures import minhash, shingles


def flipped(words, radius, random):
    """Copies of `words` with up to twice `radius` bits turned."""
    copies = words.copy()
    for row in copies:
        for bit in random.choice(64 * len(row), random.integers(0, 2 * radius + 1), replace=False):
            row[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return copies


@pytest.mark.parametrize(("width", "radius"), [(1, 0), (1, 3), (1, 10), (2, 12), (4, 40)])
@pytest.mark.parametrize("looks_up", [True, False])
def test_hamming_search_finds_what_comparing_all_finds(width, radius, looks_up, monkeypatch):
    monkeypatch.setattr(near, "LOOK_UP", 0 if looks_up else 10**9)
    random = np.random.default_rng(width * 100 + radius)
    words = random.integers(0, 2**64, (150, width), np.uint64)
    queries = flipped(words[:80], radius, random)
    expected = np.argwhere(distances(queries[:, None], words[None]) <= radius)
    assert len(expected) > 10
    np.testing.assert_array_equal(hamming_search(queries, words, radius), expected)


def test_nothing_is_near_nothing():
    words = np.array([[0], [1], [3], [2**64 - 1]], np.uint64)
    assert hamming_search(words[:0], words, 5).shape == hamming_search(words, words[:0], 5).shape == (0, 2)


def test_bands_find_pairs_at_the_threshold_and_leave_out_what_is_far():
    count, rows = bands(128, 0.8)
    assert count * rows <= 128
    assert 1 - (1 - 0.8**rows) ** count >= 0.999
    assert 1 - (1 - 0.3**rows) ** count < 0.1


TEXTS = [f"a {size} {colour} {thing} on the {place}" for size in ("big", "small") for colour in ("red", "green", "blue")
         for thing in ("kettle", "bicycle", "teapot") for place in ("table in the kitchen", "roof of the house")]  # fmt: skip


def sets(texts):
    values, starts = shingles(texts)
    return [set(part.tolist()) for part in np.split(values, starts[1:])]


@pytest.mark.parametrize("threshold", [0.5, 0.6])
def test_minhash_and_jaccard_find_the_pairs_of_comparing_all(threshold):
    members = sets(TEXTS)
    pairs = np.array([(i, j) for i in range(len(TEXTS)) for j in range(i + 1, len(TEXTS))])
    exact = np.array([len(members[i] & members[j]) / len(members[i] | members[j]) for i, j in pairs])
    np.testing.assert_allclose(jaccards(*shingles(TEXTS), pairs), exact)
    found = minhash_pairs(minhash(TEXTS), threshold)
    kept = {tuple(pair) for pair in found[jaccards(*shingles(TEXTS), found) >= threshold].tolist()}
    assert kept == {tuple(pair) for pair in pairs[exact >= threshold].tolist()}
    assert len(kept) > 5


def test_a_crowd_is_paired_with_its_first():
    hashes = minhash(["one and the same text"] * 50)
    assert len(minhash_pairs(hashes, 0.8)) == 50 * 49 // 2
    assert minhash_pairs(hashes, 0.8, crowd=10).tolist() == [[0, other] for other in range(1, 50)]


def test_cosine_pairs_against_all_and_nan_is_near_to_nothing(monkeypatch):
    random = np.random.default_rng(0)
    vectors = random.normal(size=(300, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[7] = np.nan
    expected = [(i, j) for i in range(300) for j in range(i + 1, 300) if vectors[i] @ vectors[j] >= 0.9]
    assert [tuple(pair) for pair in cosine_pairs(vectors, 0.9).tolist()] == expected
    assert expected


@pytest.mark.parametrize(("apart", "most"), [(0.0, 200), (2.5, 200), (30.0, 200), (2.5, 1), (30.0, 2), (60.0, 20)])
def test_level_pairs_are_those_that_comparing_all_finds(apart, most, monkeypatch):
    monkeypatch.setattr(near, "_CELLS", 2**10)  # several blocks
    monkeypatch.setattr(near, "_FIRST", 2)
    random = np.random.default_rng(4)
    levels = random.integers(0, 256, (60, 12)).astype(np.uint8)
    moved = np.clip(levels + random.integers(-4, 5, levels.shape), 0, 255).astype(np.uint8)
    levels = np.concatenate([levels, moved, levels[:5]])
    gaps = np.abs(levels[:, None].astype(int) - levels).mean(axis=2)
    near_each = gaps <= apart
    few = near_each.sum(axis=1) - 1 <= most
    expected = np.argwhere(np.triu(near_each & few & few[:, None], 1))
    assert len(expected) >= 5
    np.testing.assert_array_equal(level_pairs(levels, apart, most), expected)
    assert level_pairs(levels[:0], apart, most).shape == level_pairs(levels[:1], apart, most).shape == (0, 2)
    assert level_pairs(levels[:2], apart, most).shape == (0, 2)


def test_levels_that_hardly_differ_are_compared_with_few(monkeypatch):
    looked = []

    def counted(levels, rows, low, stop, apart, compare=near._near_levels):
        looked.append(int((stop - low).sum()))
        return compare(levels, rows, low, stop, apart)

    monkeypatch.setattr(near, "_near_levels", counted)
    random = np.random.default_rng(0)
    pages = (230 + random.integers(0, 4, (4000, 48))).astype(np.uint8)
    apart = random.integers(0, 256, (4000, 48)).astype(np.uint8)
    assert len(level_pairs(pages, 2.5, 10)) == 0
    assert sum(looked) <= 40 * len(pages)
    looked.clear()
    assert level_pairs(np.concatenate([apart, apart[:7]]), 2.5, 10).tolist() == [[n, 4000 + n] for n in range(7)]
    assert sum(looked) < 0.01 * len(apart) ** 2
