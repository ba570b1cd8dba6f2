"""What of a text a model must fill in: masked words (BERT, RoBERTa) and corrupted spans (T5), from numbers that come with the batch."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.batches.draws import Draws
from chiasm.batches.task import Draft
from chiasm.modalities.text import MASK, SPECIAL
from chiasm.types import IGNORE

Tokens = NDArray[np.int64]
Uniform = NDArray[np.float64]


@dataclass(frozen=True)
class Mask:
    """Which tokens are to be predicted, and what stands in their place (BERT, arXiv 1810.04805, 3.1; 80/10/10: its appendix A.1).

    share: of a text's tokens, at least one · replace: how often <mask> stands there · random: how often any other token; else it stays ·
    static: the choice depends on the record alone, the same in every epoch (BERT); False: drawn anew (RoBERTa, arXiv 1907.11692, 4.1)
    """

    share: float = 0.15
    replace: float = 0.8
    random: float = 0.1
    static: bool = False

    def apply(self, draft: Draft, purpose: str, value: Tokens, length: int) -> tuple[Tokens, Tokens]:
        """value: int64 [B, N], N ≤ length → what the model sees and the target, both int64 [B, N]. Special tokens are never masked.

        `length`, the same for every batch, keeps the numbers that are drawn apart from how long the texts of a process happen to be.
        """
        numbers = self._numbers(draft, purpose, 3 * length + 1)
        order, turn, token = numbers[:, :-1].reshape(len(value), 3, length)[:, :, : value.shape[1]].transpose(1, 0, 2)
        eligible = value >= len(SPECIAL)
        rank = np.where(eligible, order, 2.0).argsort(1).argsort(1)
        # Rounded up as often as its fraction says (as RoBERTa's code does), so that the share is exact on average.
        count = np.maximum(np.floor(self.share * eligible.sum(1) + numbers[:, -1]), 1)
        chosen = eligible & (rank < count[:, None])
        return self.conceal(value, chosen, turn, token, draft.corpus.facts.vocabulary)

    def conceal(
        self, value: Tokens, chosen: NDArray[np.bool_], turn: Uniform, token: Uniform, vocabulary: int
    ) -> tuple[Tokens, Tokens]:
        """The value with its chosen tokens replaced, and the target. turn: uniform [B, N], decides between <mask>, another token and none;
        token: uniform [B, N], which other one."""
        anything = len(SPECIAL) + np.floor(token * (vocabulary - len(SPECIAL))).astype(np.int64)
        seen = np.where(chosen & (turn < self.replace), MASK, value)
        swapped = chosen & (turn >= self.replace) & (turn < self.replace + self.random)
        return np.where(swapped, anything, seen), np.where(chosen, value, IGNORE)

    def _numbers(self, draft: Draft, purpose: str, columns: int) -> Uniform:
        if not self.static:
            return draft.draws.uniform(purpose, columns)
        seeds = [zlib.crc32(draft.corpus.ids[row].encode()) for row in draft.rows]
        return np.concatenate([Draws(seed, 0, 1, slice(None)).uniform(purpose, columns) for seed in seeds])


def span_draws(length: int) -> int:
    """How many numbers `spans` needs for texts of at most `length` tokens."""
    return 2 * (length + 1)


def spans(tokens: int, share: float, mean: float, most: int, u: Uniform) -> list[tuple[int, int]]:
    """(start, stop) of the spans of a text of `tokens` (≥ 1) tokens that are hidden, in order and never side by side: about `share` of the tokens in
    spans of `mean` on average, at least one span and at most `most` (T5, arXiv 1910.10683, 3.3.4). u: uniform [span_draws(length)].

    T5's own code always ends on a span. Here one may stand anywhere, as else a text so short that it has one span would always lose its end.
    """
    hidden = min(max(round(tokens * share), 1), max(tokens - 1, 1))
    count = min(max(round(hidden / mean), 1), hidden, tokens - hidden + 1, most)
    half = len(u) // 2
    lengths = _parts(hidden, count, u[:half])
    # Before the first and after the last span may be nothing: one more token at either end, taken away again.
    gaps = _parts(tokens - hidden + 2, count + 1, u[half:])
    gaps[0] -= 1
    found: list[tuple[int, int]] = []
    at = 0
    for gap, long in zip(gaps, lengths, strict=False):
        found.append((at + gap, at + gap + long))
        at += gap + long
    return found


def _parts(total: int, parts: int, u: Uniform) -> list[int]:
    """`total` cut into `parts` whole numbers ≥ 1, every way alike. u: uniform, at least total − 1."""
    cuts = np.sort(u[: total - 1].argsort()[: parts - 1]) + 1
    return np.diff(cuts, prepend=0, append=total).tolist()


def corrupt(tokens: Sequence[int], hidden: Sequence[tuple[int, int]], sentinel: int) -> tuple[list[int], list[int]]:
    """The text with each hidden span replaced by a sentinel, and the sentinels each followed by what it stands for. Sentinel k is `sentinel` + k."""
    source: list[int] = []
    target: list[int] = []
    at = 0
    for index, (start, stop) in enumerate(hidden):
        source += [*tokens[at:start], sentinel + index]
        target += [sentinel + index, *tokens[start:stop]]
        at = stop
    return [*source, *tokens[at:]], target
