"""What `chiasm metrics KIND` makes of the lines of a file; the fields of each kind stand in docs/metrics.md. Of texts: kinds_texts.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import ConfigError, DataError
from chiasm.evaluate.metrics import kinds_texts as texts
from chiasm.evaluate.metrics.files import Line, stacked
from chiasm.evaluate.metrics.kinds_texts import Asked, Found

Float = NDArray[np.float64]

CUTS = (1, 5, 10)


def measure(kind: str, lines: Sequence[Line], asked: Asked | None = None) -> Found:
    """The figures of one file's lines. Raises ConfigError for a kind there is none of, DataError for lines that do not fit it."""
    if kind not in KINDS:
        raise ConfigError(f"no metrics of kind {kind!r}; there are {', '.join(KINDS)}")
    return KINDS[kind](lines, asked or Asked())


def _retrieval(lines: Sequence[Line], asked: Asked) -> Found:
    from chiasm.evaluate.metrics.items import average_precisions, hit_at_k, ndcg_at_k

    ranked = [line.names("ranked") for line in lines]
    gains = [
        line.numbers("relevant")
        if isinstance(line.value.get("relevant"), dict)
        else dict.fromkeys(line.names("relevant"), 1.0)
        for line in lines
    ]
    wanted = [[item for item, gain in one.items() if gain > 0] for one in gains]
    for line, several, first in zip(lines, wanted, ranked, strict=True):
        if not several:
            line.wrong("relevant", "at least one item of a gain above 0", line.value["relevant"])
        if len(set(first)) < len(first):
            raise DataError(f"{line.where}: 'ranked' names an item twice")
    # What a list lacks comes behind the longest one, so that no list gains by being short.
    behind = max(len(first) for first in ranked) + 1
    if behind == 1:
        raise DataError("every 'ranked' is empty: there is nothing to rank")
    rank = [
        next((place for place, item in enumerate(first, 1) if item in several), behind)
        for first, several in zip(ranked, wanted, strict=True)
    ]
    items = {f"r{k}": hit_at_k(ranked, wanted, k) for k in CUTS}
    items |= {
        "rank": np.array(rank, dtype=np.float64),
        "ap": average_precisions(ranked, wanted),
        "ndcg_10": ndcg_at_k(ranked, gains, 10),
    }
    figures = {name: float(items[name].mean()) for name in ("r1", "r5", "r10")}
    figures |= {
        "median_rank": float(np.median(rank)),
        "mean_rank": float(np.mean(rank)),
        "map": float(items["ap"].mean()),
    }
    return Found(figures | {"ndcg_10": float(items["ndcg_10"].mean())}, items)


def _recommendation(lines: Sequence[Line], asked: Asked) -> Found:
    from chiasm.evaluate.metrics.items import hit_at_k, ndcg_at_k, reciprocal_rank

    ranked, wanted = [line.names("ranked") for line in lines], [line.names("wanted") for line in lines]
    for line, first, several in zip(lines, ranked, wanted, strict=True):
        if len(set(first)) < len(first):
            raise DataError(f"{line.where}: 'ranked' names an item twice")
        if not several:
            line.wrong("wanted", "at least one item", line.value["wanted"])
    items = {f"hit_{k}": hit_at_k(ranked, wanted, k) for k in CUTS}
    gains = [dict.fromkeys(several, 1.0) for several in wanted]
    items |= {"ndcg_10": ndcg_at_k(ranked, gains, 10), "mrr": reciprocal_rank(ranked, wanted)}
    return Found({name: float(values.mean()) for name, values in items.items()}, items)


def _classification(lines: Sequence[Line], asked: Asked) -> Found:
    from chiasm.dataset.calibration import calibration_error
    from chiasm.evaluate.metrics.classes import class_scores, macro_area_under_curve

    predicted, truth = [line.name("prediction") for line in lines], [line.name("label") for line in lines]
    right = np.array([mine == one for mine, one in zip(predicted, truth, strict=True)], dtype=bool)
    figures, items = class_scores(predicted, truth), {"accuracy": right.astype(np.float64)}
    if any(line.has("scores") for line in lines):
        scores = [line.numbers("scores") for line in lines]
        for line, one, mine, true in zip(lines, scores, predicted, truth, strict=True):
            if (
                set(one) != set(scores[0])
                or not {mine, true} <= set(one)
                or not all(0 <= value <= 1 for value in one.values())
            ):
                line.wrong(
                    "scores",
                    "probabilities of the same classes on every line, the predicted and the true one among them",
                    one,
                )
        classes = sorted({*truth})
        table = np.array([[one[name] for name in classes] for one in scores])
        if len(classes) > 1:
            place = {name: index for index, name in enumerate(classes)}
            figures["auc"] = macro_area_under_curve(table, np.array([place[one] for one in truth]))
        confidence = np.array([one[mine] for one, mine in zip(scores, predicted, strict=True)])
        figures["calibration_error"] = calibration_error(confidence, right)
    return Found(figures, items)


def _detection(lines: Sequence[Line], asked: Asked) -> Found:
    from chiasm.evaluate.metrics.detection import FoundBoxes, TrueBoxes, coco_scores

    found, truth = [], []
    for line in lines:
        mine, right = line.objects("found"), line.objects("truth")
        found.append(
            FoundBoxes(
                _boxes(mine),
                np.array([one.number("score") for one in mine], np.float64),
                [one.name("label") for one in mine],
            )
        )
        crowd = np.array([one.value.get("crowd", False) is True for one in right], dtype=bool)
        box = _boxes(right)
        sides = (box[:, 2:] - box[:, :2]).prod(1)
        area = [
            one.number("area", least=0) if one.has("area") else float(side)
            for one, side in zip(right, sides, strict=True)
        ]
        truth.append(TrueBoxes(box, [one.name("label") for one in right], crowd, np.array(area, np.float64)))
    if not any(one.label for one in truth):
        raise DataError("no line has a true box: average precision needs at least one")
    return Found(coco_scores(found, truth))


def _boxes(lines: Sequence[Line]) -> Float:
    for line in lines:
        box = line.vector("box")
        if len(box) != 4 or box[2] < box[0] or box[3] < box[1]:
            line.wrong("box", "left, top, right, bottom in pixels", line.value["box"])
    return np.array([line.vector("box") for line in lines], np.float64).reshape(-1, 4)


def _segmentation(lines: Sequence[Line], asked: Asked) -> Found:
    from chiasm.evaluate.metrics.masks import mask_score, mask_table, mean_iou

    made, true = [_labels(line, "prediction", 0) for line in lines], [_labels(line, "truth", -1) for line in lines]
    for line, one, other in zip(lines, made, true, strict=True):
        if one.shape != other.shape:
            raise DataError(
                f"{line.where}: 'prediction' is {one.shape[0]} × {one.shape[1]}, 'truth' {other.shape[0]} × {other.shape[1]}"
            )
    scores = mean_iou(made, true)
    classes = 1 + max(int(one.max()) for one in (*made, *true))
    items = {"mean_iou": np.array([mask_score(row) for row in mask_table(made, true, classes)], np.float64)}
    return Found({"mean_iou": scores.mean, "mean_iou_objects": scores.without_background}, items)


def _labels(line: Line, name: str, least: int) -> NDArray[np.int64]:
    found = line.array(name)
    if found.ndim != 2 or (found != np.round(found)).any() or found.min() < least or found.max() > 65_535:
        line.wrong(name, f"rows of whole numbers from {least} to 65535", line.value[name])
    return found.astype(np.int64)


def _representation(lines: Sequence[Line], asked: Asked) -> Found:
    from chiasm.evaluate.metrics.space import alignment, linear_cka, linear_probe, modality_gap, nearest, uniformity

    a, b = stacked(lines, "a"), stacked(lines, "b")
    if len(lines) < 2:
        raise DataError("one pair of vectors has no representation to measure: give two lines or more")
    figures = {"cka": linear_cka(a, b)}
    if a.shape == b.shape and len(lines) > 1:
        one, two = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a, b))
        figures |= {"alignment": alignment(one, two), "uniformity_a": uniformity(one), "uniformity_b": uniformity(two)}
        figures["modality_gap"] = modality_gap(one, two)
    if any(line.has("label") for line in lines):
        names = [line.name("label") for line in lines]
        test = np.array([line.name("split") == "test" for line in lines], dtype=bool)
        y = np.unique(names, return_inverse=True)[1].astype(np.int64)
        if not test.any() or len(set(y[~test].tolist())) < 2:
            raise DataError("probes need lines of split 'test', and two labels at least on the others")
        for side, x in (("a", a), ("b", b)):
            figures[f"linear_probe_{side}"] = float((linear_probe(x[~test], y[~test], x[test]) == y[test]).mean())
            figures[f"knn_{side}"] = float((nearest(x[~test], y[~test], x[test]) == y[test]).mean())
    return Found(figures)


KINDS: Mapping[str, Callable[[Sequence[Line], Asked], Found]] = {
    "caption": texts.caption,
    "vqa": texts.vqa,
    "retrieval": _retrieval,
    "classification": _classification,
    "asr": texts.asr,
    "translation": texts.translation,
    "detection": _detection,
    "segmentation": _segmentation,
    "generation": texts.generation,
    "language": texts.language,
    "representation": _representation,
    "recommendation": _recommendation,
}
