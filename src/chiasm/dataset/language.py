"""In which language a text is written: by its script where that settles it, else by py3langid's naive Bayes over byte n-grams
(Lui and Baldwin, "langid.py", ACL 2012), which knows 140 languages and needs no download.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_SCRIPTS = (
    (
        "ja",
        re.compile(r"[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9d]"),
    ),  # kana, also where most of the text is Chinese characters
    ("ko", re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")),
    ("el", re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("ka", re.compile(r"[\u10a0-\u10ff]")),
    ("hy", re.compile(r"[\u0530-\u058f]")),
    ("ta", re.compile(r"[\u0b80-\u0bff]")),
)
"""Scripts in which one language is written, or nearly all that is."""

_SHARE = 0.5
_JAPANESE = 0.1
_VARIETY = {
    "ary": "ar",
    "arz": "ar",
    "nn": "no",
    "nb": "no",
    "yue": "zh",
    "wuu": "zh",
    "uzs": "uz",
    "hbo": "he",
    "grc": "el",
}
"""What is told apart only by long texts is named as its language."""
MAX_CHARACTERS = 1_000
"""More does not make the guess better."""


def guess_language(text: str) -> tuple[str | None, float]:
    """The likeliest language (ISO 639-1, or 639-3 where there is none) and its probability, 0 … 1.

    None and 0 where the text has no letters. A word or two seldom reach 0.5: compare with a threshold before anything is decided by it.
    """
    text = text[:MAX_CHARACTERS]
    letters = sum(map(str.isalpha, text))
    if not letters:
        return None, 0.0
    if not text.isascii():
        for language, script in _SCRIPTS:
            share = len(script.findall(text)) / letters
            if share >= (_JAPANESE if language == "ja" else _SHARE):
                return language, min(1.0, share + (0.5 if language == "ja" else 0.0))
    language, probability = _identifier().classify(text)
    if language == "zxx":
        return None, 0.0
    return _VARIETY.get(language, language), float(probability)


def known_languages() -> frozenset[str]:
    """Everything that `guess_language` may answer."""
    told = {_VARIETY.get(name, name) for name in map(str, _identifier().nb_classes)} - {"zxx"}
    return frozenset(told | {language for language, _ in _SCRIPTS})


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
