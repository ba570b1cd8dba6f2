"""A model's vectors as features: for scikit-learn, and as they are measured by linear probe, nearest neighbours and a few examples a class.

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

tags = make_pipeline(Features("runs/mine", "image"), LogisticRegression())
tags.fit(["a.png", "b.png"], ["cat", "cow"]).predict(["c.png"])
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from chiasm.evaluate.comparison.downstream import linear_probe, nearest
from chiasm.evaluate.metrics.bootstrap import intervals, rounded
from chiasm.evaluate.retrieval.items import Collected, Side
from chiasm.train.model import LoadedModel, Medium, as_item
from chiasm.train.model import load as load_model

SHOTS = (1, 2, 4, 8, 16)
DRAWS = 10
PROBED = 3_000
"""Training records a probe is fitted on, at most, drawn evenly."""
MOST_CLASSES = 100
NEIGHBOURS = 20
EXAMPLES = 3
"""Of each class, on average, for a probe to be worth fitting."""

Floats = NDArray[np.float64]


class Features(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """scikit-learn transformer: texts, or files, bytes or Media, → float32 [n, E], unit length. It learns nothing from what it is fitted on.

    model: a run's folder, or a loaded model. modality: of everything that is transformed.
    """

    def __init__(self, model: str | Path | LoadedModel, modality: str = "image", device: str = "auto") -> None:
        self.model = model
        self.modality = modality
        self.device = device

    def fit(self, X: Sequence[Medium], y: Any = None) -> Features:
        """Loads the model. Raises ModelError where it cannot be used, ConfigError where it lacks the modality."""
        self._open().embed_items(self.modality, [])
        return self

    def transform(self, X: Iterable[Medium]) -> NDArray[np.float32]:
        """Raises MediaError for what cannot be read, ConfigError for what is no item of the modality."""
        return self._open().embed_items(self.modality, [as_item(self.modality, one) for one in X])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        return np.array([f"chiasm{i}" for i in range(self._open().dimension)], dtype=object)

    def _open(self) -> LoadedModel:
        if isinstance(self.model, LoadedModel):
            return self.model
        loaded = self.__dict__.get("_loaded")
        if loaded is None or loaded[0] != str(self.model):
            loaded = self._loaded = (str(self.model), load_model(Path(self.model), device=self.device))
        return loaded[1]

    def __sklearn_clone__(self) -> Features:
        # A copy of the settings, as for every estimator, but of no weights: they never change.
        return Features(self.model, self.modality, self.device)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_loaded"}


def downstream(
    items: Collected,
    train: NDArray[np.bool_],
    rows: NDArray[np.bool_],
    groups: NDArray[np.int64],
    left_out: dict[str, str],
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """{modality: {label: {linear_probe, knn: {accuracy, interval}, few_shot: {k: {mean, interval, draws}}, chance, majority, classes, n}}}.

    The vectors stay as they are; what is learned on `train` is asked on `rows`, bool [rows of the table] both. A record's first value counts;
    classes that training lacks are asked too, and missed. few_shot: k examples a class, drawn DRAWS times; the class whose mean lies nearest
    (prototypical networks, Snell et al. 2017, arXiv 1703.05175); interval: of the middle 95 % of the draws.
    """
    found: dict[str, dict[str, Any]] = {}
    for one in learnable(items, train, rows, left_out, "downstream"):
        learned, asked = one.learned, one.asked
        entry = _measure(
            learned.embedding.astype(np.float64), one.number[learned.rows], asked.embedding.astype(np.float64), one.number[asked.rows],
            groups[asked.rows], seed,
        )  # fmt: skip
        found.setdefault(one.modality, {})[one.label] = entry | {"classes": one.classes}
    return found


@dataclass(frozen=True, slots=True)
class Learnable:
    """A label that can be learned from the items of a modality.

    number: int64 [rows of the table], the class of a record's first value: 0 … classes − 1, `classes` for one that training lacks, −1 for
    none · learned, asked: the items to learn from and to be asked.
    """

    label: str
    modality: str
    classes: int
    number: NDArray[np.int64]
    learned: Side
    asked: Side


def learnable(
    items: Collected,
    train: NDArray[np.bool_],
    rows: NDArray[np.bool_],
    left_out: dict[str, str],
    protocol: str,
    labels: Collection[str] | None = None,
) -> Iterator[Learnable]:
    """What `train` teaches enough of for `rows` to be asked, bool [rows of the table] both. labels: these alone; left_out is told the others."""
    for label, values in sorted(items.labels.items()):
        if labels is not None and label not in labels:
            continue
        first = [some[0] if some else None for some in values]
        classes = sorted({value for value, used in zip(first, train, strict=True) if used and value is not None})
        if not 2 <= len(classes) <= MOST_CLASSES:
            left_out[f"{protocol} {label}"] = f"{len(classes)} classes in training; 2 to {MOST_CLASSES} are told apart"
            continue
        code = {value: number for number, value in enumerate(classes)}
        number = np.array([-1 if value is None else code.get(value, len(classes)) for value in first], np.int64)
        for modality, side in items.sides.items():
            learned, asked = side.at(train & (number >= 0) & (number < len(classes))), side.at(rows & (number >= 0))
            if len(asked.rows) < 2 or len(np.unique(number[learned.rows])) < 2:
                continue
            if len(learned.rows) < EXAMPLES * len(classes):
                left_out[f"{protocol} {label} of {modality}"] = (
                    f"{len(learned.rows)} examples of {len(classes)} classes: fewer than {EXAMPLES} each"
                )
                continue
            yield Learnable(label, modality, len(classes), number, learned, asked)


def probed(n: int) -> NDArray[np.int64]:
    """Which of n training records a probe is fitted on: PROBED at most, drawn evenly."""
    return np.unique(np.linspace(0, n - 1, min(PROBED, n)).round().astype(np.int64))


def few_shot(
    x: Floats,
    y: NDArray[np.int64],
    test: Floats,
    truth: NDArray[np.int64],
    shots: Sequence[int] = SHOTS,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """{k: {mean, interval, draws}} of accuracy with k examples of each class of y, for those k that half of the classes have; a class of fewer
    gives all it has. Vectors x [n, E], test [m, E]."""
    members = {int(c): np.flatnonzero(y == c) for c in np.unique(y)}
    sizes = np.array([len(rows) for rows in members.values()])
    names = np.array(list(members))
    found: dict[str, dict[str, Any]] = {}
    for k in shots:
        if np.median(sizes) < k:
            break
        scores: list[float] = []
        for draw in range(draws):
            rng = np.random.default_rng([seed, k, draw])
            centre = np.stack(
                [x[rng.choice(rows, min(k, len(rows)), replace=False)].mean(0) for rows in members.values()]
            )
            centre /= np.maximum(np.linalg.norm(centre, axis=1, keepdims=True), 1e-12)
            scores.append(float((names[(test @ centre.T).argmax(1)] == truth).mean()))
        low, high = np.percentile(scores, [2.5, 97.5])
        found[str(k)] = {
            "mean": round(float(np.mean(scores)), 6),
            "interval": rounded((float(low), float(high))),
            "draws": draws,
        }
    return found


def _measure(
    x: Floats, y: NDArray[np.int64], test: Floats, truth: NDArray[np.int64], cluster: NDArray[np.int64], seed: int
) -> dict[str, Any]:
    used = probed(len(x))
    guesses: Mapping[str, NDArray[np.int64]] = {
        "linear_probe": linear_probe(x[used], y[used], test),
        "knn": nearest(x[used], y[used], test, NEIGHBOURS),
    }
    right = {name: (guess == truth).astype(np.float64) for name, guess in guesses.items()}
    bounds = intervals(right, cluster, seed=seed)
    found: dict[str, Any] = {
        name: {"accuracy": round(float(values.mean()), 6), "interval": rounded(bounds[name])}
        for name, values in right.items()
    }
    usual = int(np.bincount(y).argmax())
    return found | {
        "few_shot": few_shot(x, y, test, truth, seed=seed),
        "chance": round(1 / len(np.unique(y)), 6),
        "majority": round(float((truth == usual).mean()), 6),
        "n": len(truth),
    }
