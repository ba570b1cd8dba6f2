"""Sentence pairs, packed texts and span corruption as batches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from test_masking import rebuilt
from text_cases import draft, make_corpus

from chiasm.batches.language_views import SENTINELS, Packed, SentencePair, Spans
from chiasm.batches.masking import Mask
from chiasm.batches.sequences import joined, sentences
from chiasm.modalities.text import BOS, EOS
from chiasm.types import IGNORE, Record, Text

UNTOUCHED = Mask(replace=0.0, random=0.0)


@pytest.fixture(scope="module")
def corpus():
    return make_corpus()


def test_sentences_end_at_stops_of_either_script() -> None:
    assert sentences("One. Two! Three? 3.5 is four.") == ["One.", "Two!", "Three?", "3.5 is four."]
    assert sentences("一。二！三") == ["一。", "二！", "三"]


def test_joined_parts_are_cut_evenly_and_keep_their_ends() -> None:
    cases = {
        (20, 20): (4, 3),
        (2, 20): (2, 5),
        (20, 2): (5, 2),
        (3, 4): (3, 4),
        (1, 1): (1, 1),
        (4, 9): (4, 3),
        (9, 3): (4, 3),
    }
    value, segment = joined([[7] * a for a, _ in cases], [[8] * b for _, b in cases], 10)
    for row, part, (left, right) in zip(value.tolist(), segment.tolist(), cases.values(), strict=True):
        spare = 10 - 3 - left - right
        assert row == [BOS, *[7] * left, EOS, *[8] * right, EOS, *[0] * spare]
        assert part == [0] * (left + 2) + [1] * (right + 1) + [0] * spare


def halves(corpus, text) -> list[tuple[str, str]]:
    """A and B of every row, decoded."""
    decode = corpus.tokenizer.decode
    rows = list(zip(text.value, text.segment, text.valid, strict=True))
    first = decode([row[(segment == 0) & valid].tolist() for row, segment, valid in rows])
    return list(zip(first, decode([row[segment == 1].tolist() for row, segment, _ in rows]), strict=True))


def true_pairs(record: Record) -> set[tuple[str, str]]:
    one, two, three = sentences(record.texts[0].text.lower())
    return {(one, two), (two, three), (record.texts[1].text.lower(), record.texts[4].text.lower())}


def test_half_of_the_sentence_pairs_follow_each_other(corpus) -> None:
    shares = []
    for step in range(10):
        made = draft(corpus, SentencePair(80, UNTOUCHED), step=step)
        following = made.labels["next"].tolist()
        for record, pair, yes in zip(corpus.records, halves(corpus, made.items["text"]), following, strict=True):
            assert (pair in true_pairs(record)) == bool(yes)
            assert pair[0] in {a for a, _ in true_pairs(record)}
            if not yes:
                assert any(pair[1] in {b for _, b in true_pairs(other)} for other in corpus.records), (
                    "a second sentence"
                )
        assert ((made.items["text"].target != IGNORE).sum(1) > 0).all(), "words are predicted in either case"
        shares.append(np.mean(following))
    assert abs(np.mean(shares) - 0.5) < 0.08


def test_short_texts_of_one_language_follow_each_other() -> None:
    records = [
        Record(
            f"{n}", (Text(f"name {n}", "en"), Text(f"nom {n}", "fr"), Text(f"words {n}", "en"), Text(f"mots {n}", "fr"))
        )
        for n in range(30)
    ]
    corpus = make_corpus([*records, Record("alone", (Text("one sentence", "en"), Text("eine", "de")))])
    view = SentencePair(40, UNTOUCHED)
    assert not view.usable(corpus, 30)
    languages: set[int] = set()
    for step in range(4):
        made = draft(corpus, view, step=step)
        pairs = halves(corpus, made.items["text"])
        for n, ((a, b), yes) in enumerate(zip(pairs, made.labels["next"].tolist(), strict=True)):
            assert a in (f"name {n}", f"nom {n}")
            assert b.split()[0] == {"name": "words", "nom": "mots"}[a.split()[0]], "the language gives nothing away"
            assert (b.split()[1] == str(n)) == bool(yes)
        languages |= set(made.items["text"].language.tolist())
    assert languages == {0, 2}


def test_packed_rows_hold_whole_texts(corpus) -> None:
    texts = {text.text.lower() for record in corpus.records for text in record.texts}
    filled = []
    for training in (True, False):
        made = draft(corpus, Packed(64, mask=UNTOUCHED), training=training)
        text = made.items["text"]
        assert text.value.shape[1] <= 64
        for position, row in enumerate(text.value.tolist()):
            row = row[: int(text.valid[position].sum())]
            assert row[0] == BOS
            assert row[-1] == EOS
            ends = [0, *(i for i, token in enumerate(row) if token == EOS)]
            parts = corpus.tokenizer.decode([row[a + 1 : b] for a, b in pairwise(ends)])
            assert set(parts) <= texts
            assert parts[0] in {t.text.lower() for t in corpus.records[position].texts}
            filled.append(len(row))
        assert ((text.target != IGNORE).sum(1) > 0).all()
    assert np.mean(filled) > 45, "little room is left"
    other = draft(corpus, Packed(64, mask=UNTOUCHED), step=1, training=False).items["text"].value
    assert not torch.equal(other[:, :32], text.value[:, :32]), "other texts follow in another step"


def test_a_causal_model_predicts_every_next_token(corpus) -> None:
    packed = draft(corpus, Packed(40, mask=UNTOUCHED)).items["text"]
    causal = draft(corpus, Packed(40)).items["text"]
    width = causal.value.shape[1]
    valid = packed.valid[:, 1 : width + 1]
    assert torch.equal(causal.valid, valid)
    assert torch.equal(causal.value[valid], packed.value[:, :width][valid])
    assert torch.equal(causal.target, torch.where(valid, packed.value[:, 1 : width + 1], IGNORE))
    cut = draft(corpus, Packed(5)).items["text"]
    assert (cut.target[:, 3] == EOS).all(), "a first text that is too long keeps its end"


def test_span_corruption_keeps_the_text(corpus) -> None:
    sentinel = corpus.facts.vocabulary
    lengths = set()
    for step in range(5):
        made = draft(corpus, Spans(16), step=step)
        source, target = made.items["source"], made.items["target"]
        assert source.value.shape[1] <= 16
        assert target.target.max() < sentinel + SENTINELS
        assert (target.value[:, 0] == BOS).all()
        assert torch.equal(target.valid, target.target != IGNORE)
        seen = target.valid[:, 1:]
        assert torch.equal(target.value[:, 1:][seen], target.target[:, :-1][seen])
        for position in range(len(corpus)):
            inputs = source.value[position][source.valid[position]].tolist()
            outputs = target.target[position][target.valid[position]].tolist()
            assert inputs[-1] == outputs[-1] == EOS
            ids = rebuilt(inputs[:-1], outputs[:-1], sentinel)
            assert ids in [
                list(row[:15]) for row in corpus.tokenizer.ids([t.text for t in corpus.records[position].texts])
            ]
            lengths.add(len(ids))
    assert 15 in lengths
    evaluated = draft(corpus, Spans(60), training=False).items
    assert torch.equal(evaluated["source"].language, torch.zeros(60, dtype=torch.long))
