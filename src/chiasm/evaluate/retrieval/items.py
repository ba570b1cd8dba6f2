"""What is compared: one item per record and modality, embedded once, with the key of its content.

Of each record the first text, the first picture, the first sound and the first clip stand for it. Records of
the test splits also bring their first text in each language and their first medium by each maker, as further
queries.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.errors import MediaError, ModelError
from chiasm.evaluate.retrieval.raw import read_raw
from chiasm.types import MODALITIES, Embedder, Media, Record, Text

CHUNK = 256
"""Records read and embedded at a time: their media are in memory together."""

Item = Text | Media
Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total); total 0 = not known."""


@dataclass(frozen=True, slots=True)
class Side:
    """One modality's items, one a record at most.

    rows: int64 [I], positions in the table, ascending; embedding: float32 [I, E];
    content: int64 [I], equal for items of equal content.
    """

    rows: NDArray[np.int64]
    embedding: NDArray[np.float32]
    content: NDArray[np.int64]

    def at(self, keep: NDArray[np.bool_]) -> Side:
        """The items of the table rows where keep [rows of the table] is True."""
        chosen = keep[self.rows]
        return Side(self.rows[chosen], self.embedding[chosen], self.content[chosen])


@dataclass(frozen=True, slots=True)
class Collected:
    """All that the protocols compare. `facets`: (modality, language or maker) → the items that have it.

    raw: what the linear baseline sees of each main item (`raw.read_raw`), row for row with `sides`.
    unreadable: one {id, modality, reason, message} per item that could not be read, and so takes no part.
    """

    sides: dict[str, Side]
    facets: dict[tuple[str, str], Side]
    raw: dict[str, list[Any]]
    labels: dict[str, list[tuple[str, ...]]]
    unreadable: list[dict[str, str]]


@dataclass(slots=True)
class _Pile:
    rows: list[int] = field(default_factory=list[int])
    embedding: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    content: list[int] = field(default_factory=list[int])

    def add(self, row: int, embedding: NDArray[np.float32], content: int) -> None:
        self.rows.append(row)
        self.embedding.append(embedding)
        self.content.append(content)

    def side(self) -> Side:
        rows = np.array(self.rows, dtype=np.int64)
        return Side(rows, np.stack(self.embedding), np.array(self.content, dtype=np.int64))


@dataclass(slots=True)
class _Pick:
    """An item to embed: does it stand for its record, and which languages or makers is it the first of?"""

    row: int
    id: str
    item: Item
    main: bool
    facets: list[str]
    content: int = 0
    raw: Any = None


def collect(
    model: Embedder,
    table: Table,
    *,
    rows: NDArray[np.int64] | None = None,
    facet_rows: NDArray[np.bool_] | None = None,
    raw: bool = True,
    progress: Progress | None = None,
) -> Collected:
    """Read the records at positions `rows` (ascending; None: all) once and embed their items.

    facet_rows: bool [rows of the table], the records whose languages and makers are told apart.
    raw: also keep what the linear baseline needs.
    Raises ModelError where the model returns embeddings of a wrong shape.
    """
    names = [name for name in MODALITIES if name in model.modalities]
    piles: dict[str, _Pile] = {}
    facets: dict[tuple[str, str], _Pile] = {}
    seen: dict[str, list[Any]] = {}
    labels: dict[str, list[tuple[str, ...]]] = {}
    unreadable: list[dict[str, str]] = []
    total = len(table)
    columns = [name for name in ("id", "texts", "image", "audio", "video", "labels") if name in table.column_names]
    rows = np.arange(total) if rows is None else rows
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        records = table.records(chunk, columns)
        _note_labels(labels, records, chunk, total)
        for name in names:
            picks = [
                pick
                for row, record in zip(chunk.tolist(), records, strict=True)
                for pick in _picks(name, row, record, facet_rows is not None and bool(facet_rows[row]))
            ]
            picks = _read(name, picks, table, raw, unreadable)
            picks, embedding = _embed(model, name, picks, unreadable)
            for pick, vector in zip(picks, embedding, strict=True):
                if pick.main:
                    piles.setdefault(name, _Pile()).add(pick.row, vector, pick.content)
                    if raw:
                        seen.setdefault(name, []).append(pick.raw)
                for facet in pick.facets:
                    facets.setdefault((name, facet), _Pile()).add(pick.row, vector, pick.content)
        if progress:
            progress("embed", start + len(chunk), len(rows))
    return Collected(
        sides={name: pile.side() for name, pile in piles.items()},
        facets={key: pile.side() for key, pile in facets.items()},
        raw=seen,
        labels=labels,
        unreadable=unreadable,
    )


def content_key(item: Item, data: bytes | None) -> int:
    """Equal for equal content: texts up to case, spacing and Unicode composition; media byte for byte.
    Non-negative.
    """
    if isinstance(item, Text):
        data = " ".join(unicodedata.normalize("NFC", item.text).casefold().split()).encode("utf8", "surrogatepass")
    digest = hashlib.blake2b(data or b"", digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def items_of(record: Record, modality: str) -> Sequence[Item]:
    """The record's items of one modality, first things first."""
    return record.texts if modality == "text" else getattr(record, modality)


def facet_of(item: Item) -> str | None:
    """The language of a text, the maker of a medium."""
    return item.language if isinstance(item, Text) else item.by


def _picks(modality: str, row: int, record: Record, faceted: bool) -> list[_Pick]:
    items = items_of(record, modality)
    picks: list[_Pick] = []
    known: set[str] = set()
    for place, item in enumerate(items):
        facet = facet_of(item) if faceted else None
        fresh = [facet] if facet and facet not in known else []
        known.update(fresh)
        if place == 0 or fresh:
            picks.append(_Pick(row, record.id, item, place == 0, fresh))
    return picks


def _read(modality: str, picks: list[_Pick], table: Table, raw: bool, unreadable: list[dict[str, str]]) -> list[_Pick]:
    """Fetch media bytes once, for the content key, the baseline and the model alike; drop what cannot be
    read.
    """
    kept: list[_Pick] = []
    for pick in picks:
        try:
            data = None
            if isinstance(pick.item, Media):
                data = table.read(pick.item)
                pick.item = replace(pick.item, data=data, path=None)
            pick.content = content_key(pick.item, data)
            if raw and pick.main:
                pick.raw = read_raw(modality, pick.item.text if isinstance(pick.item, Text) else data or b"")
        except MediaError as error:
            unreadable.append(_entry(pick, modality, error))
        else:
            kept.append(pick)
    return kept


def _embed(
    model: Embedder, modality: str, picks: list[_Pick], unreadable: list[dict[str, str]]
) -> tuple[list[_Pick], NDArray[np.float32]]:
    """Embed all at once; if the model refuses one of them, one by one, so that only that one is lost."""
    none = np.zeros((0, model.dimension), dtype=np.float32)
    if not picks:
        return picks, none
    try:
        embedding = model.embed_items(modality, [pick.item for pick in picks])
    except MediaError as error:
        if len(picks) == 1:
            unreadable.append(_entry(picks[0], modality, error))
            return [], none
        halves = picks[: len(picks) // 2], picks[len(picks) // 2 :]
        done = [_embed(model, modality, half, unreadable) for half in halves]
        return [*done[0][0], *done[1][0]], np.concatenate([done[0][1], done[1][1]])
    if embedding.shape != (len(picks), model.dimension):
        raise ModelError(
            f"the model returned {modality} embeddings of shape {embedding.shape}, "
            f"not ({len(picks)}, {model.dimension})"
        )
    return picks, embedding


def _entry(pick: _Pick, modality: str, error: MediaError) -> dict[str, str]:
    return {"id": pick.id, "modality": modality, "reason": error.reason, "message": str(error)}


def _note_labels(
    labels: dict[str, list[tuple[str, ...]]], records: Sequence[Record], rows: NDArray[np.int64], total: int
) -> None:
    for row, record in zip(rows.tolist(), records, strict=True):
        for label in record.labels:
            values = labels.setdefault(label.name, [()] * total)
            if label.value not in values[row]:
                values[row] = (*values[row], label.value)
