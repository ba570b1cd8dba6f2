"""Which items may be copies of each other: by signatures that are near, and pictures of one text. Whether they are is seen from their contents
(copies.py)."""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chiasm.dataset.items import CROWD, Items
from chiasm.dataset.near import Pairs, distances, hamming_search, level_pairs
from chiasm.dataset.signatures import COLOUR_BYTES

Apart = Callable[[NDArray[np.uint64], NDArray[np.uint64]], NDArray[np.int64]]

BLANK = 0.002
"""Pictures with less ink than this have nothing to compare."""
FEW = 10
"""Rows of one text, and pictures of the colours of one, that are compared whatever their hashes are."""
COLOURS = 2.5
"""Grey levels by which the colours of 4 × 4 cells may differ on average. Of 1,200 copies of pictures that were sized or encoded anew, 99 of 100
differ less, among them all 13 whose hashes are too far apart, by 1.8 at most."""

NEARER = 4
"""By this much less may differ what CROWD pictures have: sets of icons that hardly differ."""


def candidates(items: Items, words: NDArray[np.uint64], measures: pa.Table, modality: str, radius: int) -> Pairs:
    """Pairs of items whose signatures are near; of equal items, the first stands for all.

    words: uint64 [items, W] of the items' hashes · measures: columns of dataset/measure.py · radius: bits by which hashes may differ.
    """
    chosen = np.sort(np.unique(items.kind, return_index=True)[1])
    if modality == "image":  # the ink of the first picture is known
        ink = np.array(measures.column("image_ink").to_pylist(), np.float64)[items.owner[chosen]]
        chosen = chosen[(items.place[chosen] > 0) | ~(ink < BLANK)]
    if len(chosen) < 2:
        return np.zeros((0, 2), np.int64)
    words = words[chosen]
    codes, members = _grouped(words[:, :1] if modality == "image" else words)
    if modality == "image":
        # A part of one picture against the whole of another, both ways, since every picture is asked about and looked for.
        parts, askers = np.unique(words, return_inverse=True)
        near = hamming_search(parts[:, None], codes, radius)
        found = _closest(_expand_parts(near, len(parts), askers.reshape(words.shape), members), words, _parts_apart)
        pairs = np.concatenate([found, _of_colours(measures, chosen)])
    else:
        pairs = _closest(_expand(hamming_search(codes, codes, radius), members), words, distances)
    return np.unique(np.sort(chosen[pairs], axis=1), axis=0)


def _closest(pairs: Pairs, words: NDArray[np.uint64], apart: Apart) -> Pairs:
    """The pairs i < j without repeats; of an item that has more than CROWD, those of the nearest hashes, and those that are so for the other."""
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    if not len(pairs) or np.bincount(pairs.ravel()).max() <= CROWD:
        return pairs
    bits = apart(words[pairs[:, 0]], words[pairs[:, 1]])
    mine, theirs = pairs.ravel(order="F"), pairs[:, ::-1].ravel(order="F")
    order = np.lexsort((theirs, np.tile(bits, 2), mine))
    ranked = mine[order]
    chosen = order[np.arange(len(order)) - np.searchsorted(ranked, ranked) < CROWD] % len(pairs)
    return pairs[np.unique(chosen)]


def _parts_apart(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Bits by which the whole of either differs from the part of the other that is most like it, int64 [n], of hashes [n, W]."""
    best = np.full(len(one), 64, np.int64)
    for whole, parts in ((one[:, 0], other), (other[:, 0], one)):
        for part in parts.T:
            np.minimum(best, np.bitwise_count(whole ^ part), out=best)
    return best


def _of_colours(measures: pa.Table, chosen: NDArray[np.int64]) -> Pairs:
    """Pairs of `chosen` (places in it) of nearly the same colours in the same places, where few have them: pages and screenshots are alike in
    colour, so that it says nothing of them. Where many have them, those that have them much more nearly."""
    if "image_colours" not in measures.column_names:  # a table that was built before there was this column
        return np.zeros((0, 2), np.int64)
    column = measures.column("image_colours").combine_chunks().flatten()
    levels = np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(-1, COLOUR_BYTES)[chosen]
    return np.concatenate([level_pairs(levels, COLOURS, FEW), level_pairs(levels, COLOURS / NEARER, CROWD)])


def of_one_text(items: Items, texts: Items) -> Pairs:
    """Pairs of different items whose rows have the same text, where few have it: flat or regular pictures, such as flags, are encoded anew into
    other hashes."""
    _, kinds, count = np.unique(texts.kind, return_inverse=True, return_counts=True)
    shared = (count[kinds] > 1) & (count[kinds] <= FEW)
    kind_of = dict(zip(texts.owner[shared].tolist(), texts.kind[shared].tolist(), strict=True))
    together: dict[int, dict[int, int]] = defaultdict(dict)
    for item, (kind, owner) in enumerate(zip(items.kind.tolist(), items.owner.tolist(), strict=True)):
        if owner in kind_of:
            together[kind_of[owner]].setdefault(kind, item)
    pairs = [sorted(pair) for group in together.values() for pair in combinations(group.values(), 2)]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _grouped(words: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], list[NDArray[np.int64]]]:
    """The different signatures, and which items have each: the first CROWD of them."""
    codes, inverse = np.unique(words, axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    edges = np.searchsorted(inverse.ravel()[order], np.arange(len(codes) + 1))
    return codes, [order[low : min(high, low + CROWD)] for low, high in pairwise(edges.tolist())]


def _expand(near: Pairs, members: list[NDArray[np.int64]]) -> Pairs:
    parts = [
        np.stack(np.meshgrid(members[a], members[b], indexing="ij"), axis=-1).reshape(-1, 2)
        for a, b in near.tolist()
        if a <= b
    ]
    found = np.concatenate(parts) if parts else np.zeros((0, 2), np.int64)
    return found[found[:, 0] != found[:, 1]]


def _expand_parts(near: Pairs, parts: int, askers: NDArray[np.int64], members: list[NDArray[np.int64]]) -> Pairs:
    """(part's hash, whole's hash) → (picture that has the part, picture that is the whole)."""
    order = np.argsort(askers.ravel(), kind="stable")
    edges = np.searchsorted(askers.ravel()[order], np.arange(parts + 1))
    owners = order // askers.shape[1]
    found: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]
    for part, whole in near.tolist():
        asking = owners[edges[part] : min(edges[part + 1], edges[part] + CROWD)]
        found.append(np.stack(np.meshgrid(asking, members[whole], indexing="ij"), axis=-1).reshape(-1, 2))
    pairs = np.concatenate(found)
    return pairs[pairs[:, 0] != pairs[:, 1]]
