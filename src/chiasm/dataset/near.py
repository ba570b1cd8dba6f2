"""Pairs that are near each other, without comparing all with all: bits within a Hamming radius, sets above a Jaccard similarity, vectors above
a cosine.

Letters: N items that are searched · Q queries · W words of 64 bits of a hash · P permutations · E width of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise, product
from math import comb

import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.int64]
"""int64 [pairs, 2]."""

LOOK_UP = 25
"""What one look-up costs, in comparisons of 64 bits: whichever is less is done."""
_CELLS = 2**18
_QUERIES = 2**13
_CHUNK = 16
_AXES = 4
_FIRST = 32
"""Rows of the cells beside it that a row of levels is compared with at first; then twice as many, and so on."""
_NO_PAIRS = np.zeros((0, 2), np.int64)


def as_words(hashes: list[bytes]) -> NDArray[np.uint64]:
    """Hashes of equal length, a multiple of 8 bytes, as uint64 [n, W]."""
    width = len(hashes[0]) // 8 if hashes else 1
    return np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, width)


def distances(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Bits that differ, int64, of words [..., W] each."""
    return np.bitwise_count(one ^ other).sum(axis=-1, dtype=np.int64)


def hamming_search(queries: NDArray[np.uint64], words: NDArray[np.uint64], radius: int) -> Pairs:
    """Every (query, item) of hashes [Q, W] and [N, W] that differ in at most `radius` bits, in order.

    Exact. Multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012): with the bits in m chunks of 16, a pair within `radius` differs in at
    most aᵢ bits of some chunk i, for any thresholds aᵢ ≥ 0 of sum radius − m + 1 (else it would differ in more); so items are looked up by
    each chunk with up to aᵢ bits flipped, and compared whole. Few items are compared all.
    """
    if not len(words) or not len(queries):
        return _NO_PAIRS
    looks = sum(comb(_CHUNK, bits) for flips in _thresholds(words.shape[1] * 4, radius) for bits in range(flips + 1))
    search = _scan if len(words) * words.shape[1] <= looks * LOOK_UP else _look_up
    parts = list(search(queries, words, radius))
    if not parts:
        return _NO_PAIRS
    keys = np.unique(np.concatenate(parts))
    return np.stack([keys // len(words), keys % len(words)], axis=1)


def _scan(queries: NDArray[np.uint64], words: NDArray[np.uint64], radius: int) -> Iterator[NDArray[np.int64]]:
    """Keys query · N + item of the pairs within the radius, block by block."""
    step = max(1, _CELLS // max(1, len(words)))
    columns = np.ascontiguousarray(words.T)
    for first in range(0, len(queries), step):
        block = queries[first : first + step]
        apart = np.bitwise_count(block[:, 0, None] ^ columns[0])
        if len(columns) > 1:
            apart = apart.astype(np.uint16)
            for word in range(1, len(columns)):
                apart += np.bitwise_count(block[:, word, None] ^ columns[word])
        found = np.flatnonzero(apart <= radius)
        if len(found):
            yield found + first * len(words)


def _look_up(queries: NDArray[np.uint64], words: NDArray[np.uint64], radius: int) -> Iterator[NDArray[np.int64]]:
    chunks, asked = _chunks(words), _chunks(queries)
    for chunk, flips in enumerate(_thresholds(chunks.shape[1], radius)):
        values = chunks[:, chunk]
        order = np.argsort(values, kind="stable")
        starts = np.searchsorted(values[order], np.arange(2**_CHUNK + 1))
        masks = _masks(flips)
        step = max(1, _QUERIES * 32 // len(masks))
        for first in range(0, len(queries), step):
            keys = asked[first : first + step, chunk, None] ^ masks
            low, count = starts[keys], starts[keys.astype(np.int64) + 1] - starts[keys]
            total = count.sum(axis=1)
            rows = np.repeat(np.arange(len(keys)) + first, total)
            flat = count.ravel()
            offsets = np.arange(len(rows)) - np.repeat(np.cumsum(flat) - flat, flat)
            items = order[np.repeat(low.ravel(), flat) + offsets]
            near = distances(queries[rows], words[items]) <= radius
            if near.any():
                yield np.unique(rows[near] * len(words) + items[near])


def _chunks(words: NDArray[np.uint64]) -> NDArray[np.uint16]:
    return np.ascontiguousarray(words).view(np.uint16)


def _thresholds(chunks: int, radius: int) -> list[int]:
    """Bits that may differ in each chunk that is looked up; fewer chunks than there are where one of them must be equal."""
    if radius < chunks:
        return [0] * (radius + 1)
    spare = radius - chunks + 1
    return [spare // chunks + (chunk < spare % chunks) for chunk in range(chunks)]


def _masks(flips: int) -> NDArray[np.uint16]:
    """All 16-bit words of at most `flips` ones."""
    return np.array(
        [sum(1 << bit for bit in bits) for count in range(flips + 1) for bits in combinations(range(_CHUNK), count)],
        np.uint16,
    )


def bands(permutations: int, jaccard: float, recall: float = 0.999) -> tuple[int, int]:
    """(bands, rows a band) that find a pair of that Jaccard similarity with probability `recall` and as few others as possible: it is found
    where it agrees in all rows of some band, with probability 1 − (1 − sʳ)ᵇ (Leskovec, Rajaraman and Ullman, 2014, section 3.4)."""
    best = (permutations, 1)
    for rows in range(1, permutations + 1):
        count = permutations // rows
        if 1.0 - (1.0 - jaccard**rows) ** count >= recall:
            best = (count, rows)
    return best


def minhash_pairs(minhashes: NDArray[np.uint32], jaccard: float, crowd: int = 200) -> Pairs:
    """Pairs i < j of minhashes [N, P] whose estimated similarity is within three deviations of `jaccard` or above, in order.

    Where more than `crowd` items share a band, each is paired with the first of them alone: such a band is a phrase that everybody uses, and
    real copies meet in others.
    """
    keys = _meetings(_band_keys(minhashes, *bands(minhashes.shape[1], jaccard)), crowd)
    deviation = (jaccard * (1 - jaccard) / minhashes.shape[1]) ** 0.5
    kept: list[Pairs] = []
    for first in range(0, len(keys), _CELLS):
        block = keys[first : first + _CELLS]
        one, other = block // len(minhashes), block % len(minhashes)
        share = np.count_nonzero(minhashes[one] == minhashes[other], axis=1) / minhashes.shape[1]
        near = share >= jaccard - 3 * deviation
        kept.append(np.stack([one[near], other[near]], axis=1))
    return np.concatenate(kept) if kept else _NO_PAIRS


def _band_keys(minhashes: NDArray[np.uint32], count: int, rows: int) -> NDArray[np.uint64]:
    """One number for the rows of each band: uint64 [count, N]. Two items that share it by chance are told apart by the whole minhash."""
    banded = np.ascontiguousarray(minhashes[:, : count * rows].T).reshape(count, rows, -1)
    keys = np.zeros((count, len(minhashes)), np.uint64)
    for row in range(rows):
        keys ^= banded[:, row]
        keys *= np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def jaccards(values: NDArray[np.uint32], starts: NDArray[np.int64], pairs: Pairs) -> NDArray[np.float64]:
    """The Jaccard similarity of the sets of each pair, float64 [pairs]; item i holds values[starts[i] : starts[i + 1]], with repeats or without."""
    lengths = np.diff(np.append(starts, len(values)))
    result = np.empty(len(pairs))
    step = max(1, _CELLS // max(1, int(lengths[pairs].mean()) if len(pairs) else 1))
    for first in range(0, len(pairs), step):
        items = pairs[first : first + step].ravel()
        counts = lengths[items]
        places = np.arange(counts.sum()) + np.repeat(starts[items] - np.cumsum(counts) + counts, counts)
        # Which pair, which value, and of which of the two: sorted, a value that both hold comes twice, once the repeats are gone.
        side = np.arange(len(items), dtype=np.uint64)
        keys = np.repeat((side >> np.uint64(1) << np.uint64(33)) | (side & np.uint64(1)), counts)
        keys |= values[places].astype(np.uint64) << np.uint64(1)
        keys.sort()
        keys = keys[np.append(True, keys[1:] != keys[:-1])] >> np.uint64(1)
        new = np.append(True, keys[1:] != keys[:-1])
        of_pair = (keys >> np.uint64(32)).astype(np.int64)
        all_of, either = (np.bincount(which, minlength=len(items) // 2) for which in (of_pair, of_pair[new]))
        result[first : first + step] = (all_of - either) / either
    return result


def _meetings(bands: NDArray[np.uint64], crowd: int) -> NDArray[np.int64]:
    """Keys i · N + j, i < j, in order, of the items [bands, N] whose values are equal in some band."""
    count = bands.shape[1]
    if not count:
        return np.zeros(0, np.int64)
    # The item's number in place of the last bits: sorting alone is quicker than sorting with an order.
    bits = np.uint64(count.bit_length())
    ranked = (bands >> bits << bits) | np.arange(count, dtype=np.uint64)
    ranked.sort(axis=1)
    values = ranked >> bits
    new = np.ones((len(bands), count + 1), np.bool_)
    np.not_equal(values[:, 1:], values[:, :-1], out=new[:, 1:-1])
    items = (ranked & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    edges = np.flatnonzero(new)
    edges -= edges // (count + 1)  # of the items, one after the other; a band's end is the next one's start
    sizes = np.diff(edges)
    parts = [np.zeros(0, np.int64)]
    for size in np.unique(sizes[sizes > 1]).tolist():
        groups = items.ravel()[edges[:-1][sizes == size][:, None] + np.arange(size)]  # ascending, as they were sorted
        one, other = np.triu_indices(size, 1) if size <= crowd else (np.zeros(size - 1, np.int64), np.arange(1, size))
        parts.append((groups[:, one] * count + groups[:, other]).ravel())
    return np.unique(np.concatenate(parts))


def level_pairs(levels: NDArray[np.uint8], apart: float, most: int) -> Pairs:
    """Every pair i < j of the rows of uint8 [N, C] that differ by at most `apart` on average, in order, of rows that differ so little from no more
    than `most` others.

    Exact. With weights of at most 1, a row's weighted sum differs from another's by no more than the rows do in all; so in a grid of such sums,
    along the first principal components, near rows lie in cells that touch. A row is asked about no further once it has more than `most`.
    """
    if len(levels) < 2:
        return _NO_PAIRS
    order, keys, shifts = _grid(levels, apart)
    levels = levels[order]
    count = np.full(len(keys), -1)  # without the row itself
    kept: list[Pairs] = [_NO_PAIRS]
    for shift in shifts:
        rows = np.flatnonzero(count <= most)
        low = np.searchsorted(keys, keys[rows] + (shift - 1))
        high = np.searchsorted(keys, keys[rows] + (shift + 1), side="right")
        reach = _FIRST
        while len(rows := rows[keep := (low < high) & (count[rows] <= most)]):
            low, high = low[keep], high[keep]
            stop = np.minimum(low + reach, high)
            found = _near_levels(levels, rows, low, stop, apart)
            count += np.bincount(found[:, 0], minlength=len(keys))
            kept.append(found[(count[found[:, 0]] <= most) & (found[:, 0] < found[:, 1])])
            low, reach = stop, reach * 2
    pairs = np.concatenate(kept)
    pairs = np.sort(order[pairs[(count[pairs] <= most).all(axis=1)]], axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _grid(levels: NDArray[np.uint8], apart: float) -> tuple[NDArray[np.int64], NDArray[np.int64], list[int]]:
    """(order, keys, shifts): the rows of `levels` in the order of their cells' numbers `keys`; the cells that touch a cell of number k, itself
    included, are those from k + shift − 1 to k + shift + 1 of every shift, its own first."""
    values = levels.astype(np.float64)
    axes = np.linalg.eigh(np.cov(values, rowvar=False).reshape(levels.shape[1], -1))[1].T[::-1][:_AXES]
    # As large as weights may be, where they are not small beside the others.
    weights = np.clip(axes / np.maximum(np.median(np.abs(axes), axis=1, keepdims=True), 1e-9), -1.0, 1.0)
    cells = np.floor(values @ weights.T / (apart * levels.shape[1] + 1.0)).astype(np.int64)
    cells -= cells.min(axis=0) - 1
    strides = np.append(np.cumprod((cells.max(axis=0) + 2)[:0:-1])[::-1], 1)
    keys = cells @ strides
    order = np.argsort(keys, kind="stable")
    shifts = [int(np.dot(move, strides[:-1])) for move in product((0, -1, 1), repeat=len(strides) - 1)]
    return order, keys[order], shifts


def _near_levels(
    levels: NDArray[np.uint8], rows: NDArray[np.int64], low: NDArray[np.int64], stop: NDArray[np.int64], apart: float
) -> Pairs:
    """(row, other) for each of `rows` and the others from `low` to `stop` that differ by at most `apart` on average, the row itself included."""
    blocks = np.cumsum(stop - low) // (_CELLS // 8)
    edges = np.flatnonzero(np.diff(blocks, prepend=-1, append=blocks[-1] + 1))
    kept: list[Pairs] = []
    for first, last in pairwise(edges.tolist()):
        many = stop[first:last] - low[first:last]
        one = np.repeat(rows[first:last], many)
        other = np.arange(len(one)) + np.repeat(low[first:last] - np.cumsum(many) + many, many)
        a, b = levels[one], levels[other]
        gaps = (np.maximum(a, b) - np.minimum(a, b)).sum(axis=1, dtype=np.int64)
        near = gaps <= apart * levels.shape[1]
        kept.append(np.stack([one[near], other[near]], axis=1))
    return np.concatenate(kept)


def cosine_pairs(vectors: NDArray[np.float32], cosine: float) -> Pairs:
    """Every pair i < j of unit vectors [N, E] whose inner product is at least `cosine`, in order. Rows with NaN are near to nothing."""
    step = max(1, 2**22 // max(1, len(vectors)))
    kept: list[Pairs] = [_NO_PAIRS]
    for first in range(0, len(vectors), step):
        near = vectors[first : first + step] @ vectors[first:].T >= cosine
        one, other = np.nonzero(near)
        ahead = other > one
        kept.append(np.stack([one[ahead], other[ahead]], axis=1) + first)
    return np.concatenate(kept)
