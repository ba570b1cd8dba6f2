"""What ties rows that are not sure to be copies, and what keeps it from tying everything."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from record_sheet import RecordSheet

from chiasm.dataset.joining import SHARED_TEXT
from chiasm.dataset.split import Key, join
from chiasm.dataset.ties import bare_text, same_text, tie
from chiasm.types import Record, Text


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("A dog, on a Lawn.", "adogonalawn"),
        ("Crème  brûlée", "cremebrulee"),
        ("\ufb01sh \u2460", "fish1"),
        ("STRASSE 5", "strasse5"),
        ("straße 5", "strasse5"),
        ("हिन्दी", "हिन्दी"),  # vowel signs are marks, and letters
        ("!?", "!?"),
        ("🐶", "🐶"),
    ],
)
def test_bare_text(text, bare):
    assert bare_text(text) == bare


def record(key, *texts):
    return Record(key, tuple(Text(text) for text in texts))


def test_rows_of_the_same_texts_are_tied_each_to_the_next():
    records = [
        record("a", "One dog", "Two cats"),
        record("b", "two cats!", "ONE DOG"),
        record("c", "one dog"),
        record("d"),
        record("e"),
        record("f", "twocats", "onedog."),
    ]
    assert same_text(RecordSheet(records)) == [(0, 1), (1, 5)]
    assert same_text(RecordSheet(records, gone=[0])) == [(0, 4)]  # places among the rows that are left


def test_what_many_rows_say_ties_nothing():
    def named(count):
        return RecordSheet([record(str(n), "a dog" if n % 2 else "A Dog.") for n in range(count)])

    assert len(same_text(named(SHARED_TEXT))) == SHARED_TEXT - 1
    assert same_text(named(SHARED_TEXT + 1)) == []


def test_likenesses_do_not_chain_into_one_group():
    count = 5000
    chain = [(n, n + 1) for n in range(count - 1)]
    found = tie([], chain, count)
    assert found.largest == 50  # a hundredth
    assert found.left_out == count - 1 - len(found.pairs) == 99
    certain = tie(
        chain, [(0, 2)], count
    )  # copies are tied however many there are, and what is joined already is no growth
    assert (certain.largest, certain.left_out, len(certain.pairs)) == (count, 0, count)


def test_of_few_rows_a_group_may_hold_what_one_text_may():
    found = tie([], [(0, n) for n in range(1, 40)], 40)
    assert found.largest == SHARED_TEXT
    assert found.pairs == [(0, n) for n in range(1, SHARED_TEXT)]


def test_ties_are_the_same_whatever_comes_twice():
    random = np.random.default_rng(0)
    pairs = [(int(min(pair)), int(max(pair))) for pair in random.integers(0, 60, (80, 2)) if pair[0] != pair[1]]
    once, again = tie(pairs[:20], pairs[20:], 60), tie(pairs[:20] * 2, pairs[20:] * 2, 60)
    assert once == again
    assert set(pairs[:20]) <= set(once.pairs)


def test_groups_of_the_source_do_not_chain_into_one():
    rows = [(group, 10 * group + n) for group in range(200) for n in range(10)]
    joined = [(10 * group, row) for group, row in rows if row > 10 * group]
    found = tie([], [(10 * group, 10 * group + 10) for group in range(199)], 2000, joined)
    assert found.largest == SHARED_TEXT  # two groups each
    assert (len(found.pairs), found.left_out) == (100, 99)
    keys = [Key(str(row), f"g{group}") for group, row in rows]
    assert max(Counter(join(keys, by_group=True, tied=found.pairs)).values()) == SHARED_TEXT
    within = tie([], [(0, 3), (4, 9)], 2000, [(0, n) for n in range(1000)])
    assert (within.pairs, within.left_out) == ([(0, 3), (4, 9)], 0)  # what is joined already is no growth


def test_rows_of_one_text_are_tied_also_where_the_first_is_in_a_full_group():
    pairs = same_text(RecordSheet([record(str(n), "one dog") for n in range(4)]))
    found = tie([], pairs, 30, [(0, n) for n in range(10, 29)])
    assert (found.pairs, found.left_out) == ([(1, 2), (2, 3)], 1)
