"""Masked words and corrupted spans: proportions, what is never touched, and that nothing is lost."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from text_cases import draft, make_corpus

from chiasm.batches.masking import Mask, corrupt, span_draws, spans
from chiasm.batches.text_views import Caption
from chiasm.modalities.text import BOS, EOS, MASK, PAD, SPECIAL
from chiasm.types import IGNORE

LONG = 200


@pytest.fixture(scope="module")
def corpus():
    return make_corpus()


def long_rows(corpus, rows: int = 60) -> np.ndarray:
    """Rows of LONG tokens with their specials, of different lengths."""
    value = np.random.default_rng(0).integers(len(SPECIAL), corpus.facts.vocabulary, (rows, LONG))
    value[:, 0], value[:, -1] = BOS, EOS
    value[::2, 150], value[::2, 151:] = EOS, PAD
    return value


def test_fifteen_of_a_hundred_are_asked_and_eighty_ten_ten_replaced(corpus) -> None:
    value = long_rows(corpus)
    asked = masks = changed = kept = words = 0
    for step in range(20):
        seen, target = Mask().apply(draft(corpus, step=step, rows=range(60)), "mask", value, LONG)
        chosen = target != IGNORE
        assert not chosen[value < len(SPECIAL)].any()
        assert (target[chosen] == value[chosen]).all()
        assert (seen[~chosen] == value[~chosen]).all()
        assert (seen[chosen & (seen != MASK)] >= len(SPECIAL)).all()
        assert seen.max() < corpus.facts.vocabulary
        words += (value >= len(SPECIAL)).sum()
        asked += chosen.sum()
        masks += (seen[chosen] == MASK).sum()
        kept += (seen[chosen] == value[chosen]).sum()
        changed += ((seen != MASK) & (seen != value) & chosen).sum()
    assert abs(asked / words - 0.15) < 0.001
    # 30,000 tokens: one standard deviation of a share is 0.0023.
    assert abs(masks / asked - 0.8) < 0.01
    assert abs(changed / asked - 0.1) < 0.01
    assert abs(kept / asked - 0.1) < 0.01


def test_every_place_is_asked_alike(corpus) -> None:
    value = long_rows(corpus)[1::2]
    times = sum(
        (Mask().apply(draft(corpus, step=step, rows=range(30)), "mask", value, LONG)[1] != IGNORE).sum(0)
        for step in range(40)
    )
    assert times[0] == times[-1] == 0
    # Binomial(1200, 0.15): mean 180, standard deviation 12.4.
    assert np.abs(times[1:-1] - 180).max() < 60


def test_at_least_one_word_is_asked_of_the_shortest_text(corpus) -> None:
    value = np.tile(np.array([BOS, 77, EOS, PAD]), (60, 1))
    _, target = Mask(share=0.01).apply(draft(corpus, rows=range(60)), "mask", value, 4)
    assert (target[:, 1] == 77).all()
    assert ((target != IGNORE).sum(1) == 1).all()


def test_static_masks_stay_and_dynamic_ones_do_not(corpus) -> None:
    def seen(mask: Mask, step: int, seed: int = 0, rows=range(60)) -> np.ndarray:
        made = draft(corpus, Caption(48, mask=mask, language="fr"), step=step, seed=seed, rows=rows, training=False)
        return made.items["text"].value.numpy()

    static, dynamic = Mask(static=True), Mask()
    assert (seen(static, 0) == seen(static, 9, seed=5)).all()
    # Of the record alone: not of its neighbours, nor of its place in the batch.
    few = seen(static, 3, rows=[40, 7])
    assert (few == seen(static, 0)[[40, 7], : few.shape[1]]).all()
    assert (seen(dynamic, 0) == seen(dynamic, 0)).all()
    assert (seen(dynamic, 0) != seen(dynamic, 1)).any(1).mean() > 0.5
    # Different records have different masks.
    places = (seen(static, 0) == MASK)[:, :8]
    assert len(np.unique(places, axis=0)) > 4


def test_a_batch_of_longer_texts_draws_the_same(corpus) -> None:
    value = long_rows(corpus)[::2]
    narrow, wide = value[:, :152], value
    one = Mask().apply(draft(corpus, rows=range(30)), "mask", narrow, LONG)
    other = Mask().apply(draft(corpus, rows=range(30)), "mask", wide, LONG)
    assert (one[0] == other[0][:, :152]).all()
    assert (one[1] == other[1][:, :152]).all()


def rebuilt(source: list[int], target: list[int], sentinel: int) -> list[int]:
    """The text that was corrupted."""
    filling: dict[int, list[int]] = {}
    for token in target:
        if token >= sentinel:
            filling[token] = []
        else:
            filling[max(filling)].append(token)
    assert sorted(filling) == [sentinel + k for k in range(len(filling))]
    out: list[int] = []
    for token in source:
        out += filling.pop(token) if token >= sentinel else [token]
    assert not filling
    return out


@pytest.mark.parametrize("length", [1, 2, 3, 6, 19, 20, 97, 254])
def test_corrupted_spans_can_be_undone(length: int) -> None:
    tokens = list(range(5, 5 + length))
    random = np.random.default_rng(length)
    for _ in range(50):
        hidden = spans(length, 0.15, 3.0, 32, random.random(span_draws(length)))
        assert all(0 <= start < stop <= length for start, stop in hidden)
        assert all(one[1] < other[0] for one, other in pairwise(hidden))
        source, target = corrupt(tokens, hidden, 1000)
        assert rebuilt(source, target, 1000) == tokens
        amount = sum(stop - start for start, stop in hidden)
        assert amount == max(round(0.15 * length), 1)
        assert len(hidden) == max(round(amount / 3), 1)


def test_spans_are_bounded_and_lie_anywhere() -> None:
    random = np.random.default_rng(0)
    assert len(spans(500, 0.5, 1.0, 32, random.random(span_draws(500)))) == 32
    assert len(spans(9, 0.9, 1.0, 32, random.random(span_draws(9)))) == 2, "one kept token lies between two spans"
    times = np.zeros(6)
    for _ in range(3000):
        ((start, stop),) = spans(6, 0.15, 3.0, 32, random.random(span_draws(6)))
        times[start:stop] += 1
    # Binomial(3000, 1/6): standard deviation 20.
    assert np.abs(times - 500).max() < 100
    # Span lengths differ: 15 of 100 tokens in 5 spans.
    lengths = {
        stop - start for _ in range(50) for start, stop in spans(100, 0.15, 3.0, 32, random.random(span_draws(100)))
    }
    assert {1, 2, 3, 4, 5} <= lengths
