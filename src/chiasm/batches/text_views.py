"""Views of the texts of a record: its caption, matched or not; a question; one text in two languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from chiasm.batches.masking import Mask
from chiasm.batches.sequences import (
    TextView,
    another,
    as_items,
    following,
    joined,
    languages_of,
    padded,
    parallels,
    pick,
    pick_led,
    shifted,
    texts_of,
)
from chiasm.batches.task import Corpus, Draft
from chiasm.modalities.text import EOS
from chiasm.types import IGNORE, Question, Record, Text


@dataclass(frozen=True)
class Caption(TextView):
    """One text a record: drawn when training, mostly in the language of its first text; else the first.

    length: tokens at most, <bos> and <eos> included · mask: words to predict · mismatch: how often the text is of another record, none of whose
    texts this one has: labels["matched"] int64 [B] says 0, and nothing is predicted there, though it is masked all the same ·
    kinds, language: of the texts (None: all) · generate: the value lacks its last token, the target is the next one
    """

    needs = "a text"

    length: int
    role: str = "text"
    mask: Mask | None = None
    mismatch: float = 0.0
    kinds: tuple[str, ...] | None = None
    language: str | None = None
    generate: bool = False

    def __post_init__(self) -> None:
        if self.generate and self.mask is not None:
            raise ValueError("a text is masked or generated, not both")

    def usable(self, corpus: Corpus, position: int) -> bool:
        return bool(self._texts(corpus, position))

    def add(self, draft: Draft) -> None:
        corpus = draft.corpus
        options = [self._texts(corpus, row) for row in draft.rows]
        matched = np.ones(len(options), np.int64)
        if self.mismatch > 0:
            others = self._others(draft)
            matched = np.where(others < 0, 1, 0)
            options = [
                mine if other < 0 else self._texts(corpus, other) for mine, other in zip(options, others, strict=True)
            ]
            draft.labels["matched"] = torch.from_numpy(matched)
        texts = pick_led(draft, f"{self.role} choice", options)
        value, _ = corpus.tokenizer.encode([text.text for text in texts], self.length)
        target = None
        if self.generate:
            value, target = following(value)
        elif self.mask is not None:
            value, target = self.mask.apply(draft, f"{self.role} mask", value, self.length)
        if target is not None:
            target[matched == 0] = IGNORE
        draft.items[self.role] = as_items(draft, value, [text.language for text in texts], target)

    def _texts(self, corpus: Corpus, position: int) -> list[Text]:
        return texts_of(corpus.records[position], self.kinds, self.language)

    def _others(self, draft: Draft) -> NDArray[np.int64]:
        """Whose texts stand in for the record's: int64 [B], −1 for its own."""
        records = draft.corpus.records
        own = [_spelled(records[row].texts) for row in draft.rows]

        def fits(index: int, position: int) -> bool:
            texts = self._texts(draft.corpus, position)
            return bool(texts) and own[index].isdisjoint(_spelled(texts))

        wanted = draft.draws.uniform(f"{self.role} mismatch", 1)[:, 0] < self.mismatch
        return another(draft, f"{self.role} other", fits, wanted)


def _spelled(texts: Sequence[Text]) -> set[str]:
    return {text.text.lower() for text in texts}  # the tokenizer knows no capitals


@dataclass(frozen=True)
class Asked(TextView):
    """A question about the record that has an answer in Facts.answers: items[role], and labels["answer"] int64 [B], the number of its best such
    answer. One of several is drawn, in evaluation too, so that every kind of question is measured."""

    needs = "a question with an answer"

    length: int
    role: str = "text"

    def usable(self, corpus: Corpus, position: int) -> bool:
        return bool(_answered(corpus.records[position], corpus.facts.answers))

    def add(self, draft: Draft) -> None:
        corpus = draft.corpus
        options = [_answered(corpus.records[row], corpus.facts.answers) for row in draft.rows]
        chosen = pick(draft, f"{self.role} question", [len(mine) for mine in options], always=True)
        asked = [mine[index] for mine, index in zip(options, chosen, strict=True)]
        value, _ = corpus.tokenizer.encode([question.question for question, _ in asked], self.length)
        draft.items[self.role] = as_items(draft, value, [question.language for question, _ in asked])
        draft.labels["answer"] = torch.tensor([answer for _, answer in asked])


def _answered(record: Record, answers: Sequence[str]) -> list[tuple[Question, int]]:
    """The questions that can be answered, each with the number of its best answer that is listed."""
    found: list[tuple[Question, int]] = []
    for question in record.questions:
        best = next((answer for answer in question.answers if answer in answers), None)
        if best is not None:
            found.append((question, answers.index(best)))
    return found


@dataclass(frozen=True)
class Translation(TextView):
    """A text in one language and the same in another, for an encoder-decoder (arXiv 1706.03762, 3.4 and 5): items["source"] ends in <eos>;
    items["target"] has <bos> and the translation without its end as value, the translation and <eos> as target.

    source, target: languages; None: the first two of Facts.languages.
    """

    needs = "a text in two languages"

    length: int
    source: str | None = None
    target: str | None = None

    def usable(self, corpus: Corpus, position: int) -> bool:
        return bool(self._pairs(corpus, position))

    def add(self, draft: Draft) -> None:
        options = [self._pairs(draft.corpus, row) for row in draft.rows]
        chosen = pick(draft, "translation", [len(mine) for mine in options])
        pairs = [mine[index] for mine, index in zip(options, chosen, strict=True)]
        ids = draft.corpus.tokenizer.ids([a.text for a, _ in pairs] + [b.text for _, b in pairs])
        rows = [[*row[: self.length - 1], EOS] for row in ids]
        sources, outputs = rows[: len(pairs)], rows[len(pairs) :]
        value, target = shifted(outputs)
        draft.items["source"] = as_items(draft, padded(sources), [a.language for a, _ in pairs])
        draft.items["target"] = as_items(draft, value, [b.language for _, b in pairs], target)

    def _pairs(self, corpus: Corpus, position: int) -> list[tuple[Text, Text]]:
        first, second, *_ = (*corpus.facts.languages, "", "")
        source, target = self.source or first, self.target or second
        if source == target:
            return []
        groups = parallels(corpus.records[position])
        return [(group[source], group[target]) for group in groups if source in group and target in group]


@dataclass(frozen=True)
class ParallelPair(TextView):
    """A text and the same in another language, <bos> a <eos> b <eos>, segments 0 and 1, masked in both (TLM, arXiv 1901.07291, 3.3; ERNIE-M's
    CAMLM, arXiv 2012.15674, 3.1, where the system keeps each language from seeing itself). The languages are drawn when training, else the
    first two.

    items["text"]; its language is that of a, and labels["other"] int64 [B] the number of b's. other=False: <bos> a <eos> alone, of any
    record with a text (MMLM).
    """

    length: int
    mask: Mask
    other: bool = True

    @property
    def needs(self) -> str:
        return "a text in two languages" if self.other else "a text"

    def usable(self, corpus: Corpus, position: int) -> bool:
        return bool(self._groups(corpus, position))

    def add(self, draft: Draft) -> None:
        options = [self._groups(draft.corpus, row) for row in draft.rows]
        chosen = pick(draft, "parallel group", [len(mine) for mine in options])
        groups = [mine[index] for mine, index in zip(options, chosen, strict=True)]
        a = pick(draft, "parallel first", [len(group) for group in groups])
        first = [group[index] for group, index in zip(groups, a, strict=True)]
        tokenizer, segment = draft.corpus.tokenizer, None
        if self.other:
            step = pick(draft, "parallel second", [len(group) - 1 for group in groups])
            second = [group[(i + 1 + s) % len(group)] for group, i, s in zip(groups, a, step, strict=True)]
            ids = tokenizer.ids([text.text for text in first + second])
            value, segment = joined(ids[: len(first)], ids[len(first) :], self.length)
            draft.labels["other"] = languages_of(draft, [text.language for text in second])
        else:
            value, _ = tokenizer.encode([text.text for text in first], self.length)
        value, target = self.mask.apply(draft, "parallel mask", value, self.length)
        draft.items["text"] = as_items(draft, value, [text.language for text in first], target, segment)

    def _groups(self, corpus: Corpus, position: int) -> list[list[Text]]:
        record = corpus.records[position]
        if self.other:
            return [list(group.values()) for group in parallels(record) if len(group) > 1]
        return [[text] for text in record.texts]
