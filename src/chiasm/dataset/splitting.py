"""The step *split*: every row gets its split, in proportion where that is asked for, and the check of it is part of the result.

It is called as ``run(sheet, config, rule=source.rule, tied=every pair that an earlier step tied)`` and gives back `splits` and `groups` for all of
`sheet.rows`; `facts["leaks"]` are sentences, empty where nothing leaks. It always runs, before *augment*: copies of training rows need to
know which rows train.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from chiasm.config import BuildConfig
from chiasm.dataset.split import CONCEPT, TEST, TRAIN, VALIDATION, VARIATION, assign, too_small
from chiasm.dataset.step import Embedder, Outcome, Sheet
from chiasm.errors import ConfigError
from chiasm.sources import Progress
from chiasm.types import Record

TOLD = 20
"""Leaks that are told in words; all are counted."""


def run(
    sheet: Sheet,
    config: BuildConfig,
    *,
    rule: Literal["groups", "forms"] = "groups",
    tied: Sequence[tuple[int, int]] = (),
    model: Embedder | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """The splits and joined groups of all rows of `sheet`. rule: the source's, unless the configuration names one; tied: pairs of row numbers.

    facts: rule, splits (rows of each), groups, largest_group (rows), leaks (sentences), leaks_total, too_small and, where it was asked
    for, strata: by stratum its rows in each split. Raises ConfigError where stratified splits are asked of rule *forms*, or no
    record has what they are to be stratified by.
    """
    wanted = config.split
    chosen = wanted.rule or rule
    if chosen == "forms" and (wanted.stratify or wanted.shares is not None):
        raise ConfigError("split: this source holds out forms of groups; stratify and shares need split.rule=groups")
    if progress is not None:
        progress("split", 0, None)
    rows = [int(row) for row in sheet.rows]
    place = {row: index for index, row in enumerate(rows)} if tied else {}
    pairs = [(place[a], place[b]) for a, b in tied if a in place and b in place]
    strata = _strata(sheet, wanted.stratify, len(rows)) if wanted.stratify else None
    keys = sheet.keys
    found = assign(
        keys,
        rule=chosen,
        validation=config.validation,
        test=config.test,
        seed=config.seed,
        shares=wanted.shares,
        tied=pairs,
        strata=strata,
        prescribed=wanted.prescribed,
    )
    held = {VALIDATION: config.validation, TEST: config.test} if wanted.shares is None else wanted.shares
    counts = Counter(found.splits)
    small = too_small(found.splits, rule=chosen, validation=held.get(VALIDATION, 0.0), test=held.get(TEST, 0.0))
    facts: dict[str, Any] = {
        "rule": chosen,
        "splits": {name: counts[name] for name in sorted(counts, key=lambda name: (name != "train", name))},
        "groups": len(set(found.groups)),
        "largest_group": max(Counter(found.groups).values(), default=0),
        "tied": len(pairs),
        "leaks": list(found.leaks[:TOLD]),
        "leaks_total": len(found.leaks),
        "too_small": list(small),
    }
    if strata is not None:
        facts["strata"] = _table(strata, found.splits)
    return Outcome(
        splits=dict(zip(rows, found.splits, strict=True)),
        groups=dict(zip(rows, found.groups, strict=True)),
        facts=facts,
    )


def meant_split(name: str) -> str | None:
    """The usual name that a split's name, in lower case, looks like a misprint of (tset, validaton); None where it is one, or is like none.

    Names with digits and signs (test2, test_hard), or one letter more to tell several apart (testa, testb), are meant.
    """
    usual = (TRAIN, VALIDATION, TEST, "dev", "val")
    if name in (*usual, VARIATION, CONCEPT) or not name.isalpha() or (name[:-1] in usual and name[-1] != "s"):
        return None
    # Of three letters, two that changed places leave but one in order.
    near = [one for one in usual if sorted(one) == sorted(name)] or difflib.get_close_matches(name, usual, 1, 0.75)
    return near[0] if near else None


def strata_of(record: Record, names: Sequence[str]) -> list[str]:
    """What a record is stratified by: its `source`, the languages of its texts, its values of a label; as ``name=value``."""
    found: list[str] = []
    for name in names:
        if name == "source":
            values = {record.source} - {""}
        elif name == "language":
            values = {text.language for text in record.texts if text.language}
        else:
            values = {label.value for label in record.labels if label.name == name}
        found += [f"{name}={value}" for value in sorted(values)]
    return found


def _strata(sheet: Sheet, names: Sequence[str], count: int) -> list[list[str]]:
    needs = {"source": "source", "language": "texts"}
    columns = sorted({needs.get(name, "labels") for name in names})
    found = [strata_of(record, names) for _, record in sheet.records(columns=["id", *columns])]
    for name in names:
        if count and not any(one.startswith(f"{name}=") for row in found for one in row):
            raise ConfigError(
                f"split.stratify: no record has {name!r}; name a label of the records, source or language"
            )
    return found


def _table(strata: Sequence[Sequence[str]], splits: Sequence[str]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for values, split in zip(strata, splits, strict=True):
        for value in values or ("(none)",):
            counts.setdefault(value, Counter())[split] += 1
    common = sorted(counts, key=lambda value: (-counts[value].total(), value))[:200]
    return {value: dict(sorted(counts[value].items())) for value in common}
