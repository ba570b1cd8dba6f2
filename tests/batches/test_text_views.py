"""Captions, questions and parallel texts: what belongs together, what does not, and what is to be predicted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from text_cases import ANSWERS, draft, make_corpus, scene

from chiasm.batches.masking import Mask
from chiasm.batches.text_views import Asked, Caption, ParallelPair, Translation
from chiasm.modalities.text import BOS, EOS, MASK, PAD
from chiasm.objectives.generative import next_tokens
from chiasm.types import IGNORE, Record, Text


@pytest.fixture(scope="module")
def corpus():
    return make_corpus()


def own_texts(corpus, position: int) -> set[str]:
    return {text.text.lower() for text in corpus.records[position].texts}


def test_a_caption_is_drawn_in_training_and_the_first_otherwise(corpus) -> None:
    drawn = {
        text
        for step in range(20)
        for text in corpus.tokenizer.decode(draft(corpus, Caption(60), step=step, rows=[4]).items["text"].value)
    }
    assert drawn == own_texts(corpus, 4)
    first = draft(corpus, Caption(60, kinds=("name",)), rows=[4, 9], training=False).items["text"]
    assert corpus.tokenizer.decode(first.value) == [corpus.records[p].texts[3].text.lower() for p in (4, 9)]
    assert first.language.tolist() == [0, 0]
    assert first.owner.tolist() == [0, 1]
    german = draft(corpus, Caption(60, language="de")).items["text"]
    assert set(german.language.tolist()) == {1}


def test_unknown_languages_count_as_any_and_have_no_number() -> None:
    corpus = make_corpus([Record("a", (Text("what is this"),)), Record("b", (Text("hva er dette", "no"),))])
    assert Caption(8, language="en").usable(corpus, 0)
    assert not Caption(8, language="en").usable(corpus, 1)
    assert not Caption(8, kinds=("name",)).usable(corpus, 0)
    assert draft(corpus, Caption(8)).items["text"].language.tolist() == [-1, -1]


def test_a_mismatched_caption_is_of_another_record_and_predicts_nothing(corpus) -> None:
    shares, masks = [], []
    for step in range(10):
        made = draft(corpus, Caption(60, mask=Mask(), mismatch=0.5), step=step)
        plain = draft(corpus, Caption(60, mismatch=0.5), step=step)
        text, matched = made.items["text"], made.labels["matched"]
        assert torch.equal(matched, plain.labels["matched"])
        for position, (says, yes) in enumerate(
            zip(corpus.tokenizer.decode(plain.items["text"].value), matched.tolist(), strict=True)
        ):
            assert (says in own_texts(corpus, position)) == bool(yes)
        asked = (text.target != IGNORE).sum(1)
        assert (asked[matched == 0] == 0).all()
        assert (asked[matched == 1] > 0).all()
        masks.append((text.value == MASK).any(1)[matched == 0].float().mean().item())
        shares.append(matched.float().mean().item())
    assert abs(np.mean(shares) - 0.5) < 0.08  # 600 rows
    assert np.mean(masks) > 0.75, "masked all the same, or the mask would tell"
    evaluated = draft(corpus, Caption(60, mismatch=0.5), training=False).labels["matched"]
    assert 0.2 < evaluated.float().mean() < 0.8, "both kinds are needed to measure it"


def test_equal_texts_are_no_mismatch() -> None:
    records = [Record(f"{n}", (Text("Same" if n else "same"), Text(f"{n}", "en"))) for n in range(60)]
    corpus = make_corpus([*records, Record("odd", (Text("other"),))])
    made = draft(corpus, Caption(8, mismatch=1.0), rows=range(60))
    says = corpus.tokenizer.decode(made.items["text"].value)
    assert made.labels["matched"].tolist() == [0] * 60
    assert says == ["other"] * 60, "the only record that shares no text"
    alone = draft(make_corpus(records), Caption(8, mismatch=1.0))
    assert alone.labels["matched"].tolist() == [1] * 60


def test_what_is_generated_is_the_next_token(corpus) -> None:
    view = Caption(14, generate=True, mismatch=0.3)
    made = draft(corpus, view, step=3)
    whole = draft(corpus, replace(view, generate=False), step=3)
    text, full = made.items["text"], whole.items["text"]
    matched = made.labels["matched"] == 1
    assert (text.target[~matched] == IGNORE).all()
    expected = next_tokens(full.value, full.valid)[:, :-1]
    assert torch.equal(text.target[matched], expected[matched])
    assert torch.equal(text.valid, expected != IGNORE)
    assert torch.equal(text.value[text.valid], full.value[:, :-1][text.valid])
    assert (text.value != EOS).all()
    assert ((text.target == EOS).sum(1) == 1)[matched].all()
    with pytest.raises(ValueError, match="not both"):
        Caption(14, generate=True, mask=Mask())


@pytest.mark.parametrize("view", [Caption(6), ParallelPair(11, Mask(), other=False), Asked(5)])
def test_a_cut_text_keeps_its_end(corpus, view) -> None:
    text = draft(corpus, view).items["text"]
    assert text.value.shape[1] <= view.length
    length = text.valid.sum(1)
    assert (length == view.length).any()
    assert (text.value[:, 0] == BOS).all()
    assert (text.value[torch.arange(len(length)), length - 1] == EOS).all()
    assert torch.equal(text.valid, text.value != PAD)


def test_questions_have_answers_that_are_listed(corpus) -> None:
    kinds: set[str] = set()
    for step in range(6):
        made = draft(corpus, Asked(40, role="question"), step=step, training=False)
        says = corpus.tokenizer.decode(made.items["question"].value)
        for record, question, answer in zip(corpus.records, says, made.labels["answer"].tolist(), strict=True):
            (asked,) = [q for q in record.questions if q.question.lower() == question]
            assert asked.answers[0] == ANSWERS[answer]
            kinds.add(question.split()[0])
    assert kinds == {"what", "is"}, "every kind of question is measured, and none without an answer"
    silent = make_corpus([replace(scene(0), questions=scene(0).questions[2:])])
    assert not Asked(40).usable(silent, 0)


def test_a_translation_is_of_the_same_text(corpus) -> None:
    made = draft(corpus, Translation(60, "de", "en"))
    source, target = made.items["source"], made.items["target"]
    decoded = zip(corpus.tokenizer.decode(source.value), corpus.tokenizer.decode(target.value), strict=True)
    for record, (german, english) in zip(corpus.records, decoded, strict=True):
        pairs = {(record.texts[1].text.lower(), record.texts[0].text.lower()),
                 (record.texts[4].text.lower(), record.texts[3].text.lower())}  # fmt: skip
        assert (german, english) in pairs
    assert set(source.language.tolist()) == {1}
    assert set(target.language.tolist()) == {0}
    assert (source.value[:, 0] != BOS).all()
    assert (target.value[:, 0] == BOS).all()
    for rows, end in ((source.value, source.valid.sum(1)), (target.target, target.valid.sum(1))):
        assert (rows[torch.arange(len(end)), end - 1] == EOS).all()
    # What is predicted at a place is what is seen at the next.
    seen = target.valid[:, 1:]
    assert torch.equal(target.target[:, :-1][seen], target.value[:, 1:][seen])
    assert torch.equal(target.target != IGNORE, target.valid)
    short = draft(corpus, Translation(5)).items
    assert short["source"].language.tolist() == [0] * 60, "the first two languages where none are named"
    assert short["target"].language.tolist() == [1] * 60
    assert (short["source"].value[:, 4] == EOS).all()
    assert (short["target"].target[:, 4] == EOS).all()


def test_translation_needs_both_languages() -> None:
    corpus = make_corpus([Record("a", (Text("one", "en"), Text("eins", "de", "name"))), scene(1)])
    assert not Translation(9).usable(corpus, 0), "texts of different kinds do not say the same"
    assert Translation(9).usable(corpus, 1)
    assert not Translation(9, "en", "it").usable(corpus, 1)
    assert not Translation(9, "en", "en").usable(corpus, 1)


def test_a_parallel_pair_says_the_same_in_two_languages(corpus) -> None:
    seen: set[tuple[str, str]] = set()
    for step in range(5):
        made = draft(corpus, ParallelPair(120, Mask(share=0.0, replace=0.0, random=0.0)), step=step)
        text = made.items["text"]
        assert set(text.segment[~text.valid].tolist()) <= {0}
        numbers = zip(text.language.tolist(), made.labels["other"].tolist(), strict=True)
        for record, row, part, valid, (first, second) in zip(
            corpus.records, text.value, text.segment, text.valid, numbers, strict=True
        ):
            a, b = corpus.tokenizer.decode([row[valid & (part == 0)].tolist(), row[part == 1].tolist()])
            languages = {t.text.lower(): (t.language, t.kind) for t in record.texts}
            assert languages[a][1] == languages[b][1]
            assert languages[a][0] != languages[b][0]
            assert corpus.facts.languages[first] == languages[a][0]
            assert corpus.facts.languages[second] == languages[b][0]
            assert row[valid][-1] == EOS
            seen.add((languages[a][0], languages[b][0]))
    assert len(seen) == 6, "every direction between three languages"
    first = draft(corpus, ParallelPair(120, Mask()), training=False).items["text"]
    assert first.language.tolist() == [0] * 60
    lone = make_corpus([Record("a", (Text("one", "en"), Text("another", "en")))])
    assert not ParallelPair(9, Mask()).usable(lone, 0)
    assert ParallelPair(9, Mask(), other=False).usable(lone, 0)
    assert draft(lone, ParallelPair(9, Mask(), other=False)).items["text"].segment is None
