"""What the step *clean* refuses, with which reason."""

from __future__ import annotations

import numpy as np
import pytest
from measured_sheet import MeasuredSheet, drawing, encoded, sound_file, word
from PIL import Image, ImageFilter

from chiasm.building import CleanConfig
from chiasm.config import BuildConfig
from chiasm.dataset.cleaning import nearest_similarity, robust_scores, run
from chiasm.types import Media, Record, Text

GOOD = Record(
    "good",
    (Text("A brown dog runs over the wide green lawn.", "en"),),
    (Media(data=encoded(drawing(0))),),
    (Media(data=sound_file(word(0))),),
)


def pictured(picture):
    return Record("bad", image=(Media(data=encoded(picture)),))


def heard(samples):
    return Record("bad", audio=(Media(data=sound_file(samples)),))


def told(text, language="en"):
    return Record("bad", (Text(text, language),))


def refuse(records, model=None, **settings):
    sheet = MeasuredSheet(records)
    outcome = run(sheet, BuildConfig(clean=CleanConfig(**settings)), model=model)
    return {refused.id: (refused.reason, refused.message) for refused in outcome.removed.values()}


CASES = [
    (pictured(drawing(0, 20, 20)), {"pixels": 32}, "too_small", "20 × 20"),
    (pictured(Image.new("RGB", (50, 50), "navy")), {"ink": 0.01}, "blank", "at least 0.01"),
    (pictured(Image.new("RGB", (50, 50), "navy")), {"entropy": 0.5}, "low_information", "bits"),
    (pictured(drawing(0, 200, 200).filter(ImageFilter.GaussianBlur(12))), {"blur": 20}, "blurred", "Laplacian"),
    (heard(word(0)[:400]), {"seconds": 0.1}, "too_short", "0.025"),
    (heard(1e-4 * word(0)), {"loudness": -60}, "silent", "dB"),
    (heard(np.clip(20 * word(0), -1, 1)), {"clipped": 0.02}, "clipped", "full scale"),
    (told("a"), {"characters": 2}, "short_text", "1;"),
    (told("IMG_0042.jpg"), {"placeholders": True}, "placeholder", "stand-in"),
    (told("zwei Hunde spielen im Park mit einem roten Ball"), {"languages": ("en", "fr")}, "wrong_language", "'de'"),
    (
        told("zwei Hunde spielen im Park mit einem roten Ball"),
        {"declared": True},
        "wrong_language",
        "said to be in 'en'",
    ),
    (told("%% 123 ## 456 && 789"), {"quality": 0.5}, "low_quality", "at least 0.5"),
]


@pytest.mark.parametrize(
    ("bad", "settings", "reason", "message"), CASES, ids=[f"{case[2]}-{next(iter(case[1]))}" for case in CASES]
)
def test_each_reason_takes_what_it_says_and_nothing_else(bad, settings, reason, message):
    found = refuse([GOOD, bad], **settings)
    assert list(found) == ["bad"]
    assert found["bad"][0] == reason
    assert message in found["bad"][1]


def test_nothing_goes_where_nothing_is_asked():
    assert refuse([GOOD, *(case[0] for case in CASES[:1])]) == {}


@pytest.mark.parametrize("preset", ["light", "strict"])
def test_presets_keep_what_is_good_and_what_is_given_goes_before_them(preset):
    blank = pictured(Image.new("RGB", (50, 50), "white"))
    assert refuse([GOOD, blank], preset=preset)["bad"][0] == "blank"
    assert refuse([GOOD, blank], preset=preset, ink=0.0, entropy=0.0, blur=0.0) == {}


def test_a_sentence_that_everybody_has_is_boilerplate_and_a_class_name_is_not():
    sentence, name = "this picture was uploaded by the museum", "cat"
    records = [Record(str(number), (Text(sentence if number < 6 else name),)) for number in range(20)]
    found = refuse(records, repeats=5)
    assert sorted(found) == [str(number) for number in range(6)]
    assert "6 records have this text" in found["0"][1]
    assert refuse(records, repeats=6) == {}


def test_outliers_of_measures_lie_far_from_the_median():
    random = np.random.default_rng(0)
    texts = ["word " * int(count) for count in random.integers(8, 14, 40)] + ["word " * 1500]
    found = refuse([Record(str(n), (Text(text),)) for n, text in enumerate(texts)], outlier=12.0)
    assert list(found) == ["40"]
    assert found["40"][0] == "outlier"
    assert "text_characters" in found["40"][1]


def test_robust_scores_of_few_or_equal_values_are_zero():
    assert not robust_scores(np.arange(10.0)).any()
    assert not robust_scores(np.array([5.0] * 30 + [900.0])).any()
    values = np.concatenate([np.random.default_rng(0).normal(size=1000), [30.0, np.nan]])
    scores = robust_scores(values)
    assert scores[1000] > 20
    assert scores[1001] == 0
    assert np.std(scores[:1000]) == pytest.approx(1.0, abs=0.1)


class Model:
    """Puts every text at one place but those with "odd"."""

    modalities = ("text",)

    def embed_items(self, modality, items):
        angles = np.array([np.pi if "odd" in item.text else 0.01 * len(item.text) for item in items])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_outliers_in_a_models_space():
    texts = [f"text {'i' * (number % 17)}" for number in range(60)] + ["an odd one here"]
    found = refuse([Record(str(n), (Text(text),)) for n, text in enumerate(texts)], Model(), outlier=40.0)
    assert list(found) == ["60"]
    assert "nearest" in found["60"][1]


def test_nearest_similarity_against_sorting():
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    expected = [np.sort(np.delete(row, at))[-3:].mean() for at, row in enumerate(cosines)]
    np.testing.assert_allclose(nearest_similarity(vectors, 3), expected, rtol=1e-5)
