"""How near words are to the words that were wanted: exact match, token F1, word and character error rates, chrF.

What is compared is `normalised`, except by chrF, which takes texts as they are. Legend: n items.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from jiwer import CharacterOutput, WordOutput

Float = NDArray[np.float64]
Counts = NDArray[np.int64]
Wanted = Sequence[str | Sequence[str]]
"""One text an item, or several of which any is right."""

_BY_CHARACTER = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
"""Kana and Han: scripts without spaces between words. Each of their characters counts as one, as in sacreBLEU's `zh` tokeniser."""

_APOSTROPHES = "'’"


def normalised(text: str) -> str:
    """Unicode NFC, case folded, without punctuation, single spaces: what two texts must share to count as equal.

    Apostrophes are deleted (it's → its); any other punctuation (Unicode category P) parts words (Guinea-Bissau → guinea bissau).
    Symbols and emoji stay, articles too: SQuAD's rules (arXiv 1606.05250) delete them, and know English only. Text that is nothing
    but punctuation stays as it is."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    parted = "".join(_spaced(one) for one in folded)
    return " ".join(parted.split()) or " ".join(folded.split())


def words(text: str) -> list[str]:
    """The words of a normalised text: between spaces, and each Chinese or Japanese character by itself."""
    return _BY_CHARACTER.sub(r" \1 ", normalised(text)).split()


def exact_match(predicted: Sequence[str], wanted: Wanted) -> Float:
    """Whether each text is one of those wanted, after `normalised`: 0 or 1, [n] (SQuAD, arXiv 1606.05250, 6.1)."""
    return _best(predicted, wanted, lambda one, right: float(normalised(one) == normalised(right)))


def token_f1(predicted: Sequence[str], wanted: Wanted) -> Float:
    """Harmonic mean of precision and recall over the bag of `words`, the best over those wanted: 0 … 1, [n] (SQuAD, arXiv 1606.05250, 6.1)."""
    return _best(predicted, wanted, _f1)


@dataclass(frozen=True, slots=True)
class Alignment:
    """How n texts align with those wanted by the fewest edits; all int64 [n]. hits: words (or characters) that are right;
    substitutions, deletions (wanted, not said) and insertions (said, not wanted)."""

    hits: Counts
    substitutions: Counts
    deletions: Counts
    insertions: Counts

    def errors(self) -> Float:
        """[n, 2]: edits and wanted words: the table of an error rate for `bootstrap.bootstrap` with `ratio`."""
        wrong = self.substitutions + self.deletions
        return np.stack([wrong + self.insertions, wrong + self.hits], axis=1).astype(np.float64)

    def right(self) -> Float:
        """[n, 2]: hits and wanted words: the table of the share of words that are right."""
        return np.stack([self.hits, self.hits + self.substitutions + self.deletions], axis=1).astype(np.float64)


def align_words(predicted: Sequence[str], wanted: Sequence[str], *, plain: bool = False) -> Alignment:
    """Alignment by `words` (jiwer), or with `plain` by what stands between spaces. Raises ValueError where the lengths differ."""
    import jiwer

    return _align(
        predicted, wanted, _single_spaces if plain else lambda text: " ".join(words(text)), jiwer.process_words
    )


def align_characters(predicted: Sequence[str], wanted: Sequence[str], *, plain: bool = False) -> Alignment:
    """Alignment by the characters of `normalised` texts, or with `plain` of the texts as they are, spaces among them (jiwer).
    Raises ValueError where the lengths differ."""
    import jiwer

    return _align(predicted, wanted, _single_spaces if plain else normalised, jiwer.process_characters)


def _single_spaces(text: str) -> str:
    return " ".join(text.split())


def word_error_rate(predicted: Sequence[str], wanted: Sequence[str]) -> float:
    """Edits over wanted words, over the whole set (Morris et al. 2004, "From WER and RIL to MER and WIL"); above 1 where much is added."""
    return _pooled(align_words(predicted, wanted).errors())


def character_error_rate(predicted: Sequence[str], wanted: Sequence[str]) -> float:
    """`word_error_rate` by characters, spaces among them: the measure for Chinese and Japanese, whose words no space parts."""
    return _pooled(align_characters(predicted, wanted).errors())


def words_right(predicted: Sequence[str], wanted: Sequence[str]) -> float:
    """Share of the wanted words, over the whole set, that the alignment finds unchanged (HTK's %Correct / 100); what is added costs nothing."""
    return _pooled(align_words(predicted, wanted).right())


def chrf_table(predicted: Sequence[str], wanted: Wanted) -> Float:
    """What each text adds to corpus chrF, the table for `bootstrap` and `paired_bootstrap` with `chrf_score`.

    → [n, 18]: for each order 1 … 6 the character n-grams predicted, wanted, and in both, against the wanted text that matches best
    (sacreBLEU's chrF2: chrF2|case:mixed|eff:yes|nc:6|nw:0|space:no; Popović 2015, W15-3049)."""
    metric = _chrf()
    rows = [metric.statistics(one, right) for one, right in zip(predicted, map(_several, wanted), strict=True)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), 18)


def chrf_score(sums: Float) -> float:
    """chrF of the summed rows [18] of `chrf_table`, 0 … 100, as sacreBLEU's corpus_score gives it."""
    return _chrf().score(sums)


def chrf(predicted: Sequence[str], wanted: Wanted) -> float:
    """Corpus chrF2 (Popović 2015), 0 … 100, as sacreBLEU gives it by default."""
    return chrf_score(chrf_table(predicted, wanted).sum(axis=0))


def _spaced(character: str) -> str:
    if character in _APOSTROPHES:
        return ""
    return " " if unicodedata.category(character)[0] == "P" else character


def _several(wanted: str | Sequence[str]) -> Sequence[str]:
    return (wanted,) if isinstance(wanted, str) else wanted


def _best(predicted: Sequence[str], wanted: Wanted, score: Callable[[str, str], float]) -> Float:
    """The best score of each text over those wanted; 0 where none is."""
    pairs = zip(predicted, map(_several, wanted), strict=True)
    return np.array(
        [max((score(one, right) for right in several), default=0.0) for one, several in pairs], dtype=np.float64
    )


def _f1(predicted: str, wanted: str) -> float:
    mine, theirs = words(predicted), words(wanted)
    if not mine or not theirs:
        return float(mine == theirs)
    common = (Counter(mine) & Counter(theirs)).total()
    return 2 * common / (len(mine) + len(theirs))


def _pooled(table: Float) -> float:
    """The first column's sum over the second's; 0 where nothing was wanted and nothing said, as many as were said where only that."""
    first, second = table.sum(axis=0)
    return float(first / max(second, 1.0))


def _align(
    predicted: Sequence[str],
    wanted: Sequence[str],
    prepare: Callable[[str], str],
    process: Callable[[list[str], list[str]], WordOutput | CharacterOutput],
) -> Alignment:
    if len(predicted) != len(wanted):
        raise ValueError(f"{len(predicted)} texts predicted, {len(wanted)} wanted")
    found = {kind: np.zeros(len(wanted), dtype=np.int64) for kind in ("equal", "substitute", "delete", "insert")}
    output = process([prepare(one) for one in wanted], [prepare(one) for one in predicted]) if len(wanted) else None
    for item, chunks in enumerate(output.alignments if output else ()):
        for chunk in chunks:
            length = max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
            found[chunk.type][item] += length
    return Alignment(found["equal"], found["substitute"], found["delete"], found["insert"])


class _ChrF(Protocol):
    def statistics(self, predicted: str, wanted: Sequence[str]) -> list[int]: ...
    def score(self, sums: Float) -> float: ...


@cache
def _chrf() -> _ChrF:
    """sacreBLEU's metric with its steps in the open: it offers no counts of single sentences."""
    from sacrebleu.metrics.chrf import CHRF

    class Metric(CHRF):
        def statistics(self, predicted: str, wanted: Sequence[str]) -> list[int]:
            return self._compute_segment_statistics(predicted, self._extract_reference_info(wanted))

        def score(self, sums: Float) -> float:
            return self._compute_f_score([int(one) for one in sums])

    return Metric()
