"""Codes of languages."""

from __future__ import annotations

import pytest

from chiasm.modalities.languages import is_language


@pytest.mark.parametrize("code", ["en", "EN", "pt_BR", "zh-Hans-CN", "yue", "deu", "und"])
def test_codes(code: str) -> None:
    assert is_language(code)


@pytest.mark.parametrize("code", ["english", "xx", "", "e", "en-", "en us", "e1", "ｅｎ"])
def test_what_is_no_code(code: str) -> None:
    assert not is_language(code)
