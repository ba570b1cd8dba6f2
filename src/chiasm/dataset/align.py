"""The step *align*: inputs that belong together become one record, and records whose text and medium do not belong together go."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.building import AlignConfig
from chiasm.config import BuildConfig
from chiasm.dataset.embed import embed_rows
from chiasm.dataset.step import Embedder, Outcome, Sheet
from chiasm.errors import ConfigError
from chiasm.sources import Progress
from chiasm.types import MODALITIES, Record, Rejected

MISMATCH = "mismatch"
_FIELDS = ("texts", "image", "audio", "video")


def run(
    sheet: Sheet, config: BuildConfig, *, model: Embedder | None = None, progress: Progress | None = None
) -> Outcome:
    """Join rows in the ways of `config.align.by`, one way after the other, each row once; then refuse rows below `mismatch`.

    Rows of one stem or key become one where there is one for each modality: a picture with its text, a sound. Rows of one content become one where
    one of them has all media of the others: their texts come together. Where two rows of a key
    have the same modality, which of them belongs to the third cannot be told, and all stay as they are (facts: ambiguous). With a trained model,
    a row with one modality and a row with another are joined where each is the other's nearest, `similarity` near and by `margin` nearer than
    the next. The first row of a join stays. facts: joined by way, ambiguous, refused.
    """
    settings = config.align
    if not settings.by and settings.mismatch is None:
        return Outcome()
    if ("model" in settings.by or settings.mismatch is not None) and model is None:
        raise ConfigError(
            "align.by=[model] and align.mismatch compare by a trained model: give `model`, the folder of a run"
        )
    if progress is not None:
        progress("align", 0, None)
    has = _modalities(sheet)
    merged: dict[int, int] = {}
    joined: Counter[str] = Counter()
    ambiguous = 0
    for way in settings.by:
        taken = {*merged, *merged.values()}
        open_rows = [at for at in range(len(has)) if at not in taken]
        if way == "model":
            assert model is not None
            found = _by_model(sheet, model, settings, has, open_rows)
        else:
            mine = _digests(sheet) if way == "content" else has
            found, unclear = _by_key(_keys(sheet, way, settings), mine, open_rows, nested=way == "content")
            ambiguous += unclear
        joined[way] = len(found)
        merged |= found
    rows = sheet.rows.tolist()
    removed: Mapping[int, Rejected] = {}
    if settings.mismatch is not None and model is not None:
        removed = _mismatched(sheet, model, settings.mismatch, set(merged) | set(merged.values()))
    facts: dict[str, Any] = {"joined": dict(joined), "ambiguous": ambiguous, "refused": len(removed)}
    return Outcome(removed=removed, merged={rows[at]: rows[into] for at, into in merged.items()}, facts=facts)


def _modalities(sheet: Sheet) -> list[frozenset[str]]:
    """What each row has."""
    fields = dict(zip(_FIELDS, MODALITIES, strict=True))
    return [
        frozenset(name for field, name in fields.items() if getattr(record, field))
        for _, record in sheet.records(None, _FIELDS)
    ]


def _keys(sheet: Sheet, way: str, settings: AlignConfig) -> Iterable[tuple[str, ...]]:
    """What each row may be joined by; rows that share one of theirs belong together."""
    if way == "content":
        return (tuple(sorted(media)) for media in _digests(sheet))
    if way == "stem":
        return (_stems(record) for _, record in sheet.records(None, ("image", "audio", "video")))
    return (
        tuple(label.value for label in record.labels if label.name == settings.key)
        for _, record in sheet.records(None, ("labels",))
    )


def _digests(sheet: Sheet) -> list[frozenset[str]]:
    """The digests of each row's media (split.Key)."""
    return [frozenset(digest for digest in key.contents if not digest.startswith("text:")) for key in sheet.keys]


def _stems(record: Record) -> tuple[str, ...]:
    """The names of the record's files without folder and suffix; where its media came as bytes, that of its id."""
    paths = [medium.path for medium in (*record.image, *record.audio, *record.video) if medium.path]
    return tuple(
        dict.fromkeys(
            PurePosixPath(path.replace("\\", "/")).name.split(".")[0].casefold() for path in paths or [record.id]
        )
    )


def _by_key(
    keys: Iterable[tuple[str, ...]], has: list[frozenset[str]], open_rows: list[int], nested: bool
) -> tuple[dict[int, int], int]:
    """Row → the first row of its key, and how many keys were left alone: two of their rows have the same (`has`); with `nested`, no row has all of
    what the others have."""
    free = set(open_rows)
    members: dict[str, list[int]] = defaultdict(list)
    for at, names in enumerate(keys):
        if at in free:
            for name in names:
                members[name].append(at)
    merged: dict[int, int] = {}
    ambiguous = 0
    for rows in members.values():
        rows = [at for at in rows if at in free]
        if len(rows) < 2:
            continue
        whole = frozenset[str]().union(*(has[at] for at in rows))
        if (max if nested else sum)(len(has[at]) for at in rows) != len(whole):
            ambiguous += 1
            continue
        merged |= dict.fromkeys(rows[1:], rows[0])
        free -= set(rows)
    return merged, ambiguous


def _by_model(
    sheet: Sheet, model: Embedder, settings: AlignConfig, has: list[frozenset[str]], open_rows: list[int]
) -> dict[int, int]:
    """Rows with one modality each, joined with their mutual nearest of another. Modalities in the order of MODALITIES; each row once."""
    known = [name for name in MODALITIES if name in model.modalities]
    single = {name: np.array([at for at in open_rows if has[at] == frozenset({name})], np.int64) for name in known}
    vectors = {name: embed_rows(sheet, name, model) for name in known if len(single[name])}
    merged: dict[int, int] = {}
    for first, one in enumerate(known):
        for other in known[first + 1 :]:
            taken = {*merged, *merged.values()}
            left, right = (
                np.array([at for at in single[name].tolist() if at not in taken], np.int64) for name in (one, other)
            )
            if not len(left) or not len(right):
                continue
            near = mutual_nearest(
                _pick(vectors[one], left), _pick(vectors[other], right), settings.similarity, settings.margin
            )
            for a, b in near:
                i, j = sorted((int(left[a]), int(right[b])))
                merged[j] = i
    return merged


def _pick(embedded: tuple[NDArray[np.int64], NDArray[np.float32]], wanted: NDArray[np.int64]) -> NDArray[np.float32]:
    rows, vectors = embedded  # rows ascend
    return vectors[np.searchsorted(rows, wanted)]


def mutual_nearest(
    left: NDArray[np.float32], right: NDArray[np.float32], similarity: float, margin: float
) -> list[tuple[int, int]]:
    """Pairs (a, b) of unit vectors [n, E] and [m, E] that are each other's nearest, with a cosine of at least `similarity` and of `margin` more than
    either has with any other; in the order of a. In blocks: n × m is never held."""
    best = {side: np.full((count, 2), -2.0, np.float32) for side, count in (("left", len(left)), ("right", len(right)))}
    where = {"left": np.zeros(len(left), np.int64), "right": np.zeros(len(right), np.int64)}
    step = max(1, 2**22 // max(1, len(right)))
    for first in range(0, len(left), step):
        cosines = np.nan_to_num(left[first : first + step] @ right.T, nan=-2.0)
        _keep_top(best["left"][first : first + step], where["left"][first : first + step], cosines, 0)
        _keep_top(best["right"], where["right"], cosines.T, first)
    pairs = [(a, int(b)) for a, b in enumerate(where["left"]) if where["right"][b] == a]
    return [
        (a, b)
        for a, b in pairs
        if best["left"][a, 0] >= similarity
        and best["left"][a, 0] - best["left"][a, 1] >= margin
        and best["right"][b, 0] - best["right"][b, 1] >= margin
    ]


def _keep_top(best: NDArray[np.float32], where: NDArray[np.int64], cosines: NDArray[np.float32], offset: int) -> None:
    """Updates each row's two largest cosines, and where the largest is, with a block of further columns from `offset` on."""
    nearest = cosines.argmax(axis=1)
    rows = np.arange(len(cosines))
    top = cosines[rows, nearest]
    second = np.full(len(cosines), -2.0, np.float32)
    if cosines.shape[1] > 1:
        second = np.partition(cosines, -2, axis=1)[:, -2]
    better = top > best[:, 0]
    where[better] = nearest[better] + offset
    both = np.sort(np.stack([best[:, 0], best[:, 1], top, second], axis=1), axis=1)
    best[:, 0], best[:, 1] = both[:, 3], both[:, 2]


def _mismatched(sheet: Sheet, model: Embedder, least: float, busy: set[int]) -> Mapping[int, Rejected]:
    """Rows whose first text and first medium a trained model puts further apart than `least`. Rows of a join are left to it."""
    if "text" not in model.modalities:
        raise ConfigError("align.mismatch compares texts with media: the model knows no text")
    rows, keys = sheet.rows.tolist(), sheet.keys
    text_rows, texts = embed_rows(sheet, "text", model)
    place = {int(row): at for at, row in enumerate(text_rows)}
    removed: dict[int, Rejected] = {}
    for name in (name for name in MODALITIES if name != "text" and name in model.modalities):
        for row, vector in zip(*embed_rows(sheet, name, model), strict=True):
            at = int(row)
            if at not in place or at in busy or rows[at] in removed:
                continue
            cosine = float(texts[place[at]] @ vector)
            if not cosine >= least:  # NaN: could not be embedded
                message = f"its text and its {name} have a cosine of {cosine:.3f}; at least {least:g} is asked for"
                removed[rows[at]] = Rejected(keys[at].id, "record", MISMATCH, message)
    return removed
