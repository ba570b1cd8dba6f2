"""The evaluation of one model on one table: what is asked, of which records, and against what.

    collect items → score every pair of modalities → beside chance and the linear baseline → the protocols → one
    JSON object

Retrieval follows CLIP's protocol (arXiv 2103.00020, section 3) with intervals, chance and baseline added.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from chiasm.config import DataConfig
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError
from chiasm.evaluate.protocols.fairness import check_labels
from chiasm.evaluate.protocols.finetune import check_finetune
from chiasm.evaluate.protocols.further import FURTHER, NEEDS, Found, further
from chiasm.evaluate.retrieval.asked import labels_of
from chiasm.evaluate.retrieval.baseline import Linear, fit_baseline
from chiasm.evaluate.retrieval.breakdown import by_facet
from chiasm.evaluate.retrieval.items import Collected, Progress, collect
from chiasm.evaluate.retrieval.pairs import Scorer
from chiasm.evaluate.retrieval.splits import Rows, choose_splits, data_config, groups_of, rows_of
from chiasm.evaluate.retrieval.study import Budget, Study
from chiasm.evaluate.retrieval.zero_shot import zero_shot
from chiasm.types import Embedder

PROTOCOL = (
    "One item a record and modality: the first text, the first picture, the first sound. A pair uses the "
    "records that have both; n says how many. `retrieval`: the gallery is the split's own items. "
    "`retrieval_full`: the gallery is every item of the table, train included. Items of equal content "
    "(the same text up to case and spacing, or the same bytes) answer for each other. Ties are broken at "
    "random in expectation. Intervals: 95 % percentile bootstrap over groups, 1,000 resamples. Baseline: "
    "24×24 pixels, tf-idf of letter n-grams and coarse log-mel, PCA/SVD, ridge CCA, fitted on the train "
    "split. `by`: queries in one language, or by one voice or artist, against the split's usual gallery; "
    "unseen = held out of training. `zero_shot`: the nearest class name among all values that the table "
    "has for the label. `captions`: each medium and its first five captions, of which only its own answer. "
    "`protocols` names what else was run (docs/evaluation.md)."
)

PROTOCOLS = ("zero_shot", *FURTHER)
"""Beside retrieval, what is run where the model and the table allow it; each is a key of the JSON."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found. `to_json` is plain JSON; its keys are described in `PROTOCOL`. further: by protocol, a key of the JSON each."""

    retrieval: Found
    retrieval_full: Found
    by: Found
    zero_shot: Found
    gap: Found
    further: dict[str, Found]
    protocols: list[str]
    splits: dict[str, dict[str, Any]]
    left_out: dict[str, str]
    unreadable: list[dict[str, str]]
    model: dict[str, Any]
    table: dict[str, Any]
    seconds: dict[str, float]
    seed: int

    def to_json(self) -> dict[str, Any]:
        def those(*names: str) -> dict[str, Any]:
            return {name: getattr(self, name) for name in names}

        return (
            those("retrieval", "retrieval_full", "by", "zero_shot", "gap")
            | self.further
            | those("protocols", "splits", "left_out", "unreadable")
            | {"protocol": PROTOCOL}
            | those("model", "table", "seconds", "seed")
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
    budget: Budget | None = None,
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
    where `by` names groups; never finetune, which trains: it is asked for by name).
    by: labels whose values are the groups of `fairness`, and that `finetune` learns; None = those that divide the records into a few large
    groups, and all.
    budget: how long each fine-tuning takes; None = 300 steps.
    progress: called with (stage, done, total).

    Raises DataError for an empty table, ConfigError for a split, a label or a protocol that is not there; where finetune is asked for,
    DataError for a table without labels and ModelError for a model that cannot be trained.
    """
    wanted = _wanted(protocols, by)
    if by or "finetune" in wanted:  # before anything is embedded
        names = set(labels_of(table))
        check_labels(by or (), names)
        if "finetune" in wanted:
            check_finetune(model, names)
    clock = {"start": time.perf_counter()}
    data = data_config(model)
    tell: Progress = progress or (lambda stage, done, total: None)
    study = _study(model, table, splits, data, baseline, breakdown, by, budget or Budget(), seed, tell, clock)
    unseen = set(data.held_out_makers if held_out is None else held_out)
    results = _retrieval(study, unseen)
    zero: Found = {name: {} for name in study.splits}
    if "zero_shot" in wanted:
        zero |= zero_shot(model, study.items, study.splits, study.groups, seed, study.left_out, study.known)
    clock["score"] = time.perf_counter()
    more = further(study, wanted, clock)
    ran = [*(["zero_shot"] if any(zero.values()) else []), *(name for name, found in more.items() if found)]
    for name in [one for one in wanted if protocols is not None and one not in ran]:
        study.left_out[name] = f"the model and these splits allow none of it; it needs {NEEDS[name]}"
    return Evaluation(
        **results,
        zero_shot=zero,
        further=more,
        protocols=["retrieval", *ran],
        splits=_describe(study, data),
        left_out=study.left_out,
        unreadable=study.items.unreadable,
        model={"identity": model.identity, "modalities": list(model.modalities), "dimension": model.dimension},
        table={"rows": len(table), "splits": table.splits(), "version": table.version},
        seconds=_stages(clock),
        seed=seed,
    )


def check_protocols(protocols: Sequence[str] | None) -> tuple[str, ...]:
    """Those asked for, or all. Raises ConfigError."""
    for name in protocols or ():
        if name not in PROTOCOLS:
            raise ConfigError(
                f"there is no protocol {name!r}; there are {', '.join(PROTOCOLS)} (retrieval is always run)"
            )
    return PROTOCOLS if protocols is None else tuple(name for name in PROTOCOLS if name in protocols)


def _wanted(protocols: Sequence[str] | None, by: Sequence[str] | None) -> tuple[str, ...]:
    wanted = check_protocols(protocols)
    if protocols is not None:
        return wanted
    # Which labels speak of people, only the user knows: words of praise and blame are asked of no others. Training takes minutes.
    return tuple(name for name in wanted if name != "finetune" and (by or name != "association"))


def _study(
    model: Embedder,
    table: Table,
    splits: Sequence[str] | None,
    data: DataConfig,
    baseline: bool,
    breakdown: bool,
    by: Sequence[str] | None,
    budget: Budget,
    seed: int,
    tell: Progress,
    clock: dict[str, float],
) -> Study:
    """Items embedded and the baseline fitted; clock: when each was done."""
    found = choose_splits(table, splits, data.train_split)
    # What tests comes first.
    chosen = dict(sorted(found.items(), key=lambda item: item[0] == data.validation_split))
    tested = tuple(name for name in chosen if name != data.validation_split or len(chosen) == 1)
    facet_rows = np.any([chosen[name] for name in tested], axis=0) if breakdown else None
    items = collect(model, table, facet_rows=facet_rows, raw=baseline, progress=tell)
    clock["embed"] = time.perf_counter()
    left_out: dict[str, str] = {}
    train = rows_of(table, data.train_split)
    apart = train & ~np.any(list(chosen.values()), axis=0)
    linear = _baseline(items, apart, seed, left_out, tell) if baseline else None
    clock["baseline"] = time.perf_counter()
    scorer = Scorer(items, groups_of(table), linear, seed)
    return Study(model, table, scorer, chosen, tested, train, by, seed, tell, left_out, budget)


def _baseline(items: Collected, train: Rows, seed: int, left_out: dict[str, str], progress: Progress) -> Linear | None:
    if not train.any():
        left_out["baseline"] = (
            "no train rows apart from the rows measured: the linear baseline has nothing to learn from"
        )
        return None
    progress("baseline", 0, 0)
    linear = fit_baseline(items.raw, {name: side.rows for name, side in items.sides.items()}, train, seed=seed)
    left_out.update({f"baseline {a}-{b}": reason for (a, b), reason in linear.reasons.items()})
    return linear


def _retrieval(study: Study, unseen: Collection[str]) -> dict[str, Found]:
    found: dict[str, Found] = {"retrieval": {}, "retrieval_full": {}, "by": {}, "gap": {}}
    scorer, pairs = study.scorer, study.pairs
    for done, (name, rows) in enumerate(study.splits.items()):
        found["retrieval"][name] = _score(study, rows, None, name, study.left_out)
        found["retrieval_full"][name] = _score(study, rows, np.ones(len(rows), dtype=bool), name, {})
        if name in study.tested:
            found["by"][name] = by_facet(scorer, pairs, rows, set(unseen), name, study.left_out)
        found["gap"][name] = scorer.gaps(pairs, rows)
        study.progress("score", done + 1, len(study.splits))
    return found


def _score(study: Study, rows: Rows, gallery: Rows | None, split: str, left_out: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for query, target in study.pairs:
        both = rows & study.scorer.has(query) & study.scorer.has(target)
        if both.sum() < 2:
            left_out[f"{split} {query}->{target}"] = f"{int(both.sum())} records have both; 2 are needed"
            continue
        found[f"{query}->{target}"] = study.scorer.score(query, target, both, both if gallery is None else gallery)
    return found


def _describe(study: Study, data: DataConfig) -> dict[str, dict[str, Any]]:
    roles = {data.train_split: "train", data.validation_split: "validation"}
    return {
        name: {
            "role": roles.get(name, "test"),
            "rows": int(rows.sum()),
            "items": {modality: int(rows[side.rows].sum()) for modality, side in study.items.sides.items()},
        }
        for name, rows in study.splits.items()
    }


def _stages(clock: dict[str, float]) -> dict[str, float]:
    """Seconds of each stage from the times at which they ended, and their total."""
    times = list(clock.values())
    took = {name: round(b - a, 3) for name, (a, b) in zip(list(clock)[1:], pairwise(times), strict=True)}
    return took | {"total": round(times[-1] - times[0], 3)}
