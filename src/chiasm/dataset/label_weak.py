"""From the votes of labelling functions to labels with probabilities, and what is to be told of each function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.building import WeakConfig
from chiasm.dataset.label_functions import Cast, Function, apply_declared, apply_functions
from chiasm.dataset.label_model import (
    ABSTAIN,
    LabelModel,
    dependent_pairs,
    fit_dawid_skene,
    fit_triplets,
    majority_vote,
    vote_statistics,
)
from chiasm.dataset.labelling import Labelling, Values
from chiasm.dataset.step import Embedder
from chiasm.errors import ConfigError, DataError
from chiasm.types import Record


@dataclass(frozen=True, slots=True)
class WeakLabels:
    """values: the class of each row, or None · confidence: float64 [n], its probability · facts: coverage, overlap, conflict and
    estimated accuracy of each function, and more."""

    values: Values
    confidence: NDArray[np.float64]
    facts: dict[str, Any]


def weak_labels(
    records: Iterable[Record], functions: Mapping[str, Function], config: WeakConfig | None = None
) -> WeakLabels:
    """Labels for `records` by labelling functions written in Python; `config` says which model and threshold (its functions are not used)."""
    return combine(apply_functions(records, functions), config or WeakConfig.model_construct(functions={}))


def label_weakly(name: str, config: WeakConfig, labelling: Labelling, model: Embedder | None) -> dict[str, Any]:
    """Give rows without a label `name` what the functions say together; the facts of it, with the functions' accuracy on rows that
    had one."""
    known = labelling.values(name)
    try:
        found = combine(apply_declared(labelling.sheet, config.functions, model), config, known)
    except DataError as error:
        raise DataError(f"label.weak.{name}: {error}") from None
    given = {place: value for place, value in enumerate(found.values) if value is not None}
    return {"labelled": labelling.fill(name, given, found.confidence), **found.facts}


def combine(cast: Cast, config: WeakConfig, known: Values | None = None) -> WeakLabels:
    """The label model over `cast`; where a row's true class is `known`, functions and model are also measured by it.

    Raises DataError where the functions vote for fewer than two classes, and ConfigError where the balance names others.
    """
    if len(cast.classes) < 2:
        said = f"only for {cast.classes[0]!r}" if cast.classes else "for nothing"
        raise DataError(f"the functions vote {said}: a label model needs two or more classes")
    prior = _balance(cast, config)
    model = fit(cast, config, prior)
    voted = (cast.votes != ABSTAIN).any(axis=1)
    best = model.posterior.argmax(axis=1)
    confidence = np.where(voted, model.posterior.max(axis=1), 0.0)
    sure = voted & (confidence >= config.threshold)
    values = [cast.classes[int(c)] if s else None for c, s in zip(best, sure, strict=True)]
    return WeakLabels(values, confidence, _facts(cast, config, model, int(voted.sum()), int(sure.sum()), known))


def fit(cast: Cast, config: WeakConfig, prior: NDArray[np.float64] | None) -> LabelModel:
    k = len(cast.classes)
    if config.model == "triplets":
        return fit_triplets(cast.votes, k, prior)
    if config.model == "majority":
        share = majority_vote(cast.votes, k)
        like = fit_dawid_skene(cast.votes, k, prior=prior, iterations=1)
        return LabelModel(share, like.accuracy, like.confusion, like.prior, 0)
    return fit_dawid_skene(cast.votes, k, confusion="full" if config.model == "full" else "symmetric", prior=prior)


def _balance(cast: Cast, config: WeakConfig) -> NDArray[np.float64] | None:
    if config.balance is None:
        return None
    if set(config.balance) != set(cast.classes):
        raise ConfigError(f"balance names {sorted(config.balance)}; the functions vote for {list(cast.classes)}")
    weight = np.array([config.balance[value] for value in cast.classes])
    return weight / weight.sum()


def _facts(
    cast: Cast, config: WeakConfig, model: LabelModel, voted: int, sure: int, known: Values | None
) -> dict[str, Any]:
    counted = vote_statistics(cast.votes)
    number = {value: index for index, value in enumerate(cast.classes)}
    truth = np.array([-1 if v is None else number.get(v, -1) for v in known or []], np.int64)
    functions: dict[str, Any] = {}
    for index, name in enumerate(cast.names):
        votes = cast.votes[:, index]
        functions[name] = {
            "coverage": float(counted.coverage[index]),
            "overlap": float(counted.overlap[index]),
            "conflict": float(counted.conflict[index]),
            "estimated_accuracy": None if np.isnan(model.accuracy[index]) else float(model.accuracy[index]),
        }
        both = (truth >= 0) & (votes != ABSTAIN) if len(truth) else np.zeros(len(votes), np.bool_)
        if both.any():
            functions[name]["measured_accuracy"] = float((votes[both] == truth[both]).mean())
            functions[name]["measured_rows"] = int(both.sum())
    facts: dict[str, Any] = {
        "model": config.model,
        "classes": list(cast.classes),
        "balance": dict(zip(cast.classes, model.prior.tolist(), strict=True)),
        "coverage": voted / max(len(cast.votes), 1),
        "conflict": float(_conflicted(cast.votes).mean()) if len(cast.votes) else 0.0,
        "unsure": voted - sure,
        "functions": functions,
        "dependent": [[cast.names[i], cast.names[j], z] for i, j, z in dependent_pairs(cast.votes, model)],
    }
    rows = np.flatnonzero((truth >= 0) & (cast.votes != ABSTAIN).any(axis=1)) if len(truth) else truth
    if len(rows):
        vote = majority_vote(cast.votes[rows], len(cast.classes))
        facts["measured"] = {
            "rows": len(rows),
            "model_accuracy": float((model.posterior[rows].argmax(axis=1) == truth[rows]).mean()),
            "majority_accuracy": float(vote[np.arange(len(rows)), truth[rows]].mean()),
        }
    return facts


def _conflicted(votes: NDArray[np.int64]) -> NDArray[np.bool_]:
    said = votes != ABSTAIN
    low = np.where(said, votes, np.iinfo(np.int64).max).min(axis=1, initial=np.iinfo(np.int64).max)
    return said.any(axis=1) & (votes.max(axis=1, initial=-1) != low)
