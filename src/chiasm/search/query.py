"""Asking an indexed table: text, image, audio or video in, the records whose vectors lie nearest out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, DataError, ModelError
from chiasm.search.index import IndexInfo, index_info
from chiasm.search.ranking import rank
from chiasm.types import MODALITIES, Embedder, Media, Record, Text

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked. With several of text, image, audio and video, their directions are added.

    to: whose vectors are searched; None = image where there are any, else video, else text; "any" = each record's best.
    (Cosines of different modalities are not on one scale, so "any" favours the query's own modality.)
    where: SQL over the table's columns.
    hybrid: weight of the full-text ranking of `text`; 0 = vectors only, 1 = words only.
    """

    text: str | None = None
    image: str | Path | bytes | Media | None = None
    audio: str | Path | bytes | Media | None = None
    video: str | Path | bytes | Media | None = None
    to: Literal["text", "image", "audio", "video", "any"] | None = None
    k: int = 10
    where: str | None = None
    hybrid: float = 0.0


@dataclass(frozen=True, slots=True)
class Hit:
    """A record found. rank: from 1. score: cosine similarity of the query and the record's vector, −1 … 1."""

    rank: int
    score: float
    record: Record

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def has(self) -> tuple[str, ...]:
        """The modalities that the record carries."""
        return tuple(name for name in MODALITIES if getattr(self.record, "texts" if name == "text" else name))

    def where(self, modality: str) -> str | None:
        """The path of its first medium of that modality; None for text and for bytes in the table."""
        items: tuple[Media, ...] = () if modality == "text" else getattr(self.record, modality)
        return items[0].path if items else None

    def to_json(self) -> dict[str, Any]:
        """The record in words; of media where they lie (path None: in the table) and their bytes."""
        record = self.record
        return {
            "rank": self.rank,
            "id": record.id,
            "score": round(self.score, 6),
            "texts": [{"text": text.text, "language": text.language, "kind": text.kind} for text in record.texts],
            "labels": {label.name: label.value for label in record.labels},
            "split": record.split,
            "group": record.group,
            "has": list(self.has),
            "media": {name: [_medium(item) for item in getattr(record, name)] for name in self.has if name != "text"},
        }


def _medium(item: Media) -> dict[str, Any]:
    size = None if item.data is None else len(item.data)
    return {"path": item.path, "bytes": size, "by": item.by, "kind": item.kind}


def search(table: Table, query: Query, model: Embedder) -> list[Hit]:
    """The records nearest to the query, best first; at most query.k of them.

    Below index.APPROXIMATE_ROWS rows the search is exact, over a float32 matrix kept in memory with the
    opened table: at 4,000 × 192, 0.2 ms a query against 5–20 ms of Lance's scan, and equal to it for a
    single question. From there on Lance's IVF_PQ index answers, re-ranked by the exact vectors.

    Raises DataError where the table is not indexed, ModelError where another model indexed it, ConfigError
    for a query that cannot be asked, MediaError for a picture, sound or clip that cannot be read.
    """
    info = index_info(table)
    _check(query, info, table)
    if model.identity != info.model:
        made = f" (its run was {info.run})" if info.run else ""
        again = f"run `chiasm index RUN {table.path}` with this one"
        raise ModelError(f"{table.path} was indexed by another model{made}: {again}")
    targets = _targets(query, info)
    allowed = None if query.where is None else _rows(table, query.where)
    if allowed is not None and not len(allowed):
        return []
    vector = query_vector(query, model)
    positions, scores = rank(
        table,
        info,
        targets,
        vector,
        query.k,
        words=query.text,
        weight=query.hybrid,
        where=query.where,
        allowed=allowed,
    )
    found = zip(scores.tolist(), table.records(positions), strict=True)
    return [Hit(place, score, record) for place, (score, record) in enumerate(found, 1)]


def query_vector(query: Query, model: Embedder) -> NDArray[np.float32]:
    """float32 [E], unit length: the renormalised sum of the query's parts."""
    parts: list[NDArray[np.float32]] = []
    if query.text is not None:
        parts.append(model.embed_items("text", [Text(query.text)])[0])
    for modality, given in (("image", query.image), ("audio", query.audio), ("video", query.video)):
        if given is not None:
            parts.append(model.embed_items(modality, [_media(given)])[0])
    total = np.sum(parts, axis=0)
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise ConfigError("the parts of the query cancel each other out: ask with one of them")
    return (total / length).astype(np.float32)


def _rows(table: Table, where: str) -> NDArray[np.int64]:
    try:
        return table.rows(where)
    except ConfigError as error:
        said = str(error).split(" Valid fields are")[0].rstrip(".")
        raise ConfigError(f"{said}; the columns are {', '.join(table.column_names)}") from None


def _check(query: Query, info: IndexInfo, table: Table) -> None:
    if query.text is None and query.image is None and query.audio is None and query.video is None:
        raise ConfigError("nothing to search for: give a text, an image, a sound or a clip")
    if query.text is not None and not query.text.strip():
        raise ConfigError("the text to search for is empty")
    if query.k < 1:
        raise ConfigError(f"k {query.k}: ask for at least one record")
    if not 0 <= query.hybrid <= 1:
        raise ConfigError(f"hybrid {query.hybrid}: a weight between 0 (vectors only) and 1 (words only)")
    if query.hybrid and query.text is None:
        raise ConfigError("hybrid search mixes in the words of a text: give one")
    if query.to is not None and query.to != "any" and not info.vectors.get(query.to):
        known = ", ".join(name for name, count in info.vectors.items() if count)
        raise ConfigError(f"{table.path} has no {query.to} vectors; `to` may be {known} or any")


def _targets(query: Query, info: IndexInfo) -> tuple[str, ...]:
    held = tuple(name for name, count in info.vectors.items() if count)
    if query.to == "any":
        return held
    if query.to is not None:
        return (query.to,)
    return next(((name,) for name in ("image", "video", "text") if name in held), held[:1])


def _media(given: str | Path | bytes | Media) -> Media:
    if isinstance(given, Media):
        return given
    if isinstance(given, bytes):
        return Media(data=given)
    if not Path(given).is_file():
        raise DataError(f"{given}: no such file")
    return Media(path=str(given))
