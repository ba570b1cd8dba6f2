"""Caption metrics: the official figures of shared sets, versions that are right by inspection, and what a user may get wrong."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest

from chiasm.errors import DataError
from chiasm.evaluate.metrics.captions import bleu, caption_scores, cider_d, plain_cider, rouge_l, tokenised
from chiasm.evaluate.metrics.meteor import align, meteor

OFFICIAL = {
    "bleu_1": "Bleu_1",
    "bleu_2": "Bleu_2",
    "bleu_3": "Bleu_3",
    "bleu_4": "Bleu_4",
    "rouge_l": "ROUGE_L",
    "cider": "CIDEr",
}


def random_captions(seed, n=12):
    rng = np.random.default_rng(seed)

    def one():
        return " ".join(rng.choice(list("abcdefg"), rng.integers(0 if seed else 1, 9)))

    return [one() for _ in range(n)], [[one() for _ in range(rng.integers(1, 5))] for _ in range(n)]


def grams(words, order):
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))


def naive_bleu(candidate, references):
    words, several = candidate.split(), [one.split() for one in references]
    length = min((abs(len(one) - len(words)), len(one)) for one in several)[1]
    found, product = [], 1.0
    for order in range(1, 5):
        mine = grams(words, order)
        most = {gram: max(grams(one, order)[gram] for one in several) for gram in mine}
        correct = sum(min(count, most[gram]) for gram, count in mine.items())
        product *= (correct + 1e-15) / (max(len(words) - order + 1, 0) + 1e-9)
        found.append(product ** (1 / order))
    ratio = (len(words) + 1e-15) / (length + 1e-9)
    return [one * math.exp(1 - 1 / ratio) if ratio < 1 else one for one in found]


def naive_cider(candidates, references, penalised=True):
    found = []
    for candidate, several in zip(candidates, references, strict=True):
        total = 0.0
        for reference in several:
            for order in range(1, 5):
                documents = Counter(
                    gram for item in references for gram in set().union(*(grams(one.split(), order) for one in item))
                )
                mine, theirs = (
                    {
                        g: c * (math.log(len(references)) - math.log(max(documents[g], 1)))
                        for g, c in grams(t.split(), order).items()
                    }
                    for t in (candidate, reference)
                )
                dot = sum((min(w, theirs.get(g, 0)) if penalised else w) * theirs.get(g, 0) for g, w in mine.items())
                norm = math.hypot(*mine.values()) * math.hypot(*theirs.values())
                far = max(len(candidate.split()) - 1, 0) - max(len(reference.split()) - 1, 0)
                total += (dot / norm if norm else 0) * (math.exp(-(far**2) / 72) if penalised else 1)
        found.append(10 * total / 4 / len(several))
    return found


def naive_rouge(candidate, references):
    def common(a, b):
        table = np.zeros((len(a) + 1, len(b) + 1), int)
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
        return table[-1, -1]

    mine = candidate.split(" ")
    shared = [(common(mine, one.split(" ")), len(one.split(" "))) for one in references]
    p, r = max(c for c, _ in shared) / len(mine), max(c / size for c, size in shared)
    return (1 + 1.44) * p * r / (r + 1.44 * p) if p and r else 0.0


@pytest.mark.parametrize("seed", range(4))
def test_random_captions_against_naive_versions(seed):
    candidates, references = random_captions(seed)
    scores = caption_scores(candidates, references)
    each = np.array([naive_bleu(*both) for both in zip(candidates, references, strict=True)])
    np.testing.assert_allclose(np.stack([scores.items[f"bleu_{k}"] for k in range(1, 5)], 1), each, atol=1e-12)
    np.testing.assert_allclose(scores.items["cider_d"], naive_cider(candidates, references), atol=1e-9)
    np.testing.assert_allclose(
        plain_cider(candidates, references), naive_cider(candidates, references, False), atol=1e-9
    )
    rouge = [naive_rouge(*both) for both in zip(candidates, references, strict=True)]
    np.testing.assert_allclose(rouge_l(candidates, references), rouge, atol=1e-12)
    np.testing.assert_array_equal(scores.items["cider"], cider_d(candidates, references))
    np.testing.assert_allclose(bleu(candidates, references)[0][0], scores.corpus["bleu_1"])


@pytest.mark.parametrize("name", ["audiocaption_example_1", "clipscore_good", "nlgeval_example"])
def test_official_figures(shared_data, name):
    folder = shared_data("caption_metrics")
    items = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf8").splitlines()]
    corpus = json.loads((folder / f"{name}.scores.json").read_text(encoding="utf8"))["corpus"]
    scores = caption_scores([one["candidate_ptb"] for one in items], [one["references_ptb"] for one in items])
    raw = caption_scores(*tokenised([one["candidate"] for one in items], [one["references"] for one in items]))
    for mine, theirs in OFFICIAL.items():
        each = [one["scores"][theirs] for one in items]
        assert scores.corpus[mine] == pytest.approx(corpus[theirs], abs=1e-9)
        np.testing.assert_allclose(scores.items[mine], each, atol=1e-9)
        assert raw.corpus[mine] == pytest.approx(corpus[theirs], abs=1e-9)
    whole, _ = meteor([one["candidate_ptb"] for one in items], [one["references_ptb"] for one in items])
    assert whole == pytest.approx(corpus["METEOR"], abs=0.005)


def test_meteor_by_hand():
    # Equal sentences: no penalty. One chunk of 2 of 3 content words, both weighted 0.75 … (Denkowski & Lavie 2014, section 2).
    assert meteor(["dogs run fast"], [["dogs run fast"]])[0] == pytest.approx(1.0)
    precision = recall = 2 / 3
    mean = precision * recall / (0.85 * precision + 0.15 * recall)
    assert meteor(["dogs run purple"], [["dogs run slowly"]])[0] == pytest.approx(mean * (1 - 0.6 * (1 / 2) ** 0.2))
    assert meteor(["zebra"], [["table"]])[0] == 0.0
    assert meteor(["jumping"], [["jumps"]])[0] == pytest.approx(0.6), "a stem, and nothing torn apart"
    # The official program on the same three, without synonyms.
    whole, each = meteor(["jumping", "dogs run fast", "a b"], [["jumps"], ["dogs run fast"], ["a b c"]])
    assert each == pytest.approx([0.6, 1.0, 0.29170666383042776])
    assert whole == pytest.approx(0.46331079166082906)


def test_meteor_prefers_fewer_chunks():
    matches, chunks = align(*map(str.split, ("a dog and a cat", "there is a cat and a dog")))
    assert len(matches) == 5 and chunks == 3


def test_meteor_takes_the_best_reference_and_sums_counts():
    whole, each = meteor(["a red ball", "purple zebra"], [["nothing else", "a red ball"], ["green table"]])
    assert each[0] == pytest.approx(1.0) and each[1] == 0.0
    assert whole != pytest.approx(each.mean()), "the set's figure is of summed counts"


def test_languages_by_character():
    assert tokenised(["白い猫がいる。"], [["黒い猫"]], "ja") == (["白 い 猫 が い る"], [["黒 い 猫"]])
    assert tokenised(["A cat."], [["Two cats!", "a  cat"]]) == (["a cat"], [["two cats", "a cat"]])


def test_edges():
    empty = caption_scores([], [])
    assert empty.corpus["cider"] == 0.0 and empty.corpus["bleu_4"] == 0.0
    alone = caption_scores(["a cat"], [["a cat"]])
    assert alone.corpus["rouge_l"] == 1.0 and alone.corpus["cider"] == 0.0, "of one item every word is in all items"
    assert caption_scores([""], [["a cat"]]).corpus["rouge_l"] == 0.0
    with pytest.raises(DataError, match="caption 1 has no reference"):
        caption_scores(["a", "b"], [["a"], []])
    with pytest.raises(DataError, match="give each its own"):
        meteor(["a"], [])
