"""Text: cleaning of what strangers wrote, and a byte-level BPE tokenizer trained on the data set."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from chiasm.errors import MediaError, ModelError

SPECIAL = ("<pad>", "<bos>", "<eos>", "<mask>", "<unk>")
PAD, BOS, EOS, MASK, UNKNOWN = range(5)
MAX_TOKENIZER_BYTES = 64 * 2**20
KNOWN = 2**16
"""Texts whose tokens are remembered: some 20 MB of captions."""

# Control characters (tab and line breaks become spaces below), lone surrogates, the byte-order mark, and
# the BiDi embeddings, overrides and isolates that reorder a terminal. The joiners U+200C and U+200D stay:
# Indic scripts, Persian and emoji need them.
_DROP = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff\u202a-\u202e\u2066-\u2069\u200e\u200f]"
)
_SPACE = re.compile(r"\s+")
MAX_MARKS = 30
"""Combining marks in a row that are kept: the bound of the stream-safe text format (Unicode UAX #15,
section 13).
"""


def clean_text(text: str, limit: int = 10_000) -> str:
    """`text` in NFC on one line: control and direction characters and lone surrogates dropped, white space
    collapsed, floods of combining marks cut to MAX_MARKS.

    Raises MediaError ``empty`` where nothing is left and ``too_long`` above `limit` characters (a text that
    long is a document and not a caption: split it, or shorten it).
    """
    if len(text) > 4 * limit:  # before any work on it
        raise MediaError("too_long", f"{len(text):,} characters; the limit is {limit:,}")
    kept = _DROP.sub("", text)
    kept = _SPACE.sub(" ", _thin_marks(kept)).strip()
    kept = unicodedata.normalize("NFC", kept)
    if not kept:
        raise MediaError("empty", "the text holds nothing but white space or control characters")
    if len(kept) > limit:
        raise MediaError("too_long", f"{len(kept):,} characters; the limit is {limit:,}")
    return kept


def _thin_marks(text: str) -> str:
    if text.isascii():
        return text
    run = 0
    kept: list[str] = []
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)


class Tokenizer:
    """Byte-level BPE (GPT-2's, Radford et al. 2019, section 2.2): any text encodes, nothing is unknown.

    Texts are normalised to NFC and **lower case**, so that "Red Apple" and "red apple" are the same tokens;
    decoding gives lower case.
    """

    def __init__(self, core: tokenizers.Tokenizer) -> None:
        self._core = core
        self._known: dict[str, tuple[int, ...]] = {}
        # A caption that spells "<pad>" is text: only this class places special tokens.
        self._core.encode_special_tokens = True

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary: int) -> Tokenizer:
        """Learn at most `vocabulary` tokens (5 special, 256 bytes, the rest merges). The same texts give
        the same tokenizer.
        """
        core = tokenizers.Tokenizer(models.BPE())
        core.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        core.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=2,
            special_tokens=list(SPECIAL),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            max_token_length=32,
            show_progress=False,
        )
        core.train_from_iterator((_utf8(text) for text in texts), trainer)
        return cls(core)

    @property
    def size(self) -> int:
        """V, special tokens included."""
        return self._core.get_vocab_size()

    def encode(self, texts: Sequence[str], length: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Tokens int64 [I, N] and valid bool [I, N]: <bos> … <eos>, at most `length` (≥ 3) tokens, padded
        to the longest of `texts`.

        A text that is too long is cut and keeps its <eos>.
        """
        if length < 3:
            raise ValueError(f"length {length} leaves no room between <bos> and <eos>")
        rows = [[BOS, *ids[: length - 2], EOS] for ids in self.ids(texts)]
        lengths = np.array([len(row) for row in rows], np.int64)
        width = int(lengths.max()) if rows else 0
        valid = np.arange(width)[None, :] < lengths[:, None]
        tokens = np.full((len(rows), width), PAD, np.int64)
        if rows:
            tokens[valid] = np.concatenate([np.asarray(row, np.int64) for row in rows])
        return tokens, valid

    def ids(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of each text, whole and without <bos> and <eos>.

        Those of the last KNOWN texts or so are remembered: training meets the same captions in every epoch.
        """
        known = self._known
        new = [text for text in dict.fromkeys(texts) if text not in known]
        encoded = self._core.encode_batch_fast([_utf8(text) for text in new], add_special_tokens=False)
        known.update(zip(new, (tuple(item.ids) for item in encoded), strict=True))
        found = [known[text] for text in texts]
        if len(known) > KNOWN:
            self._known = {}  # a new one: another thread may be reading the old
        return found

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int, int]]]:
        """(token, start, stop) for the tokens of each text: the characters that each was made of, a space before a word included.

        Tokens of one character's bytes all have that character."""
        encoded = self._core.encode_batch([_utf8(text) for text in texts], add_special_tokens=False)
        return [[(i, *offset) for i, offset in zip(item.ids, item.offsets, strict=True)] for item in encoded]

    def decode(self, tokens: Sequence[Sequence[int]] | NDArray[np.int64]) -> list[str]:
        """Texts of rows of tokens; special tokens are left out."""
        rows = [[int(token) for token in row if int(token) >= len(SPECIAL)] for row in tokens]
        return [text.strip() for text in self._core.decode_batch(rows, skip_special_tokens=False)]

    def to_json(self) -> str:
        """The contents of tokenizer.json (the format of the `tokenizers` library)."""
        return self._core.to_str(pretty=True)

    def save(self, path: Path) -> None:
        """Write tokenizer.json (the format of the `tokenizers` library), whole or not at all."""
        part = path.with_name(path.name + ".part")
        with part.open("w", encoding="utf8") as file:
            file.write(self.to_json())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Raises ModelError where the file is missing, too large, damaged, or lacks chiasm's special
        tokens.
        """
        try:
            if path.stat().st_size > MAX_TOKENIZER_BYTES:
                raise ModelError(f"{path}: larger than {MAX_TOKENIZER_BYTES:,} bytes; this is no tokenizer")
            core = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf8"))
        except ModelError:
            raise
        except Exception as error:  # the Rust side raises bare Exception
            raise ModelError(f"{path}: not a tokenizer that can be read: {error}") from None
        if [core.token_to_id(name) for name in SPECIAL] != list(range(len(SPECIAL))):
            raise ModelError(f"{path}: its special tokens are not {', '.join(SPECIAL)} as numbers 0 to 4")
        return cls(core)


def _utf8(text: str) -> str:
    """`text` with lone surrogates replaced, so that it can cross into Rust."""
    return text if text.isascii() else text.encode("utf8", "replace").decode("utf8")
