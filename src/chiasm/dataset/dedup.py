"""The step *dedup*: of records that are copies of each other the best stays; the others go, or are kept in one split with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chiasm.building import DedupConfig, Handling
from chiasm.config import BuildConfig
from chiasm.dataset.copies import find_items
from chiasm.dataset.items import Items, alike, like_pairs, row_pairs
from chiasm.dataset.joining import Rows
from chiasm.dataset.step import Embedder, Outcome, Sheet
from chiasm.dataset.ties import Ties, same_text, tie
from chiasm.errors import MediaError
from chiasm.modalities.media import resolve
from chiasm.sources import Progress
from chiasm.types import MODALITIES, Media, Rejected

DUPLICATE = "duplicate"
MEDIA = tuple(name for name in MODALITIES if name != "text")
_RANK: Sequence[Handling] = ("keep", "group", "remove")
_NAMES = {"text": "text", "image": "picture", "audio": "sound", "video": "clip"}


@dataclass(frozen=True, slots=True)
class Link:
    """Two rows (positions, i < j) that share something.

    whole: they are copies, and not only alike in part · exact: to the letter · how: in words · ties: whether a likeness in part keeps them in one
    split: a picture, sound or clip does, and a text alone may name a class.
    """

    i: int
    j: int
    whole: bool
    exact: bool
    how: str
    ties: bool


def run(
    sheet: Sheet, config: BuildConfig, *, model: Embedder | None = None, progress: Progress | None = None
) -> Outcome:
    """Find copies and handle them as `config.dedup` says. Exact copies that are only to be kept in one split are the split's own business
    (split.join), so that nothing is done here unless copies are to go, or near ones are looked for.

    A record goes only where it is a copy of one that stays: a chain a–b–c of likenesses does not make c a copy of a.
    """
    settings = config.dedup
    exact = max(settings.exact, settings.near, key=_RANK.index)
    if exact != "remove" and settings.near == "keep":
        return Outcome()
    if progress is not None:
        progress("dedup", 0, None)
    items = find_items(sheet, settings, model, near=settings.near != "keep")
    links = _links(items, len(sheet.rows), settings.agree)
    removable = [link for link in links if link.whole and (exact if link.exact else settings.near) == "remove"]
    kept_by = _keep_best(
        removable, _order(sheet, items, sorted({row for link in removable for row in (link.i, link.j)}))
    )
    ids = [key.id for key in sheet.keys] if kept_by else []  # read once, in order
    numbers = sheet.rows.tolist()
    removed = {
        numbers[row]: Rejected(ids[row], "record", DUPLICATE, f"a copy of {ids[link.i + link.j - row]!r}: {link.how}")
        for row, link in kept_by.items()
    }
    tied = _ties(sheet, links, kept_by, settings)
    facts: dict[str, Any] = {
        "copies": sum(link.whole for link in links),
        "exact": sum(link.whole and link.exact for link in links),
        "removed": len(removed),
        "tied": len(tied.pairs),
        "untied": tied.left_out,
        "largest_tied": tied.largest,
        "near": {name: len(items[name].near) for name in MODALITIES if items[name].near},
    }
    return Outcome(removed=removed, tied=[(numbers[i], numbers[j]) for i, j in tied.pairs], facts=facts)


def near_rows(sheet: Sheet, config: BuildConfig) -> list[tuple[int, int]]:
    """Pairs of row numbers, in order, that are copies, or of which a picture, sound or clip is nearly the same or may be: what `run` ties without
    what it ties by a text in other dress. Likenesses that would chain too many rows are left out (ties.tie)."""
    links = _links(find_items(sheet, config.dedup, None, near=True), len(sheet.rows), config.dedup.agree)
    numbers = sheet.rows.tolist()
    return [(numbers[i], numbers[j]) for i, j in tie(*_strong_and_weak(links), len(numbers)).pairs]


def _strong_and_weak(links: Sequence[Link]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The pairs that must be kept in one split, and those that only may be copies."""
    strong = [(link.i, link.j) for link in links if link.whole or (link.ties and link.how)]
    return strong, [(link.i, link.j) for link in links if link.ties and not link.how]


def _links(items: Mapping[str, Items], count: int, agree: str) -> list[Link]:
    """Every pair of rows that is alike in some modality, and whether that makes it a pair of copies."""
    held = {name: _held(items[name], count) for name in MODALITIES}
    links: list[Link] = []
    for i, j in sorted(set().union(*(row_pairs(items[name]) for name in MODALITIES), _whole_records(held, count))):
        shared = [name for name in MODALITIES if held[name][i] and held[name][j]]
        found = {name: alike(items[name], held[name][i], held[name][j]) for name in shared}
        told = {name: how for name, how in found.items() if how is not None}
        if told:
            # With media on both sides, a text alone may be the name of a class.
            by_media = set(told) != {"text"} or shared == ["text"]
            whole = by_media if agree == "any" else len(told) == len(shared)
            how = ", ".join(_told(name, apart) for name, apart in told.items())
            links.append(Link(i, j, whole, not any(told.values()), how, by_media))
    known = {(link.i, link.j) for link in links if link.whole or link.ties}  # not by the name of a class alone
    like = sorted(set().union(*(like_pairs(items[name]) for name in MODALITIES)) - known)
    return links + [Link(i, j, whole=False, exact=False, how="", ties=True) for i, j in like]


def _held(items: Items, count: int) -> list[tuple[int, ...]]:
    """The kinds of each row's items."""
    rows: list[list[int]] = [[] for _ in range(count)]
    for kind, owner in zip(items.kind.tolist(), items.owner.tolist(), strict=True):
        rows[owner].append(kind)
    return [tuple(row) for row in rows]


def _whole_records(held: Mapping[str, list[tuple[int, ...]]], count: int) -> set[tuple[int, int]]:
    """Each row that holds exactly what an earlier one does, with the first of them: also where more share a text or a picture than are paired."""
    first: dict[tuple[tuple[int, ...], ...], int] = {}
    rows = ((row, tuple(held[name][row] for name in MODALITIES)) for row in range(count))
    return {(first[key], row) for row, key in rows if first.setdefault(key, row) != row}


def _told(modality: str, apart: str) -> str:
    return f"nearly the same {_NAMES[modality]} ({apart})" if apart else f"the same {_NAMES[modality]}"


def _order(sheet: Sheet, items: Mapping[str, Items], copies: Sequence[int]) -> list[int]:
    """Positions, best first: most modalities, then largest media, then longest texts, then most bytes (of files of equal pixels the original is
    rather the larger one), then the earlier one. copies: positions, ascending, whose bytes are counted: of those that may go."""
    measures = sheet.measures
    names = (
        "image_width",
        "image_height",
        "video_width",
        "video_height",
        "audio_seconds",
        "video_seconds",
        "text_characters",
    )
    values = [np.nan_to_num(np.array(measures.column(name).to_pylist(), np.float64)) for name in names]
    modalities = np.zeros(measures.num_rows, np.int64)
    for name in MODALITIES:
        modalities[np.unique(items[name].owner)] += 1
    pixels = values[0] * values[1] + values[2] * values[3]
    sizes = np.zeros(measures.num_rows, np.int64)
    places = dict(zip(sheet.rows[copies].tolist(), copies, strict=True))
    for row, record in sheet.records(list(places), MEDIA):
        sizes[places[row]] = sum(_size(medium, sheet.root) for name in MEDIA for medium in getattr(record, name))
    return np.lexsort((-sizes, -values[6], -(values[4] + values[5]), -pixels, -modalities)).tolist()


def _size(medium: Media, root: Path | None) -> int:
    """Its bytes; 0 where they are gone."""
    if medium.data is not None:
        return len(medium.data)
    try:
        return resolve(medium.path or "", root).stat().st_size
    except (MediaError, OSError):
        return 0


def _keep_best(links: Sequence[Link], order: Sequence[int]) -> dict[int, Link]:
    """Row → the link to the row that stays in its place. In the order of worth, a row that is still there takes away its own copies."""
    neighbours: dict[int, list[Link]] = defaultdict(list)
    for link in links:
        neighbours[link.i].append(link)
        neighbours[link.j].append(link)
    gone: dict[int, Link] = {}
    for row in order:
        if row in gone:
            continue
        for link in neighbours.get(row, ()):
            gone.setdefault(link.i + link.j - row, link)
    return gone


def _ties(sheet: Sheet, links: Sequence[Link], gone: Mapping[int, Link], settings: DedupConfig) -> Ties:
    """Rows that stay and must lie in one split: copies, and what is alike in part or by its text alone; or of which one took away what was."""

    def stays(row: int) -> int:
        link = gone.get(row)
        return row if link is None else link.i + link.j - row

    def staying(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        found = [(stays(i), stays(j)) for i, j in pairs]
        return [(min(pair), max(pair)) for pair in found if pair[0] != pair[1]]

    if settings.near == "keep":
        return Ties([], 0, 1)
    strong, weak = map(staying, _strong_and_weak(links))
    return tie(strong, [*weak, *staying(same_text(sheet))], len(sheet.rows), _joined(sheet, gone))


def _joined(sheet: Sheet, gone: Mapping[int, Link]) -> Iterator[tuple[int, int]]:
    """Pairs of the rows that stay, which the split will join without a tie: equal content and the source's groups."""
    staying = [row for row in range(len(sheet.rows)) if row not in gone]
    first: dict[str, int] = {}
    names = Rows.of([key for row, key in enumerate(sheet.keys) if row not in gone]).join(by_group=True)
    for row, name in zip(staying, names, strict=True):
        if first.setdefault(name, row) != row:
            yield first[name], row
