"""The report on a table: one set of facts, from which come the page, the JSON and the thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from chiasm.building import ReportConfig
from chiasm.dataset.table import Table
from chiasm.errors import DataError
from chiasm.evaluate.data.bias import bias, check_attributes
from chiasm.evaluate.data.checks import check, figures, validate
from chiasm.evaluate.data.counts import build_facts, counts
from chiasm.evaluate.data.coverage import against, covered_classes, read_taxonomy
from chiasm.evaluate.data.diversity import diversity, vectors_of
from chiasm.evaluate.data.examples import examples
from chiasm.evaluate.data.leaks import copies, leaks, told
from chiasm.evaluate.data.near import near_duplicates
from chiasm.evaluate.data.quality import agreements, quality
from chiasm.evaluate.data.rows import Rows, content_digests, draw, read_rows
from chiasm.evaluate.retrieval.items import Progress
from chiasm.types import Embedder

FORMAT = 1
"""Of the JSON."""

FIGURES = 10
"""Parts that progress is told of."""

T = TypeVar("T")


@dataclass(frozen=True)
class Report:
    """facts: plain JSON · rows: what the page draws its examples from."""

    facts: dict[str, Any]
    rows: Rows


def report_on(
    table: Table,
    config: ReportConfig | None = None,
    *,
    other: Table | None = None,
    model: Embedder | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Everything that is told of `table`; the keys of its facts are the sections of docs/reports.md.

    other: a table to compare the coverage with · model: judges the agreement of senses and makes the vectors; linear features else.
    Raises ConfigError for a wrong setting, before anything is read; DataError for an empty table.
    """
    config = config or ReportConfig()
    validate(config.fail_if)
    classes = None if config.taxonomy is None else read_taxonomy(Path(config.taxonomy))
    tell = progress or (lambda stage, done, total: None)
    rows = read_rows(table)
    if not rows.records:
        raise DataError(f"{table.path}: has no rows to report on")
    check_attributes(rows, config.by)
    sample = draw(rows, config.sample, model=model, seed=seed, progress=progress)
    contents, looked = content_digests(rows, progress)
    done = 0

    def told_of(what: T) -> T:
        nonlocal done
        done += 1
        tell("compute figures", done, FIGURES)
        return what

    tell("compute figures", 0, FIGURES)
    equal = told_of(copies(rows, contents))
    near, near_on = told_of(near_duplicates(rows, sample, equal))
    vectors = told_of(vectors_of(sample))
    varied, clusters = told_of(diversity(rows, sample, vectors, seed))
    agreed = told_of(agreements(rows, sample))
    biased = told_of(bias(rows, sample, config.by, seed))
    counted, measured = told_of(counts(rows, sample)), told_of(quality(rows, sample, agreed))
    leaking = told_of(leaks(rows, contents, looked, near))
    coverage: dict[str, Any] = {}
    if classes is not None:
        coverage["taxonomy"] = {"name": Path(str(config.taxonomy)).name, **covered_classes(rows, classes)}
    if other is not None:
        theirs = read_rows(other)
        coverage["against"] = against(
            rows, sample, theirs, draw(theirs, config.sample, model=model, seed=seed, progress=progress), seed
        )
    facts: dict[str, Any] = {
        "format": FORMAT,
        "table": {"name": table.path.name, "version": table.version, "created": table.created},
        "sample": {"rows": len(sample.rows), "of": len(rows.records), "seed": seed},
        "counts": counted,
        "diversity": varied,
        "coverage": coverage,
        "quality": measured,
        "duplicates": {
            "exact": told(rows, equal) | {"looked": looked, "of": len(rows.records)},
            "near": told(rows, near) | {"looked": near_on, "of": len(rows.records)},
        },
        "bias": biased,
        "leaks": leaking,
        "build": build_facts(rows),
        "examples": examples(rows, sample, agreed, vectors, clusters, equal, near),
    }
    facts["figures"] = figures(facts)
    facts["failed"] = check(facts, config.fail_if)
    facts["thresholds"] = dict(config.fail_if)
    tell("compute figures", FIGURES, FIGURES)
    return Report(facts, rows)


def failures(table: Table, config: ReportConfig, *, progress: Progress | None = None) -> list[str]:
    """What `config.fail_if` finds wrong with a table, in sentences; nothing is read where it asks for nothing."""
    return report_on(table, config, progress=progress).facts["failed"] if config.fail_if else []
