"""The VQA challenge's normaliser and accuracy: official results, and its quirks by hand."""

from __future__ import annotations

import json

import pytest

from chiasm.errors import DataError
from chiasm.evaluate.metrics.vqa import vqa_accuracy, vqa_normalised


def test_official_normaliser(shared_data):
    lines = (shared_data("vqa_official") / "normaliser_cases.jsonl").read_text(encoding="utf8").splitlines()
    for case in map(json.loads, lines):
        assert vqa_normalised(case["raw"]) == case["normalised"]


def test_official_accuracy(shared_data):
    folder = shared_data("vqa_official")
    lines = (folder / "vqav2_fixture.jsonl").read_text(encoding="utf8").splitlines()
    answers = {one["id"]: one["answers"] for one in map(json.loads, filter(None, lines))}
    for run in json.loads((folder / "official_results.json").read_text(encoding="utf8")).values():
        asked = [one["question_id"] for one in run["candidates"]]
        found = vqa_accuracy([one["answer"] for one in run["candidates"]], [answers[one] for one in asked])
        assert round(100 * float(found.mean()), 2) == run["accuracy"]["overall"]
        assert [round(100 * one, 2) for one in found] == [run["per_question"][str(one)] for one in asked]


@pytest.mark.parametrize(
    ("answer", "normalised"),
    [
        ("a-b c", "b c"),  # the hyphen becomes a space, and "a" an article
        ("x - a-b", "x ab"),  # it stands beside a space once, and goes everywhere
        ("1,000-5", "10005"),  # a number with a comma: every mark goes
        ("5.", "5"),
        ("3.5.", "3.5"),
        (".5", ".5"),
        ("a.b.c", "abc"),
        ("couldnt've", "couldn't've"),
        ("wouldn'tve", "wouldn't've"),
        ("yall'd've", "y'all'd've"),
        ("y'all'dve", "y'all'd've"),
        ("ow's'at", "'ow's'at"),
        ("somebody'd", "somebodyd"),
        ("Ive", "ive"),  # the table has it in capitals, which never come
        ("shes", "shes"),
        ("The one", "1"),
        ("ten!!", "10"),
        ("eleven", "eleven"),
        ("50%", "50%"),
        ("what's-this", "what's this"),
        (" ".join(["x."] * 40), " ".join(["x"] * 32 + ["x."] * 8)),  # only 32 full stops go
    ],
)
def test_quirks(answer, normalised):
    assert vqa_normalised(answer) == normalised


def test_accuracy_by_hand():
    ten = ["dog"] * 3 + ["cat"] * 7
    # Against each person's nine others: two or three of them said dog.
    assert vqa_accuracy(["The dog."], [ten])[0] == pytest.approx((3 * (2 / 3) + 7 * 1) / 10)
    assert vqa_accuracy(["The dog."], [["dog"] * 10])[0] == 0, "where all agree nothing is normalised"
    assert vqa_accuracy(["dog\n"], [["dog"] * 10])[0] == 1, "but for line breaks at the ends"
    assert vqa_accuracy(["dog"], [["dog"]])[0] == 0, "nobody else said it"
    with pytest.raises(DataError, match="question 0 has no answer"):
        vqa_accuracy(["dog"], [[]])
