"""Choosing texts of records and laying out their tokens: what all views of text share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from chiasm.batches.task import Draft
from chiasm.modalities.text import BOS, EOS, PAD
from chiasm.types import IGNORE, Items, Record, Text

Tokens = NDArray[np.int64]

TRIES, FOLLOWING = 8, 64
"""Other records that are drawn, and then how many in the order of the table are looked at, before a record is left without another."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*")


class TextView:
    """A view that wants no pictures."""

    @property
    def picture(self) -> int | None:
        return None


def texts_of(record: Record, kinds: Sequence[str] | None = None, language: str | None = None) -> list[Text]:
    """The record's texts of these kinds (None: all) in this language (None: all). A text of unknown language counts as any."""
    return [
        text
        for text in record.texts
        if (kinds is None or text.kind in kinds) and (language is None or text.language in (language, None))
    ]


def parallels(record: Record) -> list[dict[str, Text]]:
    """Texts that say the same: the first of a kind in each language, the second of that kind in each language, and so on."""
    groups: dict[tuple[str, int], dict[str, Text]] = {}
    seen: dict[tuple[str, str], int] = {}
    for text in record.texts:
        if text.language is not None:
            turn = seen.get((text.kind, text.language), 0)
            seen[text.kind, text.language] = turn + 1
            groups.setdefault((text.kind, turn), {})[text.language] = text
    return list(groups.values())


def sentences(text: str) -> list[str]:
    return [part for part in _SENTENCE_END.split(text) if part]


def pick(draft: Draft, purpose: str, counts: Sequence[int], *, always: bool = False) -> list[int]:
    """One of 0 … count−1 for each record, evenly when training (or `always`), else 0."""
    if not (draft.training or always):
        return [0] * len(counts)
    u = draft.draws.uniform(purpose, 1)[:, 0]
    return (u * np.array(counts)).astype(np.int64).tolist()


LEAD = 3
"""How often a text in the language of a record's first text is drawn against those in all others together, as for the chiasm model."""


def pick_led(draft: Draft, purpose: str, options: Sequence[Sequence[Text]]) -> list[Text]:
    """One text for each record. The first text's language leads: with many languages drawn alike, what ties words to pictures, or to each
    other, would be learned a language at a time, each from its share of the steps. The first text when not training."""
    if not draft.training:
        return [mine[0] for mine in options]
    u = draft.draws.uniform(purpose, 1)[:, 0].tolist()
    chosen: list[Text] = []
    for mine, draw in zip(options, u, strict=True):
        leading = [text for text in mine if text.language == mine[0].language]
        others = [text for text in mine if text.language != mine[0].language]
        share = LEAD / (LEAD + 1) if others else 1.0
        group, place = (leading, draw / share) if draw < share else (others, (draw - share) / (1 - share))
        chosen.append(group[min(int(place * len(group)), len(group) - 1)])
    return chosen


def another(
    draft: Draft, purpose: str, fits: Callable[[int, int], bool], wanted: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """For each record (of those `wanted`, bool [B]) the position of another one that fits it: int64 [B], −1 where there is none.

    fits(index in the batch, position). Up to TRIES are drawn; then the first that fits of the FOLLOWING ones after the last drawn is taken.
    """
    found = np.full(len(draft.rows), -1, np.int64)
    open_: list[int] = (np.arange(len(found)) if wanted is None else np.flatnonzero(wanted)).tolist()
    drawn = found
    for turn in range(TRIES):
        if not open_:
            return found
        drawn = draft.others(f"{purpose} {turn}")
        for index in open_:
            if drawn[index] != draft.rows[index] and fits(index, int(drawn[index])):
                found[index] = drawn[index]
        open_ = [index for index in open_ if found[index] < 0]
    pool = np.arange(len(draft.corpus)) if draft.pool is None else draft.pool
    for index in open_:
        after = np.searchsorted(pool, drawn[index]) + 1 + np.arange(min(FOLLOWING, len(pool) - 1))
        near: list[int] = pool[after % len(pool)].tolist()
        found[index] = next((p for p in near if p != draft.rows[index] and fits(index, p)), -1)
    return found


def padded(rows: Sequence[Sequence[int]], padding: int = PAD) -> Tokens:
    """Rows of tokens as int64 [B, longest]."""
    lengths = np.array([len(row) for row in rows], np.int64)
    value = np.full((len(rows), int(lengths.max(initial=0))), padding, np.int64)
    real = np.arange(value.shape[1]) < lengths[:, None]
    value[real] = [token for row in rows for token in row]
    return value


def joined(first: Sequence[Sequence[int]], second: Sequence[Sequence[int]], length: int) -> tuple[Tokens, Tokens]:
    """Rows of <bos> a <eos> b <eos>, at most `length` (≥ 5) tokens, and the segment of each token: 0, 1 for b and the last <eos>
    (BERT, arXiv 1810.04805, 3). The longer part is cut first; both keep their <eos>. → both int64 [B, N]."""
    room = length - 3
    rows: list[list[int]] = []
    segments: list[list[int]] = []
    for a, b in zip(first, second, strict=True):
        left = min(len(a), max(room - len(b), (room + 1) // 2))
        right = min(len(b), room - left)
        rows.append([BOS, *a[:left], EOS, *b[:right], EOS])
        segments.append([0] * (left + 2) + [1] * (right + 1))
    return padded(rows), padded(segments)


def following(value: Tokens) -> tuple[Tokens, Tokens]:
    """What a causal model sees, the tokens without the last, and what it predicts at each, the next: int64 [B, N] → two [B, N−1]."""
    real = value[:, 1:] != PAD
    return np.where(real, value[:, :-1], PAD), np.where(real, value[:, 1:], IGNORE)


def shifted(outputs: Sequence[Sequence[int]]) -> tuple[Tokens, Tokens]:
    """What a decoder sees, <bos> and the output without its last token, and its target: both int64 [B, N]."""
    return padded([[BOS, *row[:-1]] for row in outputs]), padded(outputs, IGNORE)


def as_items(
    draft: Draft,
    value: Tokens,
    languages: Sequence[str | None],
    target: Tokens | None = None,
    segment: Tokens | None = None,
) -> Items:
    """One item a record. languages: of the texts, by name."""
    return Items(
        torch.from_numpy(value),
        torch.from_numpy(value != PAD),
        draft.owner,
        language=languages_of(draft, languages),
        target=None if target is None else torch.from_numpy(target),
        segment=None if segment is None else torch.from_numpy(segment),
    )


def languages_of(draft: Draft, names: Sequence[str | None]) -> torch.Tensor:
    """The number of each language in Facts.languages, −1 for one that is not listed: int64 [B]."""
    known = {name: number for number, name in enumerate(draft.corpus.facts.languages)}
    return torch.tensor([-1 if name is None else known.get(name, -1) for name in names])
