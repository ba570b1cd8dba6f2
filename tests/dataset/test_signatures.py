"""Signatures: near for changed copies, far for others, and exact where there is a naive way."""

from __future__ import annotations

import numpy as np
import pytest
from measured_sheet import drawing, encoded, sound_file, word
from PIL import Image

from chiasm.dataset.alike import THUMB, picture_error, sound_error
from chiasm.dataset.measure import content
from chiasm.dataset.near import as_words, distances
from chiasm.dataset.signatures import (
    PERMUTATIONS,
    cells,
    grey,
    minhash,
    picture_hash,
    plain_text,
    shingles,
    shrink,
    sound_hash,
    text_digest,
    windows,
)
from chiasm.modalities.audio import log_mel, read_audio
from chiasm.modalities.image import picture_size, read_image


def words_of(data):
    return as_words([picture_hash(content(grey(read_image(data, 128)), *picture_size(data)))])[0]


def thumb(data):
    return content(read_image(data, THUMB), *picture_size(data)).astype(np.float32)


CHANGES = {
    "smaller": lambda picture: encoded(picture.resize((60, 45))),
    "larger": lambda picture: encoded(picture.resize((192, 144), Image.Resampling.BICUBIC)),
    "jpeg": lambda picture: encoded(picture, "JPEG", quality=60),
    "cut": lambda picture: encoded(picture.crop((3, 4, 3 + 88, 4 + 66))),
    "cut elsewhere": lambda picture: encoded(picture.crop((0, 5, 89, 72))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_of_a_picture_is_near_and_alike(change):
    for seed in range(5):
        whole, copy = encoded(drawing(seed)), CHANGES[change](drawing(seed))
        mine, other = words_of(whole), words_of(copy)
        nearest = min(int(distances(mine[:, None], other[:1]).min()), int(distances(other[:, None], mine[:1]).min()))
        assert nearest <= 10
        error = picture_error(thumb(whole), thumb(copy))
        assert error.mean < 7
        assert error.worst < 19


def test_other_pictures_are_not_alike():
    hashes = np.stack([words_of(encoded(drawing(seed)))[:1] for seed in range(12)])
    apart = distances(hashes[:, None], hashes[None])
    assert apart[~np.eye(12, dtype=bool)].min() > 10
    assert picture_error(thumb(encoded(drawing(1))), thumb(encoded(drawing(2)))).worst > 40


def test_a_picture_that_lacks_one_thing_is_no_copy():
    changed = drawing(3)
    changed.paste((255, 0, 255), (40, 30, 54, 44))
    assert picture_error(thumb(encoded(drawing(3))), thumb(encoded(changed))).worst > 40


def test_thin_lines_that_one_picture_has_are_seen():
    lined = drawing(3)
    lined.paste((0, 0, 0), (20, 10, 21, 60))
    assert picture_error(thumb(encoded(drawing(3))), thumb(encoded(lined))).detail > 0.4


def test_shrinking_is_the_mean_of_cells():
    levels = np.arange(48, dtype=np.float32).reshape(6, 8)
    np.testing.assert_allclose(shrink(levels, 3, 4), levels.reshape(3, 2, 4, 2).mean(axis=(1, 3)))
    assert shrink(levels[:1, :1], 5, 5) == pytest.approx(0.0)
    np.testing.assert_allclose(cells(7, 3, 0.1, 0.8).sum(axis=1), 1.0, rtol=1e-6)
    assert len(windows()) == 28


def test_a_changed_copy_of_a_sound_is_near_and_alike():
    for seed in range(4):
        samples = word(seed)
        silence = np.zeros(1600, np.float32)
        for copy in (
            0.4 * samples,
            np.concatenate([silence, samples, silence]),
            read_audio(sound_file(samples, "OGG")),
            read_audio(sound_file(samples, "MP3")),
        ):
            pair = as_words([sound_hash(samples), sound_hash(copy)])
            assert distances(pair[0], pair[1]) <= 64
            assert sound_error(log_mel(samples), log_mel(copy)) < 3.5


def test_other_sounds_are_not_alike():
    hashes = as_words([sound_hash(word(seed)) for seed in range(8)])
    apart = distances(hashes[:, None], hashes[None])
    assert apart[~np.eye(8, dtype=bool)].min() > 64
    assert sound_error(log_mel(word(1)), log_mel(word(2))) > 5
    assert sound_error(log_mel(word(1)), log_mel(word(1, 0.9))) == float("inf")


def test_silence_has_a_signature_too():
    assert len(sound_hash(np.zeros(100, np.float32))) == 32


@pytest.mark.parametrize("texts", [["hello"], ["", "a", "ab", "abcde fgh"], ["日本語の文", "x" * 3000, "été"]])
def test_shingles_are_those_of_each_text_alone(texts):
    values, starts = shingles(texts)
    alone = [shingles([text])[0] for text in texts]
    for part, expected in zip(np.split(values, starts[1:]), alone, strict=True):
        np.testing.assert_array_equal(part, expected)
        assert len(part)
    np.testing.assert_array_equal(minhash(texts), np.concatenate([minhash([text]) for text in texts]))


def test_minhash_estimates_jaccard():
    random = np.random.default_rng(0)
    vocabulary = [f"{number:04}" for number in random.permutation(10_000)[:400]]
    errors = []
    for shared in (20, 60, 100):
        one = " ".join(vocabulary[:120])
        other = " ".join(vocabulary[120 - shared : 240 - shared])
        first, second = (set(shingles([text])[0].tolist()) for text in (one, other))
        estimate = (minhash([one])[0] == minhash([other])[0]).mean()
        errors.append(abs(estimate - len(first & second) / len(first | second)))
    assert max(errors) < 4 * 0.5 / PERMUTATIONS**0.5


def test_texts_are_compared_without_case_and_punctuation_and_with_symbols():
    assert text_digest("A red Apple!") == text_digest("a red apple")
    assert plain_text("  Straße — ＡＢＣ ") == "strasse abc"
    assert text_digest("I am 😀") != text_digest("I am 😡")
    assert text_digest("C++") != text_digest("C#")
    assert plain_text("...") == "..."
