"""The evaluation of a converting model: each of its tasks on the task's own table, by the measure of what it wants.

draw records → cases (a question, a turn, a voice each) → convert → measure beside baselines and ceilings → one JSON object
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.config import DataConfig
from chiasm.dataset.place import absolute
from chiasm.dataset.table import Table
from chiasm.declare import TaskConfig
from chiasm.errors import ConfigError, DataError
from chiasm.evaluate.conversion.bench import CHUNK, LEFT_OUT, Bench, Converting, Progress
from chiasm.evaluate.conversion.cases import CASES, Case, cases_of, columns_of, spread
from chiasm.evaluate.conversion.drawn import measure_image
from chiasm.evaluate.conversion.items import items_of, measure_items
from chiasm.evaluate.conversion.ran import Ran, convert_cases, objects_of
from chiasm.evaluate.conversion.score import Measured, described
from chiasm.evaluate.conversion.spoken import measure_audio
from chiasm.evaluate.conversion.words import measure_answer, measure_boxes, measure_label, measure_mask, measure_text
from chiasm.types import Converted

PROTOCOL = (
    "Records are drawn evenly over a split, `most` at most; `left_out_makers` are those of the train split that a task given sounds left out, "
    "as all of theirs are by makers held out: voices never heard. A question or turn is a case of its own, and of several voices of a "
    "record one that training heard and one that it did not. Text: the best of the accepted ones counts; equal means equal but for case and "
    "punctuation; chrF is 0 … 100; not written in training: none of the train split's texts. "
    "Answers and labels are chosen from those that training saw. Boxes: AP50 as COCO computes it. Masks: mean "
    "IoU at the picture's own size. Pictures: the nearest of all the table's pictures, by blurred pixels and by the model's own embedding; "
    "pictures of equal first English text answer for each other. Speech: heard by a recogniser that learned from real sounds alone. Items: "
    "ranked among all of the table's, those of the history left out. Intervals: 95 % percentile bootstrap over groups, 1,000 resamples. "
    "`without`: the same cases without an optional field, and the paired difference. `by`: kinds of case apart."
)

EXAMPLES = 12
"""Cases that are listed, drawn by seed."""
FACETS = 16
"""Kinds of case that are told apart, the most frequent ones."""


@dataclass(frozen=True, slots=True)
class ConversionEvaluation:
    """What `evaluate_conversion` found. `to_json`: {task: {given, wanted, table, splits: {split: {role, records, n, metrics, baselines,
    ceilings, by, without, details, notes, examples}}}}; every figure is {value, low, high, n}."""

    tasks: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]
    seed: int

    def to_json(self) -> dict[str, Any]:
        return dict(self.tasks)


def evaluate_conversion(
    model: Converting,
    splits: Sequence[str] | None = None,
    *,
    tasks: Sequence[str] | None = None,
    table: Table | None = None,
    most: int = 500,
    seed: int = 0,
    progress: Progress | None = None,
) -> ConversionEvaluation:
    """Measure each task of a model that writes something (all but `space`).

    splits: None = every split but the train split, and validation only where there is no other; and `left_out_makers`, the records of the
    train split that a task left out, since all of their sounds are by `data.held_out_makers`. tasks: by name; None = all.
    table: measure on this one, not on the task's own. most: records a task and split.
    Raises ConfigError for a task or split that there is not, DataError where a table cannot be read.
    """
    tell: Progress = progress or (lambda stage, done, total: None)
    left_out: dict[str, str] = {}
    found: dict[str, dict[str, Any]] = {}
    places = {name: own_table(model, name) for name in writing_tasks(model, tasks)}
    # Each once, for all its tasks: an open table keeps what was read of it.
    opened = {place: table or Table(place) for place in dict.fromkeys(places.values())}
    tables = {name: opened[place] for name, place in places.items()}
    known = {split for one in tables.values() for split in one.splits()} | {LEFT_OUT}
    for split in splits or ():
        if tables and split not in known:
            raise ConfigError(f"no table has a split {split!r}; there are {', '.join(sorted(known))}")
    for name, own in tables.items():
        task = model.tasks[name]
        bench = Bench(model, name, task, own, seed, tell)
        entry: dict[str, dict[str, Any]] = {}
        for split in _splits(own, splits, model.config.data):
            rows = bench.rows(split)
            if split == LEFT_OUT and splits is None and not len(rows):
                continue
            ran = convert_cases(bench, rows[spread(len(rows), most)], most * CASES, split)
            if ran.unreadable:
                left_out[f"{name} {split}"] = f"{len(ran.unreadable)} could not be read; the first: {ran.unreadable[0]}"
            if not ran.cases:
                needs = " and ".join(map(str, (*task.given, task.wanted)))
                why = (
                    "no record was left out for its maker"
                    if split == LEFT_OUT
                    else f"no record has what it needs: {needs}"
                )
                left_out.setdefault(f"{name} {split}", why)
                continue
            entry[split] = _describe(bench, split, ran)
        found[name] = {
            "given": [str(one) for one in task.given],
            "wanted": str(task.wanted),
            "table": own.path.name,
            "splits": entry,
        }
    return ConversionEvaluation(found, left_out, seed)


def measured_conversions(
    model: Converting, table: Table, found: ConversionEvaluation, *, on_table: bool, retrieval: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What `write_report` and evaluation.json hold of a converting model: the keys of `Evaluation.to_json` (empty where nothing was
    retrieved), and `conversion`, `conversion_protocol`, `conversion_on_table` (measured on `table`, not on each task's own)."""
    empty: dict[str, Any] = {
        key: {} for key in ("retrieval", "retrieval_full", "by", "zero_shot", "gap", "splits", "seconds")
    }
    result: dict[str, Any] = {
        **empty,
        "left_out": {},
        "unreadable": [],
        "protocol": "",
        "model": {name: getattr(model, name, None) for name in ("identity", "dimension")}
        | {"modalities": list(getattr(model, "modalities", ()))},
        "table": {"rows": len(table), "splits": table.splits(), "version": table.version},
        "seed": found.seed,
        **(retrieval or {}),
    }
    result["left_out"] = {**result["left_out"], **found.left_out}
    return result | {
        "conversion": found.to_json(),
        "conversion_protocol": PROTOCOL,
        "conversion_on_table": on_table,
    }


def writing_tasks(model: Converting, tasks: Sequence[str] | None) -> list[str]:
    """The tasks that write something. Raises ConfigError for a name that the model lacks or that writes nothing."""
    writing = [name for name, task in model.tasks.items() if task.wanted.of != "space"]
    for name in tasks or ():
        if name not in writing:
            raise ConfigError(f"the model has no task {name!r} that writes something; it has {', '.join(writing)}")
    return writing if tasks is None else [name for name in writing if name in tasks]


def tasks_of_table(model: Converting, table: Table) -> list[str]:
    """The writing tasks that were trained on this table; of a table that no task knows, all for which it has what is needed."""
    names = writing_tasks(model, None)
    known = [name for name in names if absolute(own_table(model, name)) == absolute(table.path)]
    if known:
        return known
    rows = np.arange(len(table))[spread(len(table), CHUNK)]
    records = table.records(rows, columns_of(table))
    return [
        name
        for name in names
        if model.tasks[name].part_of is None
        and any(cases_of(record, 0, 0, model.tasks[name], frozenset()) for record in records)
        and not model.tasks[name].where
    ]


def own_table(model: Converting, task: str) -> Path:
    """Where the table is that a task was trained on."""
    return Path(model.tasks[task].table or model.config.data.table)


def _splits(table: Table, splits: Sequence[str] | None, data: DataConfig) -> list[str]:
    known = table.splits()
    if splits is not None:
        return [name for name in dict.fromkeys(splits) if name in known or name == LEFT_OUT]
    tests = [name for name in known if name not in (data.train_split, data.validation_split)]
    if len(known) < 2:
        return ["all"]
    return [*(tests or [name for name in known if name == data.validation_split]), LEFT_OUT]


def _measure(bench: Bench, ran: Ran, results: Sequence[Converted]) -> Measured:
    match bench.task.wanted.of:
        case "text":
            return measure_text(bench, ran.cases, results)
        case "answer":
            return measure_answer(bench, ran.cases, results)
        case "label":
            return measure_label(bench, ran.cases, results, ran.mels)
        case "boxes":
            return measure_boxes(bench, ran.cases, results)
        case "mask":
            return measure_mask(results, ran.masks, ("background", *objects_of(bench)))
        case "image":
            return measure_image(bench, ran.cases, results)
        case "audio":
            return measure_audio(bench, ran.cases, results, ran.mels)
        case "item":
            histories = [items_of(one.record) for one in ran.cases]
            return measure_items(bench, histories, [one.items or () for one in results])
        case wanted:
            raise DataError(f"nothing measures {wanted}")


def _describe(bench: Bench, split: str, ran: Ran) -> dict[str, Any]:
    found = _measure(bench, ran, ran.results)
    group = np.unique([case.group for case in ran.cases], return_inverse=True)[1].astype(np.int64)
    data, seed = bench.model.config.data, bench.seed
    roles = {data.train_split: "train", data.validation_split: "validation", LEFT_OUT: "left out"}
    entry: dict[str, Any] = {
        "role": roles.get(split, "test"),
        "records": ran.records,
        "n": len(ran.cases),
        "metrics": {name: figure.to_json() for name, figure in found.fixed.items()}
        | described(found.scores, group, seed),
        "baselines": {name: described(scores, group, seed) for name, scores in found.baselines.items()},
        "ceilings": {name: _ceiling(scores, group, seed) for name, scores in found.ceilings.items()},
        "by": _by(ran.cases, found, group, seed),
        "without": {},
        "details": dict(found.details),
        "notes": dict(found.notes),
        "examples": _examples(bench, ran, found),
    }
    for name, results in ran.stripped.items():
        entry["without"][name] = _without(bench, ran, found, results, name, group)
    return entry


def _ceiling(scores: Any, group: NDArray[np.int64], seed: int) -> dict[str, Any]:
    """A ceiling's figures; those over fewer cases (of sounds that can be read) are each their own group."""
    return {
        name: score.figure(group if len(score.table) == len(group) else np.arange(len(score.table)), seed).to_json()
        for name, score in scores.items()
    }


def _by(cases: Sequence[Case], found: Measured, group: NDArray[np.int64], seed: int) -> dict[str, Any]:
    """The figures of each kind of case that is not all of them."""
    counts = Counter(tag for case in cases for tag in case.tags)
    parts: dict[str, Any] = {}
    for tag, count in counts.most_common(FACETS):
        if count == len(cases):
            continue
        rows = np.array([i for i, case in enumerate(cases) if tag in case.tags])
        parts[tag] = {
            "metrics": described({n: s.at(rows) for n, s in found.scores.items()}, group[rows], seed),
            "baselines": {
                name: described({n: s.at(rows) for n, s in scores.items()}, group[rows], seed)
                for name, scores in found.baselines.items()
            },
        }
    return parts


def _without(
    bench: Bench, ran: Ran, found: Measured, results: Sequence[Converted], name: str, group: NDArray[np.int64]
) -> dict[str, Any]:
    """The cases that have an optional field, measured without it, and how much it brings."""
    of = name.split(":")[0].split(".")[0]
    column = "texts" if of == "text" else of
    rows = np.array([i for i, case in enumerate(ran.cases) if getattr(case.record, column)], np.int64)
    if not len(rows):
        return {}
    bare = _measure(bench, ran, results)
    mine = {metric: score.at(rows) for metric, score in found.scores.items()}
    theirs = {metric: score.at(rows) for metric, score in bare.scores.items()}
    return {
        "metrics": described(theirs, group[rows], bench.seed),
        "difference": {
            metric: mine[metric].minus(theirs[metric], group[rows], bench.seed).to_json() for metric in mine
        },
    }


def _examples(bench: Bench, ran: Ran, found: Measured) -> list[dict[str, Any]]:
    rng = np.random.default_rng(bench.seed)
    chosen = np.sort(rng.choice(len(ran.cases), min(EXAMPLES, len(ran.cases)), replace=False))
    return [
        {
            "id": ran.cases[i].record.id,
            "row": ran.cases[i].row,
            "part": ran.cases[i].part,
            "place": ran.places[i],
            "given": _given_text(bench.task, ran.cases[i]),
            "wanted": _wanted_text(bench.task, ran.cases[i]),
            "got": found.got[i],
            "right": found.right[i],
        }
        for i in chosen.tolist()
    ]


def _given_text(task: TaskConfig, case: Case) -> str:
    names = {one.of for one in task.given}
    if names & {"question", "turns"}:
        return case.asked
    if "history" in names:
        return ", ".join(items_of(case.record)[:-1])
    return case.text if "text" in names else ""


def _wanted_text(task: TaskConfig, case: Case) -> str:
    match task.wanted.of:
        case "boxes" | "mask":
            return ", ".join(sorted(box.label for box in case.record.boxes))
        case "item":
            return items_of(case.record)[-1]
        case "image" | "audio":
            return case.text
        case _:
            return case.truth[0]
