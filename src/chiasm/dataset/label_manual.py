"""Labels that people gave: a CSV or JSONL file of id, name, value and perhaps annotator."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chiasm.dataset.agreement import krippendorff
from chiasm.dataset.label_model import ABSTAIN, fit_dawid_skene
from chiasm.dataset.labelling import Labelling
from chiasm.errors import DataError

MAX_BYTES = 256 * 2**20
MAX_FIELD = 10_000
EXAMPLES = 10

Line = tuple[str, str, str, str]
"""id, name, value, annotator."""


def import_labels(path: Path, labelling: Labelling) -> dict[str, Any]:
    """Give rows the labels of the file, in place of their own of the same name; the facts of it.

    An annotator's later line on the same row and name supersedes the earlier one; of several annotators most win, and a tie gives no
    label. Every line is counted once: given = used + the counts of `refused`. Raises DataError where the file cannot be read, lacks a
    column, or gives no row a label.
    """
    refused: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)

    def refuse(reason: str, said: str, count: int = 1) -> None:
        refused[reason] += count
        if len(examples[reason]) < EXAMPLES:
            examples[reason].append(said)

    places = {key: place for place, key in enumerate(labelling.ids)}
    said: dict[str, dict[int, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    given = 0
    for number, line in read_lines(path):
        given += 1
        if isinstance(line, str):
            refuse(line, f"line {number}")
            continue
        key, name, value, annotator = line
        if key not in places:
            refuse("unknown_id", key)
            continue
        votes = said[name][places[key]]
        if annotator in votes:
            refuse("superseded", key)
        votes[annotator] = value
    used = 0
    agreement: dict[str, Any] = {}
    for name, rows in said.items():
        labels: dict[int, str] = {}
        for place, votes in rows.items():
            ranked = Counter(votes.values()).most_common(2)
            if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
                refuse("tie", labelling.ids[place], len(votes))
                continue
            labels[place] = ranked[0][0]
            used += ranked[0][1]
            if len(votes) > ranked[0][1]:
                refuse("outvoted", labelling.ids[place], len(votes) - ranked[0][1])
        labelling.give(name, labels)
        agreement[name] = {"rows": len(labels), **agree(rows)}
    if not used:
        raise DataError(f"{path}: none of its {given} lines labels a row; refused: {dict(refused) or 'nothing'}")
    return {"given": given, "used": used, "refused": dict(refused), "examples": dict(examples), "names": agreement}


def agree(rows: Mapping[int, Mapping[str, str]]) -> dict[str, Any]:
    """Of annotators that overlap: Krippendorff's alpha, and from three on the accuracy of each by Dawid & Skene's model."""
    names = sorted({annotator for votes in rows.values() for annotator in votes})
    classes = sorted({value for votes in rows.values() for value in votes.values()})
    if len(names) < 2 or len(classes) < 2:
        return {}
    number = {value: index for index, value in enumerate(classes)}
    table = np.array(
        [[number[votes[name]] if name in votes else ABSTAIN for name in names] for votes in rows.values()], np.int64
    )
    alpha = krippendorff(np.where(table == ABSTAIN, np.nan, table).T, "nominal")
    facts: dict[str, Any] = {"annotators": len(names), "alpha": None if np.isnan(alpha) else alpha}
    if len(names) >= 3:
        accuracy = fit_dawid_skene(table, len(classes)).accuracy
        facts["estimated_accuracy"] = dict(zip(names, accuracy.tolist(), strict=True))
    return facts


def read_lines(path: Path) -> Iterator[tuple[int, Line | str]]:
    """(line number from 1, its values, or the reason why it has none: format, missing) of each line that is not blank."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path}: {size:,} bytes; labels are read up to {MAX_BYTES:,}")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.split("\n"), 1):  # not splitlines: JSON may hold U+2028 as it is
            if line.strip():
                yield number, _json_line(line)
        return
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="")
    try:
        missing = {"id", "name", "value"} - set(reader.fieldnames or ())
        if missing:
            raise DataError(f"{path}: no column {', '.join(sorted(missing))}; labels need id, name and value")
        for row in reader:
            yield reader.line_num, _line(row)
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: {error}") from None


def _json_line(line: str) -> Line | str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "format"
    return _line(row) if isinstance(row, dict) else "format"


def _line(row: Mapping[str, Any]) -> Line | str:
    values: list[str] = []
    for key in ("id", "name", "value", "annotator"):
        value = row.get(key)
        if isinstance(value, bool):
            value = str(value).lower()
        if value is not None and not isinstance(value, (str, int, float)):
            return "format"
        text = "" if value is None else str(value).strip()
        if not text and key != "annotator":
            return "missing"
        if len(text) > MAX_FIELD or not text.isprintable():
            return "format"
        values.append(text)
    return values[0], values[1], values[2], values[3]
