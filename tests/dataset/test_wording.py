"""Languages, placeholders and quality of texts."""

from __future__ import annotations

import pytest

from chiasm.dataset.language import guess_language
from chiasm.dataset.wording import is_placeholder, text_quality

SENTENCES = {
    "en": "two dogs are playing with a red ball in the park",
    "de": "zwei Hunde spielen im Park mit einem roten Ball",
    "fr": "deux chiens jouent avec un ballon rouge dans le parc",
    "es": "dos perros juegan con una pelota roja en el parque",
    "ru": "две собаки играют с красным мячом в большом парке",
    "uk": "дві собаки граються з червоним м'ячем у парку",
    "ar": "كلبان يلعبان بكرة حمراء في الحديقة الكبيرة",
    "fa": "دو سگ با یک توپ قرمز در پارک بازی می‌کنند",
    "zh": "两只狗在公园里玩红球",
    "ja": "二匹の犬が公園で赤いボールで遊んでいる",
    "ko": "개 두 마리가 공원에서 빨간 공을 가지고 논다",
    "el": "δύο σκυλιά παίζουν με μια κόκκινη μπάλα",
    "he": "שני כלבים משחקים בכדור אדום בפארק",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_are_told_by_their_language(language):
    guess, confidence = guess_language(SENTENCES[language])
    assert guess == language
    assert confidence > 0.5


@pytest.mark.parametrize("text", ["", "12345", "😀 !!"])
def test_what_has_no_letters_has_no_language(text):
    assert guess_language(text) == (None, 0.0)


def test_a_word_alone_is_no_certainty():
    assert guess_language("dog")[1] < 0.5


@pytest.mark.parametrize(
    "text",
    ["image", "IMG_1234", "IMG_1234.JPG", "Untitled 3", "DSC00017", "untitled-1", "https://example.org/a.png", "www.example.org/x", "null",
     "...", "photo.jpeg", "Screenshot 2024-01-02", "a@b.org", "image (2)"],
)  # fmt: skip
def test_stand_ins_are_told(text):
    assert is_placeholder(text)


@pytest.mark.parametrize(
    "text", ["a cat", "image of a cat", "2024", "π", "狗", "😀", "photo album of the queen", "new york", "C++", "7 up"]
)
def test_names_are_none(text):
    assert not is_placeholder(text)


def test_quality_of_captions_noise_and_stock_phrases():
    for sentence in SENTENCES.values():
        assert text_quality(sentence) == 1.0
    assert text_quality("#$%^ 12 34 56 78 ++") < 0.3
    assert text_quality("buy buy buy buy buy buy buy buy") < 0.4
    assert text_quality("a nice house. All rights reserved. Click here") == 0.25
    assert text_quality("x" * 100) < 0.1
    assert text_quality("   ") == 0.0
