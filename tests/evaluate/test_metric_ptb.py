"""The tokeniser against what Stanford's PTBTokenizer 3.4.1 and coco-caption made of the same texts (ptb_cases.txt: text, tab, tokens)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from chiasm.evaluate.metrics.ptb import coco_tokenised, ptb_tokens

ESCAPE = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[\\nrt])")


def plain(text):
    return ESCAPE.sub(lambda one: one[0].encode().decode("unicode_escape"), text)


def test_equals_the_original():
    lines = (Path(__file__).parent / "ptb_cases.txt").read_text(encoding="utf8").splitlines()
    cases = [tuple(map(plain, line.split("\t"))) for line in lines]
    # A plain caption behind each, so that none decides about the one before it.
    found = coco_tokenised([text for case in cases for text in (case[0], "zz")])[::2]
    assert len(cases) > 300
    wrong = [(*case, mine) for case, mine in zip(cases, found, strict=True) if case[1] != mine]
    assert not wrong


def test_tokens_of_a_sentence():
    text = "Mr. Smith's \"T-shirt\" isn't $5.00 (really)!"
    wanted = "mr. smith 's '' t-shirt '' is n't $ 5.00 -lrb- really -rrb- !"
    assert " ".join(ptb_tokens(text)) == wanted
    assert coco_tokenised([text]) == ["mr. smith 's t-shirt is n't $ 5.00 -lrb- really -rrb-"]


def test_the_next_caption_decides_about_the_last_full_stop():
    assert coco_tokenised(["this is plan A.", "The end", "see plan B.", "nothing"]) == [
        "this is plan a",
        "the end",
        "see plan b.",
        "nothing",
    ]


@pytest.mark.parametrize("text", ["", "   ", "...", "!", "\u200d", "😀"])
def test_nothing_to_say(text):
    assert coco_tokenised([text]) == [""]


def test_line_breaks_are_spaces():
    assert coco_tokenised(["a\nb\r\nc\u2028d"]) == ["a b c d"]


def test_long_and_odd_texts_end():
    for text in ("a." * 5_000, "<a " * 3_000, "'" * 10_000, "(1 " * 3_000, "-" * 10_000, "a@" * 3_000, "1 2/" * 2_000):
        coco_tokenised([text])


def test_shared_captions(shared_data):
    for file in sorted(shared_data("caption_metrics").glob("*.jsonl")):
        items = [json.loads(line) for line in file.read_text(encoding="utf8").splitlines()]
        assert coco_tokenised([one["candidate"] for one in items]) == [one["candidate_ptb"] for one in items]
        flat = [text for one in items for text in one["references"]]
        assert coco_tokenised(flat) == [text for one in items for text in one["references_ptb"]]
