"""The Arrow schema of a Record, and the way between the two."""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, fields
from typing import Any

import pyarrow as pa

from chiasm.types import Box, Label, Media, Question, Record, Relation, Text

FORMAT = 1
"""Version of the table's layout, kept in its metadata; a table of a later version is refused."""

_TEXT = pa.struct([("text", pa.string()), ("language", pa.string()), ("kind", pa.string())])
_MEDIA = pa.struct(
    [
        ("data", pa.large_binary()),
        ("path", pa.string()),
        ("kind", pa.string()),
        ("language", pa.string()),
        ("by", pa.string()),
        ("text", pa.string()),
    ]
)
_LABEL = pa.struct([("name", pa.string()), ("value", pa.string())])
_SIDES = [(side, pa.float32()) for side in ("x0", "y0", "x1", "y1")]
_BOX = pa.struct([*_SIDES, ("label", pa.string())])
_QUESTION = pa.struct([("question", pa.string()), ("answers", pa.list_(pa.string())), ("language", pa.string())])
_RELATION = pa.struct([("subject", pa.string()), ("predicate", pa.string()), ("object", pa.string())])

_PARTS: dict[str, tuple[pa.StructType, Callable[..., Any]]] = {
    "texts": (_TEXT, Text),
    "image": (_MEDIA, Media),
    "audio": (_MEDIA, Media),
    "video": (_MEDIA, Media),
    "labels": (_LABEL, Label),
    "boxes": (_BOX, Box),
    "questions": (
        _QUESTION,
        lambda question, answers, language: Question(question, tuple(answers or ()), language),
    ),
    "relations": (_RELATION, Relation),
}
MASK = "mask"
"""The one part that a record has at most once: a struct, null where absent."""

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        *(pa.field(name, pa.list_(kind)) for name, (kind, _) in _PARTS.items()),
        pa.field(MASK, _MEDIA),
        pa.field("group", pa.string()),
        pa.field("split", pa.string()),
        pa.field("source", pa.string()),
        pa.field("licence", pa.string()),
    ]
)
"""One column per field of Record; the parts are lists of structs, empty where absent."""


def to_arrow(records: Sequence[Record], schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    """The columns that `schema` names, row for row with `records`."""
    arrays = [
        _lists(records, field.name)
        if field.name in _PARTS
        else _masks(records)
        if field.name == MASK
        else pa.array([getattr(r, field.name) for r in records], field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _masks(records: Sequence[Record]) -> pa.StructArray:
    names = [field.name for field in _MEDIA]
    rows = [None if r.mask is None else dict(zip(names, astuple(r.mask), strict=True)) for r in records]
    return pa.array(rows, _MEDIA)


def _lists(records: Sequence[Record], name: str) -> pa.ListArray:
    kind, _ = _PARTS[name]
    parts: list[tuple[Any, ...]] = [getattr(record, name) for record in records]
    offsets = [0]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    items = [item for part in parts for item in part]
    if name == "questions":
        rows: list[tuple[Any, ...]] = [(q.question, list(q.answers), q.language) for q in items]
    else:
        rows = [astuple(item) for item in items]
    columns = list(zip(*rows, strict=True)) if rows else [()] * kind.num_fields
    children = [pa.array(column, kind.field(i).type) for i, column in enumerate(columns)]
    values = pa.StructArray.from_arrays(children, fields=list(kind))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def from_arrow(batch: pa.RecordBatch | pa.Table) -> list[Record]:
    """Records, row for row. Columns that are not Record's are ignored; one that is left out becomes an
    empty tuple, None or "".

    Works column by column: tens of times faster than converting row by row.
    """
    count = batch.num_rows
    known = {field.name for field in fields(Record)}
    columns: dict[str, Iterable[Any]] = {}
    for name in batch.schema.names:
        if name not in known:
            continue
        column = batch.column(name)
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
            if isinstance(column, pa.ChunkedArray):  # pyarrow leaves no chunks as they are
                column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        if name == MASK:
            columns[name] = [None if row is None else Media(**row) for row in column.to_pylist()]
        else:
            columns[name] = _tuples(column, name) if name in _PARTS else column.to_pylist()
    if "id" not in columns:
        columns["id"] = [""] * count
    if "source" in columns:
        columns["source"] = [value or "" for value in columns["source"]]
    names = list(columns)
    return [Record(**dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _tuples(column: pa.ListArray, name: str) -> list[tuple[Any, ...]]:
    _, make = _PARTS[name]
    values = column.flatten()  # without the rows that are null, whose lengths are 0 below
    parts = [child.to_pylist() for child in values.flatten()]
    items = [make(*row) for row in zip(*parts, strict=True)]
    result: list[tuple[Any, ...]] = []
    start = 0
    for length in column.value_lengths().fill_null(0).to_pylist():
        result.append(tuple(items[start : start + length]))
        start += length
    return result
