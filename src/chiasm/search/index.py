"""A model's embeddings and the search indexes, written into the table that holds the records.

    embedding_text, embedding_image, …   fixed_size_list<float32>[E], unit length; null where there is none
    search_text                          all texts of the record, a line each, with a full-text index (BM25)
    metadata "index"                     which model, which run, how many: IndexInfo

Lance keeps nulls in vector columns and its nearest-neighbour search passes over them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from chiasm.dataset.table import Table
from chiasm.errors import DataError, MediaError, ModelError
from chiasm.types import MODALITIES, Embedder, Media, Record, Rejected, Text

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[str, int, "int | None"], None]

CHUNK = 256
"""Records whose media are in memory together while they are embedded."""

APPROXIMATE_ROWS = 20_000
"""From so many rows on, a vector column also gets an IVF_PQ index; below, exact search is as fast."""

_PQ_ROWS = 256
"""Vectors that product quantisation needs to learn its codes; a column with fewer is scanned."""

METADATA = "index"
SEARCH_TEXT = "search_text"


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """What an index was made of.

    model: Embedder.identity. run: the run's folder, where the model came from one.
    vectors: modality → records that have one.
    unreadable: modality → items refused. approximate: whether an IVF_PQ index was built.
    rejected: those items with their reasons; known only to the call that indexed, not kept in the table.
    """

    model: str
    run: str | None
    items: str
    dimension: int
    rows: int
    vectors: dict[str, int]
    unreadable: dict[str, int]
    approximate: bool
    rejected: tuple[Rejected, ...] = field(default=(), compare=False)


def column_of(modality: str) -> str:
    """The table's column that holds a modality's vectors."""
    return f"embedding_{modality}"


def index(
    model: Embedder,
    table: Table,
    *,
    items: Literal["first", "all"] = "first",
    run: Path | str | None = None,
    approximate_rows: int = APPROXIMATE_ROWS,
    progress: Progress | None = None,
) -> IndexInfo:
    """Embed every record of `table` and index it; an earlier index is replaced.

    items: a record's vector is its first item's, or the renormalised mean of all its items.
    An item that cannot be read gives no vector and is reported in IndexInfo; it does not stop the rest.
    Raises ModelError where the model has none of the table's modalities or returns vectors of a wrong shape.
    """
    if not len(table):
        raise DataError(f"{table.path}: the table has no rows to index")
    modalities = [name for name in MODALITIES if name in model.modalities]
    ids: list[str] = []
    texts: list[str | None] = []
    chunks: dict[str, list[NDArray[np.float32]]] = {name: [] for name in modalities}
    rejected: list[Rejected] = []
    for start in range(0, len(table), CHUNK):
        records = table.records(list(range(start, min(start + CHUNK, len(table)))))
        ids += [record.id for record in records]
        texts += ["\n".join(text.text for text in record.texts) or None for record in records]
        for name in modalities:
            chunks[name].append(_record_vectors(model, table, name, records, items == "first", rejected))
        if progress:
            progress("embed", len(ids), len(table))
    vectors = {name: np.concatenate(parts) for name, parts in chunks.items()}
    held = {name: ~np.isnan(matrix[:, 0]) for name, matrix in vectors.items()}
    if not any(mask.any() for mask in held.values()):
        raise ModelError(f"{table.path}: no record has any of the model's modalities ({', '.join(modalities)})")
    info = IndexInfo(
        model=model.identity,
        run=str(Path(run).resolve()) if run is not None else None,
        items=items,
        dimension=model.dimension,
        rows=len(table),
        vectors={name: int(mask.sum()) for name, mask in held.items()},
        unreadable={name: count for name in modalities if (count := sum(entry.part == name for entry in rejected))},
        approximate=len(table) >= approximate_rows,
        rejected=tuple(rejected),
    )
    _write(table, info, ids, texts, vectors, held, progress)
    return info


def index_info(table: Table) -> IndexInfo:
    """What the table's index was made of. Raises DataError where there is none or it does not fit."""
    again = f": run `chiasm index RUN {table.path}` again"
    kept: dict[str, Any] | None = table.metadata.get(METADATA)
    if kept is None:
        raise DataError(f"{table.path} is not indexed: run `chiasm index RUN {table.path}` first")
    try:
        info = IndexInfo(**{part.name: kept[part.name] for part in fields(IndexInfo) if part.name != "rejected"})
    except KeyError:
        raise DataError(f"{table.path}: its index is of another version{again}") from None
    if info.rows != len(table):
        raise DataError(f"{table.path}: indexed with {info.rows:,} rows, now {len(table):,}{again}")
    return info


def _write(
    table: Table,
    info: IndexInfo,
    ids: Sequence[str],
    texts: list[str | None],
    vectors: dict[str, NDArray[np.float32]],
    held: dict[str, NDArray[np.bool_]],
    progress: Progress | None,
) -> None:
    # The note goes first and comes back last: a table caught in between counts as not indexed.
    steps = len(vectors) + 2
    before = table.version
    table.set_metadata(METADATA, None)
    table.add_columns(pa.table({SEARCH_TEXT: pa.array(texts, pa.string())}))
    for done, (name, matrix) in enumerate(vectors.items(), 1):
        mask = held[name]
        table.set_vectors(column_of(name), [key for key, has in zip(ids, mask, strict=True) if has], matrix[mask])
        if info.approximate and mask.sum() >= _PQ_ROWS:
            _approximate_index(table, column_of(name), info.dimension, int(mask.sum()))
        if progress:
            progress("write", done, steps)
    _full_text_index(table)
    if progress:
        progress("write", steps - 1, steps)
    kept = {key: value for key, value in asdict(info).items() if key != "rejected"}
    table.set_metadata(METADATA, kept)
    table.forget_versions(before)
    if progress:
        progress("write", steps, steps)


def _record_vectors(
    model: Embedder,
    table: Table,
    modality: str,
    records: Sequence[Record],
    first: bool,
    rejected: list[Rejected],
) -> NDArray[np.float32]:
    """float32 [len(records), E]; a row of NaN where the record has no readable item of this modality."""
    owners: list[int] = []
    items: list[Text | Media] = []
    for owner, record in enumerate(records):
        found: tuple[Text | Media, ...] = record.texts if modality == "text" else getattr(record, modality)
        for item in found[:1] if first else found:
            try:
                items.append(replace(item, data=table.read(item), path=None) if isinstance(item, Media) else item)
                owners.append(owner)
            except MediaError as error:
                rejected.append(Rejected(record.id, modality, error.reason, str(error)))
    embedded, refused = embed_readable(model, modality, items)
    rejected.extend(Rejected(records[owners[i]].id, modality, error.reason, str(error)) for i, error in refused)
    sums = np.zeros((len(records), model.dimension), dtype=np.float32)
    np.add.at(sums, np.array(owners, dtype=np.int64), np.nan_to_num(embedded))
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.divide(sums, length, out=np.full_like(sums, np.nan), where=length > 0)


def embed_readable(
    model: Embedder, modality: str, items: Sequence[Text | Media]
) -> tuple[NDArray[np.float32], list[tuple[int, MediaError]]]:
    """Embed what is readable: float32 [len(items), E], NaN rows for the rest; (place, error) of each such.

    One broken item is found by halving, so a batch with none costs a single call.
    """
    if not items:
        return np.zeros((0, model.dimension), dtype=np.float32), []
    try:
        vectors = model.embed_items(modality, items)
    except MediaError as error:
        if len(items) == 1:
            return np.full((1, model.dimension), np.nan, dtype=np.float32), [(0, error)]
        middle = len(items) // 2
        left, left_refused = embed_readable(model, modality, items[:middle])
        right, right_refused = embed_readable(model, modality, items[middle:])
        return np.concatenate([left, right]), [
            *left_refused,
            *((middle + i, error) for i, error in right_refused),
        ]
    if vectors.shape != (len(items), model.dimension) or not np.isfinite(vectors).all():
        wanted = (len(items), model.dimension)
        raise ModelError(f"the model's {modality} vectors are not finite {wanted}, but {vectors.shape}")
    return vectors, []


def _full_text_index(table: Table) -> None:
    # ICU cuts Chinese and Japanese into words; the simple tokenizer would take a whole name for one word.
    table.lance().create_scalar_index(
        SEARCH_TEXT, "INVERTED", base_tokenizer="icu", stem=True, remove_stop_words=False, ascii_folding=True
    )


def _approximate_index(table: Table, column: str, dimension: int, count: int) -> None:
    # Partitions near the square root of the rows; a code of one byte for about every eight numbers.
    codes = next(size for size in range(max(1, dimension // 8), 0, -1) if dimension % size == 0)
    partitions = max(1, min(round(count**0.5 / 2), count // 256))
    table.lance().create_index(
        column, "IVF_PQ", metric="cosine", num_partitions=partitions, num_sub_vectors=codes, replace=True
    )
