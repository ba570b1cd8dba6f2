"""Average precision against pycocotools, on random pictures with crowds, ties and boxes of every size."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from chiasm.errors import DataError
from chiasm.evaluate.metrics.detection import FoundBoxes, TrueBoxes, coco_scores

NAMES = (
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar_1",
    "ar_10",
    "ar_100",
    "ar_small",
    "ar_medium",
    "ar_large",
)


def random_set(rng, pictures, most=12):
    found, truth = [], []
    for _ in range(pictures):
        G = int(rng.integers(0, 6))
        size = rng.choice([12.0, 40.0, 150.0], (G, 1)) * rng.uniform(0.6, 1.4, (G, 2))
        corner = rng.integers(0, 200, (G, 2)).astype(float)
        right = np.concatenate([corner, corner + size.round(1)], 1)
        D = int(rng.integers(0, most))
        near = right[rng.integers(0, max(G, 1), D)] if G else np.tile([10.0, 10, 60, 60], (D, 1))
        mine = near + rng.normal(0, 3, (D, 4)).round(1)
        mine[:, 2:] = np.maximum(mine[:, 2:], mine[:, :2] + 1)
        labels = [str(one) for one in rng.integers(0, 3, G)]
        found.append(FoundBoxes(mine, rng.integers(0, 20, D) / 20, [str(one) for one in rng.integers(0, 4, D)]))
        area = (right[:, 2:] - right[:, :2]).prod(1) * rng.uniform(0.5, 1, G)
        truth.append(TrueBoxes(right, labels, rng.random(G) < 0.15, area))
    return found, truth


def official(found, truth):
    coco_module = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")

    def listed(box):
        return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]

    labels = sorted({label for one in truth for label in one.label} | {label for one in found for label in one.label})
    rows = [
        {"image_id": i, "category_id": labels.index(one.label[k]), "bbox": listed(one.box[k]), "area": float(one.area[k]),
         "iscrowd": int(one.crowd[k])}
        for i, one in enumerate(truth) for k in range(len(one.label))
    ]  # fmt: skip
    for number, row in enumerate(rows):
        row["id"] = number + 1
    results = [
        {
            "image_id": i,
            "category_id": labels.index(one.label[k]),
            "bbox": listed(one.box[k]),
            "score": float(one.score[k]),
        }
        for i, one in enumerate(found)
        for k in range(len(one.label))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_module.COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(truth))],
            "categories": [{"id": i} for i in range(len(labels))],
            "annotations": rows,
        }
        coco.createIndex()
        run = evaluation.COCOeval(coco, coco.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats


@pytest.mark.parametrize("seed", range(6))
def test_equals_pycocotools(seed):
    rng = np.random.default_rng(seed)
    found, truth = random_set(rng, 12, most=130 if seed == 5 else 12)
    mine = coco_scores(found, truth)
    assert [mine[name] for name in NAMES] == pytest.approx(list(official(found, truth)), abs=1e-9)


def test_perfect_and_classes():
    box = np.array([[0.0, 0, 50, 50], [100, 100, 200, 220]])
    truth = [TrueBoxes(box, ["cat", "dog"])]
    scores = coco_scores([FoundBoxes(box, np.array([0.9, 0.8]), ["cat", "dog"])], truth)
    assert scores["ap"] == pytest.approx(1.0)
    assert scores["ap_small"] == -1.0
    swapped = coco_scores([FoundBoxes(box, np.array([0.9, 0.8]), ["cat", "cat"])], truth)
    assert (swapped["ap"], swapped["ap50"]) == pytest.approx((0.5, 0.5))


def test_refuses():
    empty = FoundBoxes(np.zeros((0, 4)), np.zeros(0), [])
    with pytest.raises(DataError, match="each picture"):
        coco_scores([empty], [])
    with pytest.raises(DataError, match="finite"):
        coco_scores([FoundBoxes(np.full((1, 4), np.nan), np.ones(1), ["a"])], [TrueBoxes(np.zeros((0, 4)), [])])
