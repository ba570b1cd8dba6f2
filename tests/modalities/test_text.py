"""Texts of strangers are cleaned, and any text encodes."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from chiasm.errors import MediaError, ModelError
from chiasm.modalities.text import BOS, EOS, MAX_MARKS, PAD, SPECIAL, Tokenizer, clean_text

TEXTS = [
    "a red apple",
    "a green apple",
    "the red house",
    "ein roter Apfel",
    "红苹果",
    "赤いりんご",
    "a red house",
] * 3


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, 320)


def test_clean_text() -> None:
    assert clean_text("  two\n\tlines\r\n ") == "two lines"
    assert clean_text("e\u0301") == "é"
    assert clean_text("a\x00b\x1bc\ud800d") == "abcd"
    assert clean_text("abc\u202edef\u2066g") == "abcdefg"
    assert clean_text("\ufefftext") == "text"
    assert clean_text("👩\u200d🚀 می\u200cخواهم") == "👩\u200d🚀 می\u200cخواهم"


def test_a_flood_of_combining_marks_is_thinned() -> None:
    found = clean_text("z" + "\u0336" * 5000 + "a")
    assert found.startswith("z")
    assert found.endswith("a")
    assert sum(unicodedata.combining(character) > 0 for character in found) == MAX_MARKS


@pytest.mark.parametrize("text", ["", " \n ", "\x00\x01", "\ud800", "\u202e"])
def test_nothing_is_refused(text: str) -> None:
    with pytest.raises(MediaError) as caught:
        clean_text(text)
    assert caught.value.reason == "empty"


def test_documents_are_refused() -> None:
    assert len(clean_text("x" * 10_000)) == 10_000
    for length in (10_001, 10_000_000):
        with pytest.raises(MediaError) as caught:
            clean_text("x" * length)
        assert caught.value.reason == "too_long"


def test_tokens_begin_end_and_are_padded(tokenizer: Tokenizer) -> None:
    tokens, valid = tokenizer.encode(["a red apple", "a red apple and a green house", ""], 64)
    assert tokens.shape == valid.shape
    assert tokens.dtype == np.int64
    assert (tokens[:, 0] == BOS).all()
    assert (tokens[~valid] == PAD).all()
    assert tokens[valid].min() > PAD
    lengths = valid.sum(1)
    assert (tokens[np.arange(3), lengths - 1] == EOS).all()
    assert lengths.max() == tokens.shape[1]
    assert lengths[2] == 2


def test_a_cut_keeps_the_end(tokenizer: Tokenizer) -> None:
    tokens, valid = tokenizer.encode(["apple " * 500, "red"], 8)
    assert tokens.shape == (2, 8)
    assert tokens[0, -1] == EOS
    assert valid[0].all()


def test_decode_returns_what_was_encoded_in_lower_case(tokenizer: Tokenizer) -> None:
    texts = ["A Red APPLE", "红苹果", "Привет, мир!", "👩\u200d🚀", "é"]
    tokens, _ = tokenizer.encode(texts, 200)
    assert tokenizer.decode(tokens) == [text.lower() for text in texts]


def test_ids_and_spans_are_those_of_encode(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["A red Apple, the house", "éclair 红苹果", "a red apple", "A red Apple, the house"]
    ids = tokenizer.ids(texts)
    tokens, valid = tokenizer.encode(texts, 64)
    assert [row[real][1:-1].tolist() for row, real in zip(tokens, valid, strict=True)] == [list(row) for row in ids]
    for text, row, spans in zip(texts, ids, tokenizer.spans(texts), strict=True):
        assert tuple(token for token, _, _ in spans) == row
        for token, start, stop in spans:
            (piece,) = tokenizer.decode([[token]])
            assert (
                not piece
                or "\ufffd" in piece
                or piece == unicodedata.normalize("NFC", text[start:stop]).strip().lower()
            )
        assert {i for _, start, stop in spans for i in range(start, stop)} == set(range(len(text)))
    monkeypatch.setattr("chiasm.modalities.text.KNOWN", 2)
    fresh = Tokenizer.train(TEXTS, 320)
    assert [fresh.ids([text])[0] for text in texts * 2] == ids * 2, "whatever was forgotten meanwhile"


def test_case_and_composition_do_not_matter(tokenizer: Tokenizer) -> None:
    one, _ = tokenizer.encode(["É RED"], 64)
    two, _ = tokenizer.encode(["e\u0301 red"], 64)
    assert np.array_equal(one, two)


def test_a_caption_cannot_spell_special_tokens(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    for which in (tokenizer, Tokenizer.load(tmp_path / "tokenizer.json")):
        tokens, valid = which.encode(["".join(SPECIAL)], 64)
        assert (tokens[valid][1:-1] >= len(SPECIAL)).all()
        assert which.decode(tokens) == ["".join(SPECIAL)]


def test_lone_surrogates_encode(tokenizer: Tokenizer) -> None:
    tokens, _ = tokenizer.encode(["a\ud800b"], 64)
    assert tokenizer.decode(tokens) == ["a?b"]


def test_saves_and_loads(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = Tokenizer.load(path)
    assert loaded.size == tokenizer.size <= 320
    assert np.array_equal(loaded.encode(TEXTS, 32)[0], tokenizer.encode(TEXTS, 32)[0])
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.json"]
    for content in ("{}", "not json", '{"version": "1.0"}'):
        path.write_text(content)
        with pytest.raises(ModelError):
            Tokenizer.load(path)
    with pytest.raises(ModelError):
        Tokenizer.load(tmp_path / "none.json")


def test_training_is_the_same_in_another_process(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "here.json")
    code = (
        "import sys; from pathlib import Path; from chiasm.modalities.text import Tokenizer\n"
        f"Tokenizer.train({TEXTS!r}, 320).save(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there.json")], check=True)
    assert (tmp_path / "there.json").read_bytes() == (tmp_path / "here.json").read_bytes()


def test_the_readers_do_not_load_torch() -> None:
    code = (
        "import sys\n"
        "import chiasm.modalities.media, chiasm.modalities.image, chiasm.modalities.audio, chiasm.modalities.text\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
