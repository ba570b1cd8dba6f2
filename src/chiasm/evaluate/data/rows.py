"""What the report on a table reads: every row without its media, and a sample of rows whose media are really looked at.

What is counted is counted over all rows; what has to be decoded (quality, vectors, makers) is measured on the sample, and the report says so.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chiasm.dataset.augmenting import MARK
from chiasm.dataset.measure import MEASURES, measure
from chiasm.dataset.table import Table
from chiasm.errors import MediaError
from chiasm.evaluate.retrieval.items import Progress
from chiasm.evaluate.retrieval.raw import read_raw
from chiasm.types import MODALITIES, Embedder, Media, Record

MEDIA = MODALITIES[1:]
CHUNK = 128
"""Records whose media are in memory together."""
DIGEST_BYTES = 2**30
"""Media bytes that are read to find copies, at most; held-out rows first."""


@dataclass(frozen=True)
class Rows:
    """Every row of the table, without media. count[m]: int64 [rows], media of modality m that each row has; text: texts."""

    table: Table
    records: Sequence[Record]
    count: Mapping[str, NDArray[np.int64]]

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """int64 [rows], equal where the group is; a row without one is its own."""
        names = [r.group if r.group is not None else f"\0{i}" for i, r in enumerate(self.records)]
        return np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)

    @cached_property
    def splits(self) -> NDArray[np.str_]:
        return np.array([record.split or "" for record in self.records])


@dataclass(frozen=True)
class Sample:
    """Rows that were looked at. rows: int64 [n], ascending, positions in the table · records: theirs, media without bytes ·
    raw[m]: what the linear features are made of, for the rows at[m] (int64, positions in `rows`) · embedded[m]: the model's vectors of the same ·
    measures: columns of dataset/measure.py, row for row with `measured` (positions in the table) · unreadable: (id, modality, message)."""

    rows: NDArray[np.int64]
    records: Sequence[Record]
    at: Mapping[str, NDArray[np.int64]]
    raw: Mapping[str, list[Any]]
    embedded: Mapping[str, NDArray[np.float32]]
    measures: pa.Table
    measured: NDArray[np.int64]
    unreadable: Sequence[tuple[str, str, str]]
    seed: int


def read_rows(table: Table) -> Rows:
    """All rows of `table`, without media."""
    there = [name for name in MODALITIES if name in table.column_names]
    columns = [
        n
        for n in ("id", "texts", "labels", "boxes", "questions", "relations", "group", "split", "source", "licence")
        if n in table.column_names
    ]
    records = table.records(columns=columns)
    count = {name: np.zeros(len(records), np.int64) for name in MODALITIES}
    count["text"] = np.array([len(record.texts) for record in records], np.int64)
    for name in (name for name in there if name != "text"):
        count[name] = table.lengths(name)
    return Rows(table, records, count)


def draw(
    rows: Rows, most: int, *, model: Embedder | None = None, seed: int = 0, progress: Progress | None = None
) -> Sample:
    """Up to `most` rows drawn by `seed`, each looked at. Measures come from the table's own column, of all rows, where it has one."""
    total = len(rows.records)
    chosen = np.arange(total)
    if total > most:
        chosen = np.sort(np.random.default_rng(seed).choice(total, most, replace=False))
    own = "measures" in rows.table.column_names
    at: dict[str, list[int]] = {name: [] for name in MODALITIES}
    raw: dict[str, list[Any]] = {name: [] for name in MODALITIES}
    vectors: dict[str, list[NDArray[np.float32]]] = {name: [] for name in MODALITIES}
    light: list[Record] = []
    measured: list[dict[str, object]] = []
    bad: list[tuple[str, str, str]] = []
    wanted = [n for n in ("id", "texts", "image", "audio", "video", "labels") if n in rows.table.column_names]
    for start in range(0, len(chosen), CHUNK):
        part = rows.table.records(chosen[start : start + CHUNK], wanted)
        picked: dict[str, list[Any]] = {name: [] for name in MODALITIES}
        for place, record in enumerate(part, start):
            for name in MODALITIES:
                item = _first(record, name)
                if item is None:
                    continue
                try:
                    raw[name].append(read_raw(name, item.text if name == "text" else rows.table.read(item)))
                except MediaError as error:
                    bad.append((record.id, name, str(error)))
                    continue
                at[name].append(place)
                picked[name].append(item)
            if not own:
                first = {m: getattr(record, m)[:1] for m in MEDIA}
                measured.append(measure(replace(record, **first), rows.table.root))
            light.append(_light(record))
        for name, items in picked.items():
            if model is not None and name in model.modalities and items:
                vectors[name].append(model.embed_items(name, items))
        if progress is not None:
            progress("look at rows", min(start + CHUNK, len(chosen)), len(chosen))
    if own:
        measures = _own_measures(rows.table)
        where = np.arange(total)
    else:
        measures, where = pa.Table.from_pylist(measured, schema=MEASURES), chosen
    return Sample(
        chosen,
        light,
        {name: np.array(found, np.int64) for name, found in at.items() if found},
        {name: found for name, found in raw.items() if found},
        {name: np.concatenate(found) for name, found in vectors.items() if found},
        measures,
        where,
        bad,
        seed,
    )


def content_digests(
    rows: Rows, progress: Progress | None = None, most: int = DIGEST_BYTES
) -> tuple[list[tuple[str, ...]], int]:
    """The digests of each row's media bytes, and of its text where it has one only; and how many rows were looked at.

    Held-out rows come first, then the others in order, until `most` bytes are read: rows after that have their text's digest alone. Media that
    the step augment made are left out: they are copies on purpose.
    """
    order = np.argsort(rows.splits == "train", kind="stable")
    found: list[tuple[str, ...]] = [_text_digest(record) for record in rows.records]
    names = [name for name in MEDIA if name in rows.table.column_names and rows.count[name].any()]
    if not names:
        return found, len(order)
    spent = looked = 0
    for start in range(0, len(order), CHUNK):
        part = order[start : start + CHUNK]
        for row, record in zip(part.tolist(), rows.table.records(part, names), strict=True):
            digests: list[str] = []
            for name in names:
                for medium in getattr(record, name):
                    if is_copy(medium):
                        continue
                    try:
                        data = rows.table.read(medium)
                    except MediaError:
                        continue
                    spent += len(data)
                    digests.append(f"{name}:{hashlib.blake2b(data, digest_size=16).hexdigest()}")
            found[row] = (*digests, *found[row])
        looked += len(part)
        if progress is not None:
            progress("compare contents", looked, len(order))
        if spent > most:
            break
    return found, looked


def is_copy(medium: Media) -> bool:
    """Whether the step augment made it."""
    return (medium.kind or "").startswith(MARK)


def _text_digest(record: Record) -> tuple[str, ...]:
    if len(record.texts) != 1:  # of several, one may be shared without the records being copies
        return ()
    text = record.texts[0].text.casefold().encode("utf8", "replace")
    return ("text:" + hashlib.blake2b(text, digest_size=16).hexdigest(),)


def _first(record: Record, modality: str) -> Any:
    items = record.texts if modality == "text" else getattr(record, modality)
    return items[0] if items else None


def _light(record: Record) -> Record:
    def bare(media: Sequence[Media]) -> tuple[Media, ...]:
        return tuple(replace(medium, data=None, path="") for medium in media)

    return replace(record, image=bare(record.image), audio=bare(record.audio), video=bare(record.video))


def _own_measures(table: Table) -> pa.Table:
    column = table.columns(["measures"]).column("measures").combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    return pa.Table.from_arrays(column.flatten(), names=[field.name for field in column.type])
