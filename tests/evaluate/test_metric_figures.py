"""Metrics of classes, rankings, spaces, what was generated, language and translation: against scikit-learn, sacreBLEU and slow versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from chiasm.errors import DataError
from chiasm.evaluate.metrics.captions import bleu, bleu_among
from chiasm.evaluate.metrics.classes import (
    area_under_curve,
    class_scores,
    confusion,
    macro_area_under_curve,
)
from chiasm.evaluate.metrics.generation import clip_scores, distinct, frechet_distance, precision_recall, self_bleu
from chiasm.evaluate.metrics.items import average_precisions, hit_at_k, ndcg_at_k, reciprocal_rank
from chiasm.evaluate.metrics.language import bits_per_byte, perplexity
from chiasm.evaluate.metrics.space import alignment, linear_cka, modality_gap, uniformity
from chiasm.evaluate.metrics.translation import translation_scores


@pytest.mark.parametrize("seed", range(3))
def test_classes_against_sklearn(seed):
    rng = np.random.default_rng(seed)
    truth = [str(one) for one in rng.integers(0, 4, 60)]
    predicted = [one if rng.random() < 0.6 else str(rng.integers(0, 4)) for one in truth]
    scores = class_scores(predicted, truth)
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(truth, predicted))
    assert scores["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, predicted))
    for kind in ("macro", "micro"):
        wanted = sk.precision_recall_fscore_support(truth, predicted, average=kind, zero_division=0)
        assert [scores[f"{name}_{kind}"] for name in ("precision", "recall", "f1")] == pytest.approx(list(wanted[:3]))
    probabilities = rng.dirichlet(np.ones(4), 60)
    assert macro_area_under_curve(probabilities, np.array([int(one) for one in truth])) == pytest.approx(
        sk.roc_auc_score(truth, probabilities, multi_class="ovr")
    )
    tied, right = rng.integers(0, 5, 60) / 5, rng.random(60) < 0.4
    assert area_under_curve(tied, right) == pytest.approx(sk.roc_auc_score(right, tied))


def test_classes_that_are_only_predicted():
    scores = class_scores(["a", "c"], ["a", "b"])
    wanted = sk.precision_recall_fscore_support(["a", "b"], ["a", "c"], average="macro", zero_division=0)
    assert [scores[f"{name}_macro"] for name in ("precision", "recall", "f1")] == pytest.approx(list(wanted[:3]))
    assert scores["balanced_accuracy"] == 0.5
    assert [one.tolist() for one in confusion(["a", "c"], ["a", "b"])] == [[1, 0, 0], [1, 0, 1], [1, 1, 0]]
    with pytest.raises(DataError):
        class_scores([], [])
    with pytest.raises(DataError, match="of one kind"):
        area_under_curve(np.ones(2), np.ones(2, bool))


def test_rankings():
    ranked = [["a", "b", "c"], ["c", "a", "b"], ["b"]]
    assert hit_at_k(ranked, ["a", "b", "a"], 2).tolist() == [1, 0, 0]
    assert hit_at_k(ranked, [["a", "c"], ["a"], []], 2).tolist() == [1, 1, 0]
    assert reciprocal_rank(ranked, ["b", "b", "a"]).tolist() == [1 / 2, 1 / 3, 0]
    assert reciprocal_rank(ranked, [["b", "c"], ["b"], ["a"]]).mean() == pytest.approx(5 / 18)
    np.testing.assert_allclose(
        average_precisions(ranked, [["a", "c"], ["b"], ["a", "b"]]), [(1 + 2 / 3) / 2, 1 / 3, 1 / 2]
    )


@pytest.mark.parametrize("seed", range(3))
def test_gain_against_sklearn(seed):
    rng = np.random.default_rng(seed)
    scores, gains = rng.random((5, 9)), rng.integers(0, 3, (5, 9)).astype(float)
    gains[:, 0] = 1
    order = [[str(one) for one in np.argsort(-row)] for row in scores]
    by_name = [{str(item): float(gain) for item, gain in enumerate(row)} for row in gains]
    wanted = [sk.ndcg_score(gains[i : i + 1], scores[i : i + 1], k=5) for i in range(5)]
    np.testing.assert_allclose(ndcg_at_k(order, by_name, 5), wanted)
    relevant = [[item for item, gain in one.items() if gain] for one in by_name]
    wanted = [sk.average_precision_score(gains[i] > 0, scores[i]) for i in range(5)]
    np.testing.assert_allclose(average_precisions(order, relevant), wanted)
    halved = [len(one) / (len(one) + 1) for one in relevant]
    lacking = average_precisions(order, [[*one, "elsewhere"] for one in relevant])
    np.testing.assert_allclose(lacking, np.array(wanted) * halved)


def test_space():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 5)), rng.normal(size=(30, 5))
    a, b = a / np.linalg.norm(a, axis=1, keepdims=True), b / np.linalg.norm(b, axis=1, keepdims=True)
    assert alignment(a, b) == pytest.approx(np.mean([np.linalg.norm(x - y) ** 2 for x, y in zip(a, b, strict=True)]))
    potential = [math.exp(-2 * np.sum((a[i] - a[j]) ** 2)) for i in range(30) for j in range(30) if i != j]
    assert uniformity(a) == pytest.approx(math.log(np.mean(potential)))
    assert uniformity(np.tile(a[:1], (4, 1))) == pytest.approx(0.0, abs=1e-9)
    assert modality_gap(a, a + np.array([3, 4, 0, 0, 0])) == pytest.approx(5.0)


def test_cka():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 6))
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    assert linear_cka(x, 3 * x @ turn + 1) == pytest.approx(1.0)
    y = rng.normal(size=(40, 50))
    centre = np.eye(40) - 1 / 40
    k, l = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    assert linear_cka(x, y) == pytest.approx(np.trace(k @ l) / math.sqrt(np.trace(k @ k) * np.trace(l @ l)))
    assert linear_cka(x, np.ones((40, 2))) == 0.0


def test_frechet_distance():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(80, 4)), rng.normal(1, 2, size=(90, 4)) @ rng.normal(size=(4, 4))
    one, two = np.cov(a.T), np.cov(b.T)
    slow = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(one + two - 2 * np.real(sqrtm(one @ two)))
    assert frechet_distance(a, b) == pytest.approx(slow)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(DataError):
        frechet_distance(a[:1], b)


def test_precision_and_recall():
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) * 0.3

    def slow(points, balls):
        reach = [sorted(np.linalg.norm(balls - one, axis=1))[3] for one in balls]
        return np.mean([any(np.linalg.norm(p - c) <= r for c, r in zip(balls, reach, strict=True)) for p in points])

    assert precision_recall(made, real) == pytest.approx((slow(made, real), slow(real, made)))
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(real + 100, real) == (0.0, 0.0)
    with pytest.raises(DataError, match="more than 3"):
        precision_recall(made[:3], real)


def test_texts_and_pairs():
    assert self_bleu(["a b c d e", "a b c d e"]) == pytest.approx([1.0] * 4, abs=1e-6)
    assert self_bleu(["a b c d", "e f g h"])[0] < 1e-6
    assert distinct(["a b a b", "a"], 1) == 2 / 5 and distinct(["a b a b", "a"], 2) == 2 / 3 and distinct([], 1) == 0
    a = np.array([[1.0, 0], [0, 2], [1, 0]])
    np.testing.assert_allclose(clip_scores(a, np.array([[2.0, 0], [1, 1], [-1, 0]])), [2.5, 2.5 / math.sqrt(2), 0])


def test_language():
    assert perplexity([math.log(0.25) * 3, math.log(0.25)], [3, 1]) == pytest.approx(4.0)
    assert bits_per_byte([math.log(0.5) * 8], [4]) == pytest.approx(2.0)
    assert perplexity([-1e6], [1]) == math.inf
    for wrong in (([0.5], [1]), ([-1.0], [0]), ([-1.0], [1, 2]), ([math.nan], [1])):
        with pytest.raises(DataError):
            perplexity(*wrong)


def test_translation_against_sacrebleu():
    import sacrebleu

    rng = np.random.default_rng(0)
    words = ["the", "cat", "sat", "on", "a", "mat", ",", "and", "it", "'s", "fine", "."]

    def text():
        return " ".join(rng.choice(words, rng.integers(3, 12)))

    candidates, references = [text() for _ in range(15)], [[text(), text()] for _ in range(15)]
    streams = [list(one) for one in zip(*references, strict=True)]
    corpus, items = translation_scores(candidates, references)
    assert corpus["bleu"] == pytest.approx(sacrebleu.corpus_bleu(candidates, streams, force=True).score)
    assert corpus["chrf"] == pytest.approx(sacrebleu.corpus_chrf(candidates, streams).score)
    assert items["bleu"][3] == pytest.approx(sacrebleu.sentence_bleu(candidates[3], references[3]).score)
    assert items["chrf"][3] == pytest.approx(sacrebleu.sentence_chrf(candidates[3], references[3]).score)
    uneven, _ = translation_scores(["a b c d e", "x"], [["a b c d e"], ["x", "y"]], "none")
    assert uneven["bleu"] == pytest.approx(100.0)
    assert translation_scores(["黒い猫がいる"], [["黒い猫がいる"]], "char")[0]["bleu"] == pytest.approx(100.0)


def test_texts_among_themselves_are_as_each_against_all_others() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        texts = [" ".join(rng.choice(list("abcd"), rng.integers(0, 9))) for _ in range(rng.integers(2, 8))]
        others = [[*texts[:i], *texts[i + 1 :]] for i in range(len(texts))]
        assert np.allclose(bleu_among(texts), bleu(texts, others)[1], atol=1e-12)
