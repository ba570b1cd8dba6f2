"""The report of a run: one HTML file that needs nothing else, to be read by people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chiasm.dataset.table import Table
from chiasm.evaluate.conversion.figures import FIGURES, interval_of, written
from chiasm.evaluate.pages import facts
from chiasm.evaluate.pages.charts import number
from chiasm.evaluate.pages.curves import curves, read_log
from chiasm.evaluate.pages.embedded import Embedded
from chiasm.evaluate.pages.examples import Example, draw_examples
from chiasm.evaluate.pages.page import render, write_page
from chiasm.evaluate.pages.space import Space, draw_space
from chiasm.evaluate.retrieval.items import Collected, Progress, collect
from chiasm.evaluate.retrieval.pairs import Scorer
from chiasm.evaluate.retrieval.splits import choose_splits, groups_of
from chiasm.types import MODALITIES, Embedder, Record

MOST_RECORDS = 2_000
"""Records of a split that examples are drawn from and searched among; more are sampled by seed."""


@dataclass(frozen=True, slots=True)
class Conversions:
    """Sections of a page as `conversion_sections` makes them. by: whose conversions they are, in words."""

    by: str
    protocol: str
    sections: Callable[[Embedded], Sequence[Mapping[str, Any]]]


def write_report(
    run: Path,
    table: Table,
    model: Embedder,
    evaluation: Mapping[str, Any],
    out: Path,
    *,
    searches: Sequence[Mapping[str, Any]] | None = None,
    seconds: Mapping[str, float] | None = None,
    conversions: Conversions | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the report of `run` to `out` and return `out`.

    evaluation: `Evaluation.to_json()` of the same model and table; or, of a model that converts, what
    `measured_conversions` makes of it: its key `conversion` then gives each task a section.
    searches: example searches, each {"title": what was asked, in words; "record": id of the record whose
    picture, sound or clip was asked with, and "modality": which of them; "results": [{"id", "score"}, …] as
    `Hit.to_json` gives them}; only title and results are needed.
    seconds: time of further stages (build, train, index …), beside the evaluation's own.
    conversions: what another model than `model` converts.

    Raises MachineError where `out` cannot be written. All data is escaped; the file is written whole or not
    at all.
    """
    tell = progress or (lambda stage, done, total: None)
    tell("report", 0, 4)
    media = Embedded(table)
    shelf = _Shelf(table, media)
    own = _conversions(table, model, evaluation)
    shown = [(one, one.sections(media)) for one in (own, conversions) if one is not None]
    tell("report", 1, 4)
    examples: dict[str, dict[str, list[dict[str, Any]]]] = {}
    space: Space | None = None
    if evaluation["splits"]:
        items, chosen = _collect(table, model, evaluation)
        scorer = Scorer(items, groups_of(table), None, 0)
        examples = {name: _examples(scorer, model, rows, evaluation["seed"], shelf) for name, rows in chosen.items()}
        tell("report", 2, 4)
        rows = np.flatnonzero(np.any(list(chosen.values()), axis=0))
        space = draw_space(table, items.sides, rows, seed=evaluation["seed"])
    tell("report", 3, 4)
    page = _render(
        run,
        table,
        evaluation,
        [(one, sections) for one, sections in shown if sections],
        examples,
        space,
        [shelf.search(one) for one in searches or ()],
        seconds or {},
        media,
    )
    write_page(out, page)
    tell("report", 4, 4)
    return out


class _Shelf:
    """Records by id or position, as the template shows them. Read when asked for, since only few are."""

    def __init__(self, table: Table, media: Embedded) -> None:
        self._table = table
        self._media = media
        self._rows: dict[str, int] | None = None

    def card(self, row: int, modality: str) -> dict[str, Any]:
        """One item: {id, modality, text, language, picture, sound, strip}; `text` names the record whatever is
        shown.
        """
        return self._card(self._table.records([row])[0], modality)

    def example(self, example: Example) -> dict[str, Any]:
        results = [
            self.card(result.row, example.target) | {"right": result.right, "score": result.score}
            for result in example.results
        ]
        return {
            "query": self.card(example.row, example.query),
            "found": example.found,
            "rank": number(round(example.rank, 1)),
            "gallery": example.gallery,
            "results": results,
        }

    def search(self, search: Mapping[str, Any]) -> dict[str, Any]:
        """A search as given, with the records' own pictures, clips and sounds; results that the table lacks are
        named only.
        """
        asked = self._find(str(search.get("record", "")))
        results: list[dict[str, Any]] = []
        for result in list(search.get("results", ()))[:6]:
            record = self._find(str(result.get("id", "")))
            record = record or Record(str(result.get("id", "")))
            card = self._card(record, "image" if record.image else "video" if record.video else "text")
            results.append(card | {"score": float(result.get("score", 0.0)), "right": None})
        query = None if asked is None else self._card(asked, str(search.get("modality", "image")))
        return {"title": str(search.get("title", "search")), "query": query, "results": results}

    def _find(self, name: str) -> Record | None:
        if self._rows is None:
            self._rows = {key: row for row, key in enumerate(self._table.columns(["id"])["id"].to_pylist())}
        row = self._rows.get(name)
        return None if row is None else self._table.records([row])[0]

    def _card(self, record: Record, modality: str) -> dict[str, Any]:
        first = record.texts[0] if record.texts else None
        card: dict[str, Any] = {
            "id": record.id,
            "modality": modality,
            "text": (first.text if first else record.id)[:200],
            "language": first.language if first else None,
            "picture": None,
            "sound": None,
            "strip": None,
        }
        if modality == "image" and record.image:
            card["picture"] = self._media.picture(record.image[0])
        if modality == "audio" and record.audio:
            card["sound"] = self._media.sound(record.audio[0])
        if modality == "video" and record.video:
            card["strip"] = self._media.strip(record.video[0])
        return card


def _conversions(table: Table, model: Embedder, evaluation: Mapping[str, Any]) -> Conversions | None:
    """The evaluation's own; None of a model that converts nothing."""
    conversion = evaluation.get("conversion")
    if not conversion:
        return None
    from chiasm.evaluate.conversion.page import conversion_sections
    from chiasm.train.converting import ConvertingModel

    if not isinstance(model, ConvertingModel):
        return None
    own, seed = table if evaluation.get("conversion_on_table") else None, evaluation["seed"]
    return Conversions(
        "the model",
        evaluation["conversion_protocol"],
        lambda media: conversion_sections(model, conversion, media, own, seed),
    )


def _collect(table: Table, model: Embedder, evaluation: Mapping[str, Any]) -> tuple[Collected, dict[str, Any]]:
    """The items of the splits that test, and each such split's rows, bool [rows of the table]."""
    names = [name for name, facts in evaluation["splits"].items() if facts["role"] == "test"] or list(
        evaluation["splits"]
    )
    chosen = choose_splits(table, None if names == ["all"] else names, "train")
    rng = np.random.default_rng(evaluation["seed"])
    for name, rows in chosen.items():
        found = np.flatnonzero(rows)
        if len(found) > MOST_RECORDS:
            kept = np.zeros(len(rows), dtype=bool)
            kept[rng.choice(found, MOST_RECORDS, replace=False)] = True
            chosen[name] = kept
    return collect(model, table, rows=np.flatnonzero(np.any(list(chosen.values()), axis=0)), raw=False), chosen


def _examples(scorer: Scorer, model: Embedder, rows: Any, seed: int, shelf: _Shelf) -> dict[str, list[dict[str, Any]]]:
    names = [name for name in MODALITIES if name in model.modalities]
    pairs = {f"{a}->{b}": (a, b) for a in names for b in names if a != b}
    drawn = draw_examples(scorer, [pairs[pair] for pair in facts.ordered(pairs)], rows, seed)
    found: dict[str, list[dict[str, Any]]] = {}
    for example in drawn:
        found.setdefault(f"{example.query}->{example.target}", []).append(shelf.example(example))
    return found


def _render(
    run: Path,
    table: Table,
    evaluation: Mapping[str, Any],
    conversions: Sequence[tuple[Conversions, Sequence[Mapping[str, Any]]]],
    examples: Mapping[str, Any],
    space: Space | None,
    searches: Sequence[Mapping[str, Any]],
    seconds: Mapping[str, float],
    media: Embedded,
) -> str:
    config_file = run / "config.yaml"
    config = config_file.read_text(encoding="utf8", errors="replace") if config_file.is_file() else ""
    log = read_log(run / "log.jsonl")
    metadata = table.metadata
    found = facts.findings(evaluation) if evaluation["splits"] else []
    stages = {**({"train": float(log[-1]["seconds"])} if log and "train" not in seconds else {}), **seconds}
    stages |= {f"evaluate: {name}": value for name, value in evaluation["seconds"].items() if name != "total"}
    return render(
        "report.html",
        name=run.resolve().name,
        evaluation=evaluation,
        findings=found,
        verdict=facts.verdict(found) if found else "",
        embeds=bool(evaluation["splits"]),
        conversions=conversions,
        figure_names=FIGURES,
        as_written=written,
        as_interval=interval_of,
        meaning=facts.MEANING,
        ordered=facts.ordered,
        curves=curves(log, facts.batch_of(config)),
        steps=max((line["step"] for line in log), default=None),
        examples=examples,
        searches=searches,
        space=space,
        config=config,
        dataset=facts.dataset_facts(metadata),
        attribution=str(metadata.get("attribution") or ""),
        table_name=table.path.name,
        machine=facts.machine_facts(),
        stages=stages,
        left_out_media=media.left_out,
    )
