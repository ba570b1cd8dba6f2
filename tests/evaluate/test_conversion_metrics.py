"""The measures of conversion against the public ones, slow versions that are right by inspection, and cases done by hand."""

from __future__ import annotations

import contextlib
import io
from itertools import product

import numpy as np
import pytest
import sacrebleu

from chiasm.errors import DataError
from chiasm.evaluate.metrics.bootstrap import bootstrap, intervals, paired_bootstrap, rates, ratio
from chiasm.evaluate.metrics.detection import box_average_precision, overlaps
from chiasm.evaluate.metrics.items import hit_at_k, reciprocal_rank
from chiasm.evaluate.metrics.masks import foreground_score, mask_score, mask_table, mean_iou, resized
from chiasm.evaluate.metrics.texts import (
    align_words,
    character_error_rate,
    chrf,
    chrf_score,
    chrf_table,
    exact_match,
    normalised,
    token_f1,
    word_error_rate,
    words,
    words_right,
)
from chiasm.types import IGNORE, Box, ScoredBox

GERMAN = ["der Mann läuft schnell", "zwei Hunde spielen", "ein rotes Auto", "Frau mit Hut", "das Kind lacht laut"]
GUESSED = ["ein Mann läuft", "zwei Hunde spielen", "das rote Auto", "Mann mit Hut", ""]


def test_normalised_says_what_counts_as_equal() -> None:
    assert normalised("  Guinea-Bissau,\tthe\nIT’S! ") == "guinea bissau the its"
    assert normalised("Cafe\u0301") == normalised("CAFÉ") and normalised("Straße") == "strasse"
    assert normalised("?!") == "?!" and normalised("?!") != normalised("!!")
    assert normalised("你好，世界。") == "你好 世界" and normalised("5 + 3 = 🍎") == "5 + 3 = 🍎"
    assert words("红苹果 red 아이 カメラ") == [*"红苹果", "red", "아이", *"カメラ"]


def test_exact_match_and_token_f1_take_the_best_answer_of_each_item() -> None:
    predicted = ["Red apple!", "a dog", "", "红色苹果", "x"]
    wanted = ["red apple", ["cat", "a big dog"], "nothing", ["红苹果"], []]
    np.testing.assert_array_equal(exact_match(predicted, wanted), [1, 0, 0, 0, 0])
    # "a dog" shares 2 words with "a big dog": precision 1, recall 2/3; 3 of 4 and 3 of 3 characters in Chinese
    np.testing.assert_allclose(token_f1(predicted, wanted), [1, 0.8, 0, 6 / 7, 0])
    assert token_f1(["a a b"], ["a b b"])[0] == pytest.approx(2 / 3), "a repeated word counts as often as it is in both"
    with pytest.raises(ValueError):
        exact_match(["a"], ["a", "b"])


def edits(a: list[str], b: list[str]) -> int:
    """Levenshtein's table, cell by cell."""
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    table[:, 0], table[0] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i, j in product(range(len(a)), range(len(b))):
        table[i + 1, j + 1] = min(table[i, j] + (a[i] != b[j]), table[i, j + 1] + 1, table[i + 1, j] + 1)
    return int(table[-1, -1])


def test_error_rates_pool_edits_over_the_set() -> None:
    rng = np.random.default_rng(0)
    said, wanted = ([" ".join(rng.choice(list("abcd"), rng.integers(0, 7))) for _ in range(60)] for _ in range(2))
    found = align_words(said, wanted)
    expected = [edits(a.split(), b.split()) for a, b in zip(said, wanted, strict=True)]
    np.testing.assert_array_equal(found.errors()[:, 0], expected)
    np.testing.assert_array_equal(found.errors()[:, 1], [len(one.split()) for one in wanted])
    assert word_error_rate(said, wanted) == pytest.approx(sum(expected) / sum(len(one.split()) for one in wanted))
    assert words_right(["The big fat dog"], ["the dog"]) == 1, "what is added costs nothing here"
    assert word_error_rate(["b c"], [""]) == 2 and word_error_rate([], []) == 0


def test_chinese_and_japanese_words_are_characters() -> None:
    assert word_error_rate(["红苹果"], ["红苹果"]) == 0
    assert word_error_rate(["红苹"], ["红苹果"]) == pytest.approx(1 / 3)
    assert character_error_rate(["カメう"], ["カメラ"]) == pytest.approx(1 / 3)
    assert character_error_rate(["red aple"], ["Red apple."]) == pytest.approx(1 / 9)


def test_chrf_is_that_of_sacrebleu_whatever_the_number_of_references() -> None:
    assert chrf(GUESSED, GERMAN) == pytest.approx(sacrebleu.corpus_chrf(GUESSED, [GERMAN]).score)
    second = [one.upper() for one in GERMAN[:3]] + GUESSED[3:4] + GERMAN[:1]
    both = list(zip(GERMAN, second, strict=True))
    assert chrf(GUESSED, both) == pytest.approx(sacrebleu.corpus_chrf(GUESSED, [GERMAN, second]).score)
    assert chrf(GERMAN, GERMAN) == 100 and chrf([], []) == 0
    assert chrf_table(GUESSED, GERMAN).shape == (5, 18)


def test_bootstrap_of_a_rate_agrees_with_the_closed_form() -> None:
    rng = np.random.default_rng(1)
    right = (rng.random(400) < 0.7).astype(np.float64)
    value, low, high = bootstrap(ratio, rates(right), seed=3)
    assert value == right.mean()
    half = 1.96 * np.sqrt(value * (1 - value) / 400)
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.01)
    assert (low, high) == intervals({"right": right}, np.arange(400), seed=3)["right"]
    assert (value, low, high) == bootstrap(ratio, rates(right), seed=3) != bootstrap(ratio, rates(right), seed=4)


def test_groups_widen_an_interval() -> None:
    rng = np.random.default_rng(2)
    concept = np.repeat(np.arange(40), 10)
    right = rng.random(40).round()[concept]
    _, low, high = bootstrap(ratio, rates(right))
    _, lower, higher = bootstrap(ratio, rates(right), group=concept)
    assert higher - lower > 2 * (high - low)


def test_paired_bootstrap_sees_a_small_difference_that_pairing_reveals() -> None:
    rng = np.random.default_rng(3)
    hard = rng.random(300)
    a, b = rates(hard + 0.02), rates(hard + rng.normal(0, 0.01, 300))
    difference, low, high = paired_bootstrap(ratio, a, b, 0, 500)
    assert difference == pytest.approx(0.02, abs=0.003) and 0.015 < low < difference < high < 0.025
    same = chrf_table(GUESSED, GERMAN)
    assert paired_bootstrap(chrf_score, same, same) == (0, 0, 0)
    better = chrf_table(GERMAN, GERMAN)
    difference, low, high = paired_bootstrap(chrf_score, better, same, 0, 200)
    assert difference == pytest.approx(100 - chrf(GUESSED, GERMAN)) and 0 <= low <= difference <= high
    backwards = paired_bootstrap(chrf_score, same, better, 0, 200)
    assert backwards == pytest.approx((-difference, -high, -low))


def test_an_interval_needs_two_groups_and_equal_tables() -> None:
    with pytest.raises(DataError, match="two groups"):
        bootstrap(ratio, rates(np.ones(1)))
    with pytest.raises(DataError, match="two groups"):
        bootstrap(ratio, rates(np.ones(3)), group=np.zeros(3, dtype=np.int64))
    with pytest.raises(DataError, match="one shape"):
        paired_bootstrap(ratio, rates(np.ones(3)), rates(np.ones(4)))


def test_ranking() -> None:
    ranked, wanted = [["a", "b", "c"], ["b", "a"], [], ["c"]], ["b", "b", "a", "x"]
    np.testing.assert_array_equal(hit_at_k(ranked, wanted, 1), [0, 1, 0, 0])
    np.testing.assert_array_equal(hit_at_k(ranked, wanted, 2), [1, 1, 0, 0])
    np.testing.assert_array_equal(reciprocal_rank(ranked, wanted), [0.5, 1, 0, 0])
    assert reciprocal_rank([], []).shape == (0,)


def scenes(seed: int, pictures: int = 12) -> tuple[list[list[ScoredBox]], list[list[Box]]]:
    """True boxes, and found ones that are shaken, doubled, misnamed or made up; scores repeat."""
    rng = np.random.default_rng(seed)
    found: list[list[ScoredBox]] = []
    truth: list[list[Box]] = []
    for _ in range(pictures):
        corner = rng.uniform(0, 0.6, (rng.integers(0, 6), 2))
        boxes = np.concatenate([corner, corner + rng.uniform(0.1, 0.4, corner.shape)], axis=1)
        truth.append([Box(*map(float, box), str(rng.choice(["cat", "dog", "sun"]))) for box in boxes])
        guessed: list[ScoredBox] = []
        for box in [*truth[-1], *truth[-1][:2], Box(0.1, 0.1, 0.5, 0.5, "dog")]:
            x0, y0, x1, y1 = np.clip(np.array([box.x0, box.y0, box.x1, box.y1]) + rng.uniform(-0.045, 0.045, 4), 0, 1)
            label = box.label if rng.random() < 0.8 else str(rng.choice(["cat", "bird"]))
            guessed.append(
                ScoredBox(float(x0), float(y0), float(x1), float(y1), label, float(rng.integers(1, 30)) / 30)
            )
        found.append(guessed)
    return found, truth


def overlap(a: Box | ScoredBox, b: Box) -> float:
    one, two = (np.array([[box.x0, box.y0, box.x1, box.y1]]) for box in (a, b))
    return float(overlaps(one, two)[0, 0])


def naive_precision(found: list[list[ScoredBox]], truth: list[list[Box]], label: str, least: float) -> float:
    """Average precision, one found box and one recall level after the other."""
    ranked = sorted(
        ((box.score, -place, box) for place, boxes in enumerate(found) for box in boxes if box.label == label),
        key=lambda one: one[:2],
        reverse=True,
    )
    free = [[box for box in boxes if box.label == label] for boxes in truth]
    total, right, curve = sum(map(len, free)), 0, []
    for seen, (_, place, box) in enumerate(ranked, 1):
        best = max(free[-place], key=lambda other: overlap(box, other), default=None)
        if best is not None and overlap(box, best) >= least:
            free[-place].remove(best)
            right += 1
        curve.append((right / total, right / seen))
    return float(np.mean([max((p for r, p in curve if r >= level), default=0) for level in np.linspace(0, 1, 101)]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("least", [0.3, 0.5, 0.75])
def test_average_precision_is_what_counting_by_hand_gives(seed: int, least: float) -> None:
    found, truth = scenes(seed)
    scores = box_average_precision(found, truth, least, rounds=20)
    assert set(scores.by_class) == {"cat", "dog", "sun"}, "a class that is never true counts nothing"
    for label, value in scores.by_class.items():
        assert value == pytest.approx(naive_precision(found, truth, label, least)), label
    assert scores.mean == pytest.approx(np.mean(list(scores.by_class.values())))
    assert scores.low < scores.mean < scores.high


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_pycocotools(seed: int) -> None:
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    found, truth = scenes(seed, 20)
    number = {"cat": 1, "dog": 2, "sun": 3, "bird": 4}

    def row(place: int, one: int, box: Box | ScoredBox) -> dict[str, object]:
        width, height = box.x1 - box.x0, box.y1 - box.y0
        corners = [640 * side for side in (box.x0, box.y0, width, height)]
        return {
            "id": one,
            "image_id": place,
            "category_id": number[box.label],
            "bbox": corners,
            "area": corners[2] * corners[3],
        }

    rows = [row(place, one, box) for one, (place, box) in enumerate(_flat(truth), 1)]
    guesses = [row(place, one, box) | {"score": box.score} for one, (place, box) in enumerate(_flat(found), 1)]
    coco = COCO()
    coco.dataset = {
        "images": [{"id": place} for place in range(len(truth))],
        "categories": [{"id": one, "name": name} for name, one in number.items()],
        "annotations": [{**one, "iscrowd": 0} for one in rows],
        "info": {},
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(guesses), "bbox")
        judge.evaluate()
        judge.accumulate()
    for level, least in ((0, 0.5), (5, 0.75)):
        precision = judge.eval["precision"][level, :, :, 0, 2]  # recall × class, area "all", 100 boxes
        scores = box_average_precision(found, truth, least, rounds=1)
        for label, value in scores.by_class.items():
            assert value == pytest.approx(precision[:, number[label] - 1].mean(), abs=1e-9), (label, least)
        assert scores.mean == pytest.approx(precision[precision > -1].mean(), abs=1e-9)


def _flat(boxes: list[list[Box]] | list[list[ScoredBox]]) -> list[tuple[int, Box | ScoredBox]]:
    return [(place, box) for place, several in enumerate(boxes) for box in several]


def test_pictures_of_a_group_are_resampled_together() -> None:
    found, truth = scenes(0)
    twice = box_average_precision([*found, *found], [*truth, *truth], group=np.tile(np.arange(len(truth)), 2))
    once, alone = box_average_precision(found, truth), box_average_precision([*found, *found], [*truth, *truth])
    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=0.1)
    assert alone.high - alone.low < 0.85 * (once.high - once.low)


def test_average_precision_at_its_ends() -> None:
    truth = [[Box(0, 0, 0.5, 0.5, "cat")], [], [Box(0.5, 0.5, 1, 1, "cat"), Box(0, 0, 0.2, 0.2, "dog")]]
    perfect = [[ScoredBox(box.x0, box.y0, box.x1, box.y1, box.label, 0.9) for box in boxes] for boxes in truth]
    assert box_average_precision(perfect, truth).by_class == pytest.approx({"cat": 1, "dog": 1})
    assert box_average_precision([[], [], []], truth).mean == 0
    # The one dog is found, but a surer false dog elsewhere halves its precision.
    worse = [*perfect[:1], [ScoredBox(0, 0, 1, 1, "dog", 0.99)], perfect[2]]
    assert box_average_precision(worse, truth).by_class == pytest.approx({"cat": 1, "dog": 0.5})
    with pytest.raises(DataError, match="no picture has a true box"):
        box_average_precision([[]], [[]])
    with pytest.raises(DataError, match="for each picture"):
        box_average_precision([], truth)
    assert overlap(Box(0, 0, 0, 0, "cat"), Box(0, 0, 0, 0, "cat")) == 0
    assert box_average_precision(worse, truth).hits.tolist() == [1, 0, 2]


def test_mean_iou_pools_pixels_over_the_set() -> None:
    rng = np.random.default_rng(4)
    truth = [rng.integers(0, 4, (8, 8)) for _ in range(6)]
    predicted = [np.where(rng.random(one.shape) < 0.6, one, rng.integers(0, 6, one.shape)) for one in truth]
    truth[0][0, :3] = IGNORE
    mine, right = (np.concatenate([one.ravel() for one in maps]) for maps in (predicted, truth))
    mine, right = mine[right != IGNORE], right[right != IGNORE]
    by_class = [((mine == c) & (right == c)).sum() / ((mine == c) | (right == c)).sum() for c in range(6)]
    scores = mean_iou(predicted, truth)
    assert list(scores.by_class.values()) == pytest.approx(by_class)
    assert scores.mean == pytest.approx(np.mean(by_class)), "classes 4 and 5, predicted and never true, count as 0"
    assert scores.without_background == pytest.approx(np.mean(by_class[1:]))
    value, low, high = bootstrap(mask_score, mask_table(predicted, truth, 6))
    assert value == pytest.approx(scores.mean) and low < value < high


def test_label_maps_of_another_size_are_brought_to_the_truth() -> None:
    small = np.array([[0, 1], [2, 3]])
    large = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)
    assert mean_iou([small], [large]).mean == 1 and mean_iou([large], [small]).mean == 1
    np.testing.assert_array_equal(resized(small, (4, 3)), [[0, 1, 1], [0, 1, 1], [2, 3, 3], [2, 3, 3]])
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(5).integers(0, 9, (5, 7))
    for shape in ((13, 16), (5, 7), (3, 20)):
        theirs = torch.nn.functional.interpolate(
            torch.from_numpy(random)[None, None].float(), shape, mode="nearest-exact"
        )
        np.testing.assert_array_equal(resized(random, shape), theirs[0, 0].numpy())


def test_mean_iou_at_its_ends() -> None:
    empty = np.zeros((4, 4), dtype=np.int64)
    scores = mean_iou([empty], [empty])
    assert scores.by_class == {0: 1} and scores.mean == 1 and scores.without_background == 0
    assert foreground_score(mask_table([empty], [empty], 1)[0]) == 0
    assert mean_iou([empty], [np.full((4, 4), IGNORE)]).by_class == {}
    with pytest.raises(DataError, match="count from 0"):
        mean_iou([empty - 1], [empty])
    with pytest.raises(DataError, match="empty"):
        mean_iou([empty], [empty[:0]])
