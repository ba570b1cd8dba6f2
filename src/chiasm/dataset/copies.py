"""Items that are nearly the same: candidates (candidates.py), seen from the contents (alike.py) or by a trained model."""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chiasm.building import DedupConfig
from chiasm.dataset.alike import THUMB, picture_error, same_numbers, sound_error
from chiasm.dataset.candidates import candidates, of_one_text
from chiasm.dataset.embed import embed_rows
from chiasm.dataset.items import CROWD, Items, content_digests, media_items, text_items
from chiasm.dataset.measure import content
from chiasm.dataset.near import Pairs, cosine_pairs, distances, jaccards, minhash_pairs
from chiasm.dataset.signatures import PERMUTATIONS, plain_text, shingles
from chiasm.dataset.step import Embedder, Sheet
from chiasm.errors import ConfigError, MediaError
from chiasm.modalities.audio import log_mel, read_audio
from chiasm.modalities.image import picture_size, read_image
from chiasm.modalities.media import read_bytes
from chiasm.types import MODALITIES, Media

LOADED = 4096
"""Items whose contents are in memory at a time while pairs are looked at."""
MEAN, WORST, PART, DETAIL = 7.0, 15.0, 0.18, 0.36
"""Grey levels by which copies of a picture differ at most, on average and in their worst place, the share of what there is to
see, and of edges (alike.PictureError). Tried on drawings and photographs, see benchmarks/planted.py."""
SPREAD, NOISE = 6.0, 6.0
"""The worst place of a copy is at most so many times as bad as the mean, or so many grey levels: encoding and sizing change a little of
everything, and a label or a border that only one has changes one place."""
LIKE_MEAN, LIKE_WORST, LIKE_PART, LIKE_CONTRAST = 10.0, 25.0, 0.35, 0.5
"""Within these, pictures may be copies or variants, and are kept in one split."""
LIKE = "like"
"""What is told of a pair that is only like that."""
SOUND = 3.5
"""dB by which copies of a sound differ at most."""


def find_items(sheet: Sheet, config: DedupConfig, model: Embedder | None, *, near: bool) -> dict[str, Items]:
    """By modality, the items of the sheet's rows; with `near`, also which are nearly the same."""
    numbers, measures = sheet.rows, sheet.measures
    digests = content_digests(sheet.keys)
    texts = text_items(measures)
    found: dict[str, Items] = {}
    for modality, radius in (("image", config.picture), ("audio", config.sound), ("video", config.clip)):
        items, words = media_items(measures, modality, digests["image" if modality == "image" else "other"])
        found[modality] = items
        if near and radius is not None:
            pairs = candidates(items, words, measures, modality, radius)
            if modality == "video":
                told: Iterator[str | None] = (
                    f"{bits} of 256 bits" for bits in distances(words[pairs[:, 0]], words[pairs[:, 1]])
                )
            else:
                pairs = _together(np.unique(np.concatenate([pairs, of_one_text(items, texts)]), axis=0))
                told = _compared(sheet, numbers, modality, items, pairs)
            _learn(items, pairs, told)
    found["text"] = texts
    if near and config.text is not None:
        _near_texts(sheet, numbers, measures, found["text"], config.text)
    if near and config.embedding is not None:
        _by_meaning(sheet, config.embedding, model, found)
    return found


def _learn(items: Items, pairs: Pairs, told: Iterable[str | None]) -> None:
    for (a, b), how in zip(items.kind[pairs].tolist(), told, strict=True):
        if how == LIKE:
            items.like.add((min(a, b), max(a, b)))
        elif how is not None:
            items.near[min(a, b), max(a, b)] = how


def _compared(
    sheet: Sheet, numbers: NDArray[np.int64], modality: str, items: Items, pairs: Pairs
) -> Iterator[str | None]:
    """For each candidate, how far its contents are apart, or None where they are no copies."""
    for block in _blocks(pairs):
        contents = _contents(sheet, numbers, modality, items, np.unique(block))
        for a, b in block.tolist():
            yield _compare(contents.get(a), contents.get(b))


def _compare(one: NDArray[np.generic] | None, other: NDArray[np.generic] | None) -> str | None:
    """How far two contents of a kind are apart, or None where they are no copies."""
    if one is None or other is None:
        return None
    if one.ndim == 3:
        error = picture_error(one.astype(np.float32), other.astype(np.float32))
        worst = min(WORST, PART * error.contrast, max(NOISE, SPREAD * error.mean))
        if error.mean <= min(MEAN, PART * error.spread) and error.worst <= worst and error.detail <= DETAIL:
            return f"{error.mean:.1f} of 255 grey levels"
        like = error.mean <= min(LIKE_MEAN, LIKE_PART * error.spread)
        return LIKE if like and error.worst <= min(LIKE_WORST, LIKE_CONTRAST * error.contrast) else None
    apart = sound_error(one.astype(np.uint8), other.astype(np.uint8))
    return f"{apart:.1f} dB" if apart <= SOUND else None


def _together(pairs: Pairs) -> Pairs:
    """The pairs so that those that hang together by their items follow each other: then an item is in one block, but where a block ends."""
    if not len(pairs):
        return pairs
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    kinds, places = np.unique(pairs, return_inverse=True)
    places = places.reshape(pairs.shape)
    links = coo_array((np.ones(len(pairs), np.bool_), (places[:, 0], places[:, 1])), shape=(len(kinds), len(kinds)))
    return pairs[np.argsort(connected_components(links, directed=False)[1][places[:, 0]], kind="stable")]


def _blocks(pairs: Pairs) -> Iterator[Pairs]:
    """Runs of pairs of at most LOADED different items."""
    start, seen = 0, set[int]()
    for at, (a, b) in enumerate(pairs.tolist()):
        if len(seen) >= LOADED:
            yield pairs[start:at]
            start, seen = at, set()
        seen |= {a, b}
    if start < len(pairs):
        yield pairs[start:]


def _contents(
    sheet: Sheet, numbers: NDArray[np.int64], modality: str, items: Items, wanted: NDArray[np.int64]
) -> dict[int, NDArray[np.generic]]:
    """What the items hold: uint8 [h, w, 3] of a picture at THUMB, the uint8 log-mel frames of a sound. What cannot be read is not there."""
    by_row: dict[int, list[int]] = defaultdict(list)
    for item in wanted.tolist():
        by_row[int(numbers[items.owner[item]])].append(item)
    found: dict[int, NDArray[np.generic]] = {}
    for row, record in sheet.records(sorted(by_row), [modality]):
        media: tuple[Media, ...] = getattr(record, modality)
        for item in by_row[row]:
            try:
                data = read_bytes(media[int(items.place[item])], sheet.root)
                found[item] = _thumb(data) if modality == "image" else log_mel(read_audio(data))
            except (MediaError, IndexError):
                continue
    return found


def _thumb(data: bytes) -> NDArray[np.uint8]:
    return content(read_image(data, THUMB), *picture_size(data))


def _near_texts(sheet: Sheet, numbers: NDArray[np.int64], measures: pa.Table, items: Items, jaccard: float) -> None:
    """Learns which texts have shingles of that similarity, and the same numbers."""
    chosen = np.sort(np.unique(items.kind, return_index=True)[1])
    if len(chosen) < 2:
        return
    column = measures.column("text_minhash").take(pa.array(items.owner[chosen])).to_pylist()
    minhashes = np.frombuffer(b"".join(column), np.uint32).reshape(-1, PERMUTATIONS)
    pairs = _together(chosen[minhash_pairs(minhashes, jaccard, CROWD)])
    for block in _blocks(pairs):
        rows = {int(numbers[items.owner[item]]): item for item in np.unique(block).tolist()}
        texts = {
            rows[row]: " \n ".join(text.text for text in record.texts)
            for row, record in sheet.records(list(rows), ["texts"])
        }
        order = {item: at for at, item in enumerate(texts)}
        placed = np.array([(order[a], order[b]) for a, b in block.tolist()], np.int64)
        shares = jaccards(*shingles(list(texts.values())), placed)
        told = [
            f"Jaccard {share:.2f}"
            if share >= jaccard and same_numbers(plain_text(texts[a]), plain_text(texts[b]))
            else None
            for share, (a, b) in zip(shares.tolist(), block.tolist(), strict=True)
        ]
        _learn(items, block, told)


def _by_meaning(sheet: Sheet, cosine: float, model: Embedder | None, found: dict[str, Items]) -> None:
    """Learns which first items a trained model puts close together."""
    if model is None:
        raise ConfigError("dedup.embedding compares by a trained model: give `model`, the folder of a run")
    for modality in (name for name in MODALITIES if name in model.modalities):
        items = found[modality]
        rows, vectors = embed_rows(sheet, modality, model)
        first = {
            int(row): item for item, (row, place) in enumerate(zip(items.owner, items.place, strict=True)) if place == 0
        }
        known = np.array([int(row) in first for row in rows], np.bool_)  # a text among several is no item of its own
        rows, vectors = rows[known], vectors[known]
        pairs = cosine_pairs(vectors, cosine)
        cosines = np.einsum("pe,pe->p", vectors[pairs[:, 0]], vectors[pairs[:, 1]])
        named = np.array([first[row] for row in rows.tolist()], np.int64)
        _learn(items, named[pairs], (f"cosine {value:.3f}" for value in cosines))
