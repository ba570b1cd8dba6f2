"""The evaluation of one model on one table: what is asked, of which records, and against what.

    collect items → score every pair of modalities → beside chance and the linear baseline → zero-shot → one
    JSON object

Retrieval follows CLIP's protocol (arXiv 2103.00020, section 3) with intervals, chance and baseline added.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.config import DataConfig, RunConfig
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, DataError
from chiasm.evaluate.protocols.further import further
from chiasm.evaluate.retrieval.baseline import Linear, fit_baseline
from chiasm.evaluate.retrieval.breakdown import by_facet
from chiasm.evaluate.retrieval.items import Collected, Progress, collect
from chiasm.evaluate.retrieval.pairs import Scorer
from chiasm.evaluate.retrieval.zero_shot import zero_shot
from chiasm.types import MODALITIES, Embedder

PROTOCOL = (
    "One item a record and modality: the first text, the first picture, the first sound. A pair uses the "
    "records that have both; n says how many. `retrieval`: the gallery is the split's own items. "
    "`retrieval_full`: the gallery is every item of the table, train included. Items of equal content "
    "(the same text up to case and spacing, or the same bytes) answer for each other. Ties are broken at "
    "random in expectation. Intervals: 95 % percentile bootstrap over groups, 1,000 resamples. Baseline: "
    "24×24 pixels, tf-idf of letter n-grams and coarse log-mel, PCA/SVD, ridge CCA, fitted on the train "
    "split. `by`: queries in one language, or by one voice or artist, against the split's usual gallery; "
    "unseen = held out of training. `zero_shot`: the nearest class name among all values that the table "
    "has for the label. `protocols` names what else was run (docs/evaluation.md)."
)

PROTOCOLS = ("zero_shot", "fairness", "association", "downstream", "probes", "pointing")
"""Beside retrieval, what is run where the model and the table allow it; each is a key of the JSON."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found. `to_json` is plain JSON; its keys are described in `PROTOCOL`."""

    retrieval: dict[str, dict[str, Any]]
    retrieval_full: dict[str, dict[str, Any]]
    by: dict[str, dict[str, Any]]
    zero_shot: dict[str, dict[str, Any]]
    gap: dict[str, dict[str, Any]]
    fairness: dict[str, dict[str, Any]]
    association: dict[str, dict[str, Any]]
    downstream: dict[str, dict[str, Any]]
    probes: dict[str, dict[str, Any]]
    pointing: dict[str, dict[str, Any]]
    protocols: list[str]
    splits: dict[str, dict[str, Any]]
    left_out: dict[str, str]
    unreadable: list[dict[str, str]]
    model: dict[str, Any]
    table: dict[str, Any]
    seconds: dict[str, float]
    seed: int

    def to_json(self) -> dict[str, Any]:
        fields = (
            "retrieval",
            "retrieval_full",
            "by",
            "zero_shot",
            "gap",
            *PROTOCOLS[1:],
            "protocols",
            "splits",
            "left_out",
            "unreadable",
        )
        rest = ("model", "table", "seconds", "seed")
        return (
            {name: getattr(self, name) for name in fields}
            | {"protocol": PROTOCOL}
            | {name: getattr(self, name) for name in rest}
        )


def evaluate(
    model: Embedder,
    table: Table,
    *,
    splits: Sequence[str] | None = None,
    baseline: bool = True,
    breakdown: bool = True,
    seed: int = 0,
    held_out: Sequence[str] | None = None,
    protocols: Sequence[str] | None = None,
    by: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure `model` on `table`.

    splits: which to report; None = every split but the train split, or all rows as "all" where there is only
    one.
    breakdown: also tell languages and makers apart (`by`), which embeds each record of the test splits many
    times over.
    held_out: makers (`by` of a medium) that training never saw, flagged in the breakdowns; None = those that
    the model's own configuration names, where it has one (`model.config`). The names of the train and
    validation splits come from there too.
    protocols: those of PROTOCOLS to run beside retrieval; None = all that the model and the table allow (association
    where `by` names groups).
    by: labels whose values are the groups of `fairness`; None = those that divide the records into a few large groups.
    progress: called with (stage, done, total).

    Raises DataError for an empty table, ConfigError for a split, a label or a protocol that is not there.
    """
    wanted = check_protocols(protocols)
    if protocols is None and not by:
        # Which labels speak of people, only the user knows: words of praise and blame are asked of no others.
        wanted = tuple(name for name in wanted if name != "association")
    clock = {"start": time.perf_counter()}
    data = data_config(model)
    unseen = set(data.held_out_makers if held_out is None else held_out)
    # What tests comes first.
    chosen = dict(
        sorted(
            choose_splits(table, splits, data.train_split).items(),
            key=lambda item: item[0] == data.validation_split,
        )
    )
    tested = [name for name in chosen if name != data.validation_split or len(chosen) == 1]
    facet_rows = np.any([chosen[name] for name in tested], axis=0) if breakdown else None
    items = collect(model, table, facet_rows=facet_rows, raw=baseline, progress=progress)
    clock["embed"] = time.perf_counter()
    left_out: dict[str, str] = {}
    train = rows_of(table, data.train_split) & ~np.any(list(chosen.values()), axis=0)
    linear = _baseline(items, train, seed, left_out, progress) if baseline else None
    clock["baseline"] = time.perf_counter()
    scorer = Scorer(items, groups_of(table), linear, seed)
    results = _measure(scorer, _pairs(model), chosen, set(tested), unseen, left_out, progress)
    known: dict[str, NDArray[np.float32]] = {}
    zero = zero_shot(model, items, chosen, groups_of(table), seed, left_out, known) if "zero_shot" in wanted else {}
    clock["score"] = time.perf_counter()
    told = {name: rows for name, rows in chosen.items() if name in tested}
    more = further(
        model,
        table,
        scorer,
        _pairs(model),
        told,
        rows_of(table, data.train_split),
        wanted,
        by,
        left_out,
        known,
        seed,
        clock,
        progress,
    )
    return Evaluation(
        **results,
        **more,
        zero_shot=zero or {name: {} for name in chosen},
        protocols=[
            "retrieval",
            *(["zero_shot"] if any(zero.values()) else []),
            *(name for name, found in more.items() if found),
        ],
        splits=_describe(chosen, items, data),
        left_out=left_out,
        unreadable=items.unreadable,
        model={
            "identity": model.identity,
            "modalities": list(model.modalities),
            "dimension": model.dimension,
        },
        table=_table_facts(table),
        seconds=_stages(clock),
        seed=seed,
    )


def _measure(
    scorer: Scorer,
    pairs: list[tuple[str, str]],
    chosen: dict[str, NDArray[np.bool_]],
    tested: set[str],
    unseen: set[str],
    left_out: dict[str, str],
    progress: Progress | None,
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"retrieval": {}, "retrieval_full": {}, "by": {}, "gap": {}}
    for done, (name, rows) in enumerate(chosen.items()):
        everything = np.ones(len(rows), dtype=bool)
        found["retrieval"][name] = _score(scorer, pairs, rows, None, name, left_out)
        found["retrieval_full"][name] = _score(scorer, pairs, rows, everything, name, {})
        if name in tested:
            found["by"][name] = by_facet(scorer, pairs, rows, unseen, name, left_out)
        found["gap"][name] = scorer.gaps(pairs, rows)
        if progress:
            progress("score", done + 1, len(chosen))
    return found


def _stages(clock: dict[str, float]) -> dict[str, float]:
    """Seconds of each stage from the times at which they ended, and their total."""
    times = list(clock.values())
    took = {name: round(b - a, 3) for name, (a, b) in zip(list(clock)[1:], pairwise(times), strict=True)}
    return took | {"total": round(times[-1] - times[0], 3)}


def choose_splits(table: Table, splits: Sequence[str] | None, train_split: str) -> dict[str, NDArray[np.bool_]]:
    """Split name → bool [rows of the table]."""
    if not len(table):
        raise DataError("the table has no rows: nothing to evaluate")
    known = table.splits()
    if splits is not None:
        for name in splits:
            if name not in known:
                raise ConfigError(f"the table has no split {name!r}; it has {', '.join(sorted(known)) or 'none'}")
        return {name: rows_of(table, name) for name in dict.fromkeys(splits)}
    if len(known) < 2:
        return {"all": np.ones(len(table), dtype=bool)}
    return {name: rows_of(table, name) for name in known if name != train_split}


def check_protocols(protocols: Sequence[str] | None) -> tuple[str, ...]:
    """Those asked for, or all. Raises ConfigError."""
    for name in protocols or ():
        if name not in PROTOCOLS:
            raise ConfigError(
                f"there is no protocol {name!r}; there are {', '.join(PROTOCOLS)} (retrieval is always run)"
            )
    return PROTOCOLS if protocols is None else tuple(name for name in PROTOCOLS if name in protocols)


def data_config(model: Embedder) -> DataConfig:
    config = getattr(model, "config", None)
    return config.data if isinstance(config, RunConfig) else DataConfig(table="")


def rows_of(table: Table, split: str) -> NDArray[np.bool_]:
    return np.array([value == split for value in table.columns(["split"])["split"].to_pylist()], dtype=bool)


def groups_of(table: Table) -> NDArray[np.int64]:
    """int64 [rows]: equal for rows of one group; a row without a group is its own."""
    columns = table.columns(["id", "group"])
    names = [
        f"id:{own}" if group is None else f"group:{group}"
        for own, group in zip(columns["id"].to_pylist(), columns["group"].to_pylist(), strict=True)
    ]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _pairs(model: Embedder) -> list[tuple[str, str]]:
    names = [name for name in MODALITIES if name in model.modalities]
    return [(a, b) for a in names for b in names if a != b]


def _baseline(
    items: Collected, train: NDArray[np.bool_], seed: int, left_out: dict[str, str], progress: Progress | None
) -> Linear | None:
    if not train.any():
        left_out["baseline"] = (
            "no train rows apart from the rows measured: the linear baseline has nothing to learn from"
        )
        return None
    if progress:
        progress("baseline", 0, 0)
    linear = fit_baseline(items.raw, {name: side.rows for name, side in items.sides.items()}, train, seed=seed)
    left_out.update({f"baseline {a}-{b}": reason for (a, b), reason in linear.reasons.items()})
    return linear


def _score(
    scorer: Scorer,
    pairs: list[tuple[str, str]],
    rows: NDArray[np.bool_],
    gallery: NDArray[np.bool_] | None,
    split: str,
    left_out: dict[str, str],
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for query, target in pairs:
        both = rows & scorer.has(query) & scorer.has(target)
        if both.sum() < 2:
            left_out[f"{split} {query}->{target}"] = f"{int(both.sum())} records have both; 2 are needed"
            continue
        found[f"{query}->{target}"] = scorer.score(query, target, both, both if gallery is None else gallery)
    return found


def _describe(chosen: dict[str, NDArray[np.bool_]], items: Collected, data: DataConfig) -> dict[str, dict[str, Any]]:
    roles = {data.train_split: "train", data.validation_split: "validation"}
    return {
        name: {
            "role": roles.get(name, "test"),
            "rows": int(rows.sum()),
            "items": {modality: int(rows[side.rows].sum()) for modality, side in items.sides.items()},
        }
        for name, rows in chosen.items()
    }


def _table_facts(table: Table) -> dict[str, Any]:
    return {"rows": len(table), "splits": table.splits(), "version": table.version}
