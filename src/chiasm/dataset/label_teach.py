"""Labels for the rows that have none, from those that have one: a teacher's pseudo-labels, and labels that spread over a graph.

Either way its confidence is calibrated: part of the labelled rows is held out, a temperature is fitted on one half of it, and what the
confidence is then worth is measured on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.building import SpreadConfig, TeacherConfig
from chiasm.dataset.calibration import expected_calibration_error, fit_temperature, softmax
from chiasm.dataset.features import Features, embed, gather
from chiasm.dataset.graph_network import fit_graph_network
from chiasm.dataset.label_functions import class_vectors
from chiasm.dataset.labelling import Coded, Labelling
from chiasm.dataset.probe import assign_folds, probe_logits
from chiasm.dataset.propagate import neighbour_graph, spread_labels
from chiasm.dataset.step import Embedder
from chiasm.errors import ConfigError, DataError
from chiasm.sources import Progress

Floats = NDArray[np.float64]

FEWEST = 20
"""Labelled rows below which there is nothing to calibrate with."""

FOLDS = 5
"""Of the labelled rows, one fold finds the temperature, one measures, and the others teach."""

NETWORK_WIDTH = 128
"""Principal components that the graph network is given."""

ZERO_SHOT_SCALE = 100.0
"""What cosines are multiplied by before they are calibrated (Radford et al., arXiv 2103.00020, 2.5)."""

Logits = Callable[[NDArray[np.int64]], Floats]
"""Codes [n], −1 where unknown → logits [n, k] of all rows, learned from the known ones."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The temperature, and on held-out rows: how many, how often the likeliest class is right, and the error of its confidence before
    and after; `accepted`: share of them above the threshold, and how often those are right."""

    temperature: float
    facts: Mapping[str, Any]


def teach(
    name: str, config: TeacherConfig, labelling: Labelling, model: Embedder | None, seed: int, progress: Progress | None
) -> dict[str, Any]:
    """Give rows without a label `name` the teacher's, where its confidence reaches the threshold; the facts of it."""
    coded = _coded(name, config.of or name, labelling, least=FEWEST if config.method == "probe" else 0)
    if config.method == "zero_shot":
        return _zero_shot(name, config, coded, labelling, model)
    features = gather(labelling.sheet, config.features, model, seed=seed, progress=progress, stage=f"teacher {name}")
    x = features.standardised()

    def logits(codes: NDArray[np.int64]) -> Floats:
        known = (codes >= 0) & features.present
        return probe_logits(x[known], codes[known], x, len(coded.classes))

    return _fill(name, coded, logits, features.present, config.threshold, labelling, seed)


def spread(
    name: str, config: SpreadConfig, labelling: Labelling, model: Embedder | None, seed: int, progress: Progress | None
) -> dict[str, Any]:
    """Give rows without a label `name` what their neighbours have, where the confidence reaches the threshold; the facts of it."""
    coded = _coded(name, config.of or name, labelling, least=FEWEST)
    features = gather(labelling.sheet, config.features, model, seed=seed, progress=progress, stage=f"spread {name}")
    unit = features.unit()
    graph = neighbour_graph(unit, config.neighbours)
    short = _short(features, seed) if config.method == "gcn" else unit

    def logits(codes: NDArray[np.int64]) -> Floats:
        if config.method == "gcn":
            return fit_graph_network(short, graph, codes, len(coded.classes), seed)
        shares = spread_labels(graph, codes, len(coded.classes))
        return np.log(np.where(shares.any(axis=1, keepdims=True), np.maximum(shares, 1e-12), 1.0))

    facts = _fill(name, coded, logits, features.present, config.threshold, labelling, seed)
    return {"method": config.method, "ties": int(graph.nnz) // 2, **facts}


def calibrate(
    logits: Logits, coded: Coded, labelled: NDArray[np.int64], fold: NDArray[np.int64], threshold: float
) -> Calibration:
    """Learns from the folds 2 …, fits the temperature on fold 0 and measures on fold 1. labelled: places of the labelled rows [l];
    fold: int64 [l]."""
    codes = coded.codes.copy()
    codes[labelled[fold < 2]] = -1
    said = logits(codes)
    return measure(said[labelled], coded.codes[labelled], fold, threshold)


def measure(said: Floats, truth: NDArray[np.int64], fold: NDArray[np.int64], threshold: float) -> Calibration:
    """The temperature by the rows of fold 0, and its worth on those of fold 1. said: logits [l, k]; truth: [l]."""
    temperature = fit_temperature(said[fold == 0], truth[fold == 0])
    test, true = said[fold == 1], truth[fold == 1]
    after = softmax(test, temperature)
    right = after.argmax(axis=1) == true
    sure = after.max(axis=1) >= threshold
    facts = {
        "temperature": temperature,
        "held_out": len(true),
        "accuracy": float(right.mean()) if len(true) else None,
        "ece_before": expected_calibration_error(softmax(test), true),
        "ece_after": expected_calibration_error(after, true),
        "accepted": float(sure.mean()) if len(true) else None,
        "accepted_accuracy": float(right[sure].mean()) if sure.any() else None,
    }
    return Calibration(temperature, facts)


def _fill(
    name: str,
    coded: Coded,
    logits: Logits,
    present: NDArray[np.bool_],
    threshold: float,
    labelling: Labelling,
    seed: int,
) -> dict[str, Any]:
    labelled = np.flatnonzero((coded.codes >= 0) & present)
    fold = assign_folds(coded.codes[labelled], [labelling.groups[int(place)] for place in labelled], FOLDS, seed)
    calibration = calibrate(logits, coded, labelled, fold, threshold)
    share = softmax(logits(np.where(present, coded.codes, -1)), calibration.temperature)
    return {**_give(name, coded.classes, share, present, threshold, labelling), **calibration.facts}


def _zero_shot(
    name: str, config: TeacherConfig, coded: Coded, labelling: Labelling, model: Embedder | None
) -> dict[str, Any]:
    """The class whose texts lie nearest to the row's first medium, in the trained model's space; calibrated where rows are labelled."""
    prompts = config.prompts or {value: (value,) for value in coded.classes}
    modality = next((part for part in config.features or ("image", "audio", "video", "text")), "image")
    if model is None or modality not in model.modalities or "text" not in model.modalities:
        raise ConfigError(f"label.teacher.{name}: zero_shot needs a trained model (model=RUN) of text and {modality}")
    if len(prompts) < 2:
        raise ConfigError(f"label.teacher.{name}: zero_shot needs two or more classes: name them in `prompts`")
    classes = tuple(prompts)
    vectors, present = embed(labelling.sheet, modality, model)
    if not present.any():
        raise DataError(f"label.teacher.{name}: no row has {modality}")
    logits = ZERO_SHOT_SCALE * (vectors.astype(np.float64) @ class_vectors(prompts, model).T)
    truth = np.array([classes.index(v) if v in classes else -1 for v in (*coded.classes, None)], np.int64)[coded.codes]
    labelled = np.flatnonzero((truth >= 0) & present)
    calibration = Calibration(1.0, {"calibrated": False})
    if len(labelled) >= FEWEST:
        fold = assign_folds(truth[labelled], [labelling.groups[int(place)] for place in labelled], 2, 0)
        calibration = measure(logits[labelled], truth[labelled], fold, config.threshold)
    share = softmax(logits, calibration.temperature)
    return {**_give(name, classes, share, present, config.threshold, labelling), **calibration.facts}


def _give(
    name: str,
    classes: tuple[str, ...],
    share: Floats,
    present: NDArray[np.bool_],
    threshold: float,
    labelling: Labelling,
) -> dict[str, Any]:
    confidence = share.max(axis=1)
    sure = np.flatnonzero(present & (confidence >= threshold))
    given = {int(place): classes[int(share[place].argmax())] for place in sure}
    open_before = sum(value is None for value in labelling.values(name))
    labelled = labelling.fill(name, given, confidence)
    return {"classes": list(classes), "without": open_before, "labelled": labelled, "left": open_before - labelled}


def _coded(name: str, of: str, labelling: Labelling, least: int) -> Coded:
    """The label that teaches, without the rows that must not. DataError where there is too little of it."""
    coded = labelling.coded(of)
    codes = np.where(labelling.teaches, coded.codes, -1)
    known = int((codes >= 0).sum())
    if known < least or (least and len(np.unique(codes[codes >= 0])) < 2):
        raise DataError(
            f"label {name!r}: {known} rows that may teach have a label {of!r}; {least} rows of two or more classes are needed"
        )
    return Coded(coded.classes, codes)


def _short(features: Features, seed: int) -> NDArray[np.float32]:
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    x = features.standardised()
    if min(x.shape) <= NETWORK_WIDTH:
        return x
    with threadpool_limits(1, "blas"):
        short = PCA(NETWORK_WIDTH, svd_solver="randomized", random_state=seed, whiten=True).fit_transform(x)
    return np.asarray(short, np.float32)
