"""Views that language models are pretrained on: sentence pairs (BERT), packed texts (RoBERTa, GPT) and corrupted spans (T5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from chiasm.batches.masking import Mask, corrupt, span_draws, spans
from chiasm.batches.sequences import (
    TextView,
    another,
    as_items,
    following,
    joined,
    padded,
    pick,
    pick_led,
    sentences,
    shifted,
    texts_of,
)
from chiasm.batches.task import Corpus, Draft
from chiasm.modalities.text import BOS, EOS
from chiasm.types import Text

SENTINELS = 32
"""Sentinels of span corruption; sentinel k is token Facts.vocabulary + k."""

FULL = 8
"""Bytes a token for which texts are gathered to fill a row; words of English have 4 to 6, so rows are filled and little is encoded in vain."""


@dataclass(frozen=True)
class Pair:
    """Two sentences that follow each other."""

    first: str
    second: str
    language: str | None


@dataclass(frozen=True)
class SentencePair(TextView):
    """Masked words and next-sentence prediction (BERT, arXiv 1810.04805, 3.1): items["text"] is <bos> A <eos> B <eos>, segments 0 and 1;
    labels["next"] int64 [B] is 1 where B follows A, and 0 (half of the time) where it is the second sentence of another record, in the same language.

    Two texts of a record and language follow each other where each is one sentence, as in tables of captions.
    """

    needs = "two sentences that follow each other"

    length: int
    mask: Mask

    def usable(self, corpus: Corpus, position: int) -> bool:
        return bool(_pairs(corpus, position))

    def add(self, draft: Draft) -> None:
        corpus = draft.corpus
        options = [_pairs(corpus, row) for row in draft.rows]
        chosen = pick(draft, "pair choice", [len(mine) for mine in options])
        pairs = [mine[index] for mine, index in zip(options, chosen, strict=True)]
        own = [{pair.second.lower() for pair in mine} for mine in options]

        def strange(index: int, position: int) -> list[str]:
            """Second sentences of another record that can stand in for this one's."""
            language = pairs[index].language
            theirs = [pair.second for pair in _pairs(corpus, position) if pair.language == language]
            return [second for second in theirs if second.lower() not in own[index]]

        wanted = draft.draws.uniform("pair next", 1)[:, 0] < 0.5
        others = another(draft, "pair other", lambda index, position: bool(strange(index, position)), wanted)
        instead = [strange(index, other) if other >= 0 else [pairs[index].second] for index, other in enumerate(others)]
        drawn = pick(draft, "pair second", [len(mine) for mine in instead])
        seconds = [mine[index] for mine, index in zip(instead, drawn, strict=True)]
        ids = corpus.tokenizer.ids([pair.first for pair in pairs] + seconds)
        value, segment = joined(ids[: len(pairs)], ids[len(pairs) :], self.length)
        value, target = self.mask.apply(draft, "pair mask", value, self.length)
        draft.items["text"] = as_items(draft, value, [pair.language for pair in pairs], target, segment)
        draft.labels["next"] = torch.from_numpy((others < 0).astype(np.int64))


def _pairs(corpus: Corpus, position: int) -> list[Pair]:
    texts = corpus.records[position].texts
    split = [sentences(text.text) for text in texts]
    found = [Pair(a, b, text.language) for text, parts in zip(texts, split, strict=True) for a, b in pairwise(parts)]
    single = [text for text, parts in zip(texts, split, strict=True) if len(parts) == 1]
    for language in dict.fromkeys(text.language for text in single):
        alike = [text.text for text in single if text.language == language]
        found += [Pair(a, b, language) for a, b in pairwise(alike) if a.lower() != b.lower()]
    return found


@dataclass(frozen=True)
class Packed(TextView):
    """Whole texts one after the other, <bos> a <eos> b <eos> …, until the next does not fit into `length` (RoBERTa's FULL-SENTENCES, arXiv
    1907.11692, 4.2): the record's own first, then those of records drawn from the corpus. A first text that is too long is cut and keeps its
    <eos>.

    items["text"]. mask: words to predict; None: a causal model's, the value lacks its last token and the target is the next one (GPT-2).
    """

    needs = "a text"

    length: int
    mask: Mask | None = None
    kinds: tuple[str, ...] | None = None
    language: str | None = None

    def usable(self, corpus: Corpus, position: int) -> bool:
        return bool(texts_of(corpus.records[position], self.kinds, self.language))

    def add(self, draft: Draft) -> None:
        gathered = self._gather(draft)
        ids = iter(draft.corpus.tokenizer.ids([text.text for mine in gathered for text in mine]))
        value = padded([self._row([next(ids) for _ in mine]) for mine in gathered])
        if self.mask is None:
            value, target = following(value)
        else:
            value, target = self.mask.apply(draft, "packed mask", value, self.length)
        draft.items["text"] = as_items(draft, value, [mine[0].language for mine in gathered], target)

    def _gather(self, draft: Draft) -> list[list[Text]]:
        """For each row the texts that may go into it: enough to fill it."""
        most = self.length // 2  # a text is a token and its <eos> at least
        positions = (draft.draws.uniform("packed record", most) * len(draft.corpus)).astype(np.int64)
        choice = (
            draft.draws.uniform("packed text", most + 1) if draft.training else np.zeros((len(positions), most + 1))
        )
        found: list[list[Text]] = []
        for row, fillers, u in zip(draft.rows, positions, choice, strict=True):
            mine: list[Text] = []
            size = 0
            for position, number in zip((row, *fillers), u, strict=True):
                texts = texts_of(draft.corpus.records[position], self.kinds, self.language)
                if texts:
                    mine.append(texts[int(number * len(texts))])
                    size += len(mine[-1].text.encode("utf8", "replace"))
                if size >= FULL * self.length:
                    break
            found.append(mine)
        return found

    def _row(self, texts: Sequence[Sequence[int]]) -> list[int]:
        row = [BOS, *texts[0][: self.length - 2], EOS]
        for ids in texts[1:]:
            if len(row) + len(ids) + 1 > self.length:
                break
            row += [*ids, EOS]
        return row


@dataclass(frozen=True)
class Spans(TextView):
    """Span corruption (T5, arXiv 1910.10683, 3.1.4 and 3.3.4). items["source"]: the text with each hidden span replaced by a sentinel, and <eos>.
    items["target"]: target is each sentinel followed by its span, and <eos>; value is <bos> and that without its end.

    share: of tokens that are hidden · mean: tokens of a span · kinds, language: of the texts (None: all)
    """

    needs = "a text"

    length: int
    share: float = 0.15
    mean: float = 3.0
    kinds: tuple[str, ...] | None = None
    language: str | None = None

    def usable(self, corpus: Corpus, position: int) -> bool:
        return bool(texts_of(corpus.records[position], self.kinds, self.language))

    def add(self, draft: Draft) -> None:
        corpus = draft.corpus
        options = [texts_of(corpus.records[row], self.kinds, self.language) for row in draft.rows]
        texts = pick_led(draft, "spans choice", options)
        most = self.length - 1
        u = draft.draws.uniform("spans", span_draws(most))
        sources: list[list[int]] = []
        outputs: list[list[int]] = []
        for row, numbers in zip(corpus.tokenizer.ids([text.text for text in texts]), u, strict=True):
            kept = row[:most]
            hidden = spans(len(kept), self.share, self.mean, SENTINELS, numbers)
            source, output = corrupt(kept, hidden, corpus.facts.vocabulary)
            sources.append([*source, EOS])
            outputs.append([*output, EOS])
        value, target = shifted(outputs)
        languages = [text.language for text in texts]
        draft.items["source"] = as_items(draft, padded(sources), languages)
        draft.items["target"] = as_items(draft, value, languages, target)
