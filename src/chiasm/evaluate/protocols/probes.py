"""Does the space hold more than a bag of words? Tests made from the boxes and relations that a table has.

object    the picture is nearer to the name of a thing in it than to that of one that is not: nothing else can be right where this is not
attribute "a big cow and a small crown" against "a small cow and a big crown" (Winoground, Thrush et al. 2022, arXiv 2204.03162; ARO,
          Yuksekgonul et al. 2023, arXiv 2210.01936)
spatial   "a cow left of a crown" against "a crown left of a cow"
count     the number of things, among all numbers that the table has

The two sides of a swap have the same words: who does not look at their order is right half of the time, as is who guesses; a tie counts half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.errors import MediaError
from chiasm.evaluate.explain.pointing import phrase
from chiasm.evaluate.metrics.bootstrap import intervals, rounded
from chiasm.types import Embedder, Media, Record, Text

MOST = 500
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
COUNTED = ("there is {} picture", "there are {} pictures", "you can see {} things", "{} objects")
"""A number's vector is the mean of these (prompt ensembling, arXiv 2103.00020, 3.1.4)."""
SWAPS = ("object", "attribute", "spatial")


@dataclass(frozen=True, slots=True)
class Swap:
    """Two texts of one picture, of which `right` is true and `wrong` is not."""

    kind: str
    right: str
    wrong: str


@dataclass(slots=True)
class _Shown:
    swaps: list[list[Swap]] = field(default_factory=list[list[Swap]])
    pictures: list[Media] = field(default_factory=list[Media])
    counts: list[int] = field(default_factory=list[int])
    rows: list[int] = field(default_factory=list[int])


def swaps(record: Record, others: Sequence[str]) -> list[Swap]:
    """What can be asked of one record; others: names of things that other records have. At most one attribute and one spatial swap a pair of
    things, in the record's own order."""
    own = list(dict.fromkeys(box.label for box in record.boxes))
    absent = [name for name in others if name not in own]
    found = [
        Swap("object", phrase(name), phrase(absent[place % len(absent)])) for place, name in enumerate(own) if absent
    ]
    attributes: dict[str, list[str]] = {}
    for relation in record.relations:
        if relation.predicate == "is":
            attributes.setdefault(relation.subject, []).append(relation.object)
    names = [name for name in own if name in attributes]
    for i, one in enumerate(names):
        for two in names[i + 1 :]:
            a = next((x for x in attributes[one] if x not in attributes[two]), None)
            b = next((x for x in attributes[two] if x not in attributes[one]), None)
            if a is not None and b is not None:
                found.append(Swap("attribute", _both(a, one, b, two), _both(b, one, a, two)))
    asked: set[frozenset[str]] = set()
    for relation in record.relations:
        pair = frozenset((relation.subject, relation.object))
        if relation.predicate != "is" and len(pair) == 2 and pair not in asked:
            asked.add(pair)
            texts = [
                f"{phrase(s)} {relation.predicate} {phrase(o)}"
                for s, o in ((relation.subject, relation.object), (relation.object, relation.subject))
            ]
            found.append(Swap("spatial", texts[0], texts[1]))
    return found


def probes(
    model: Embedder,
    table: Table,
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    most: int = MOST,
    seed: int = 0,
) -> dict[str, Any]:
    """{"object" | "attribute" | "spatial" | "count": {accuracy, interval, chance, n, records}}; count also has majority.

    rows: positions of records, of which `most` are drawn evenly; those without a picture or boxes are passed over. groups: int64 [rows of the
    table]. {} where nothing can be asked.
    """
    if not {"text", "image"} <= set(model.modalities) or not {"boxes", "image"} <= set(table.column_names):
        return {}
    usable = np.intersect1d(rows, table.rows("array_length(boxes) > 0 and array_length(image) > 0"))
    if not len(usable):
        return {}
    usable = usable[np.unique(np.linspace(0, len(usable) - 1, min(most, len(usable))).round().astype(int))]
    shown = _read(table, usable, seed)
    if not shown.pictures:
        return {}
    pictures = model.embed_items("image", shown.pictures)
    texts = list(dict.fromkeys(text for some in shown.swaps for swap in some for text in (swap.right, swap.wrong)))
    vectors = dict(zip(texts, model.embed_items("text", [Text(text) for text in texts]), strict=True)) if texts else {}
    cluster = groups[np.array(shown.rows)]
    found: dict[str, Any] = {}
    for kind in SWAPS:
        scores = [
            [_won(picture, swap, vectors) for swap in some if swap.kind == kind]
            for picture, some in zip(pictures, shown.swaps, strict=True)
        ]
        asked = np.array([bool(some) for some in scores])
        if asked.sum() >= 2:
            values = np.array([float(np.mean(some)) for some in scores if some])
            found[kind] = _entry(values, cluster[asked], 0.5, seed) | {"n": sum(map(len, scores))}
    counted = _count(model, pictures, np.array(shown.counts), cluster, seed)
    return found | ({"count": counted} if counted else {})


def _read(table: Table, rows: NDArray[np.int64], seed: int) -> _Shown:
    records = table.records(rows, [n for n in ("id", "image", "boxes", "relations") if n in table.column_names])
    names = sorted({box.label for record in records for box in record.boxes})
    rng = np.random.default_rng(seed)
    shown = _Shown()
    for row, record in zip(rows.tolist(), records, strict=True):
        try:
            data = table.read(record.image[0])
        except MediaError:
            continue
        shown.rows.append(row)
        shown.pictures.append(Media(data=data))
        shown.counts.append(len(record.boxes))
        shown.swaps.append(swaps(record, [names[i] for i in rng.permutation(len(names))]))
    return shown


def _count(
    model: Embedder, pictures: NDArray[np.float32], counts: NDArray[np.int64], cluster: NDArray[np.int64], seed: int
) -> dict[str, Any] | None:
    numbers = [int(n) for n in np.unique(counts) if n < len(NUMBERS)]
    known = np.isin(counts, numbers)
    if len(numbers) < 2:
        return None
    texts = [Text(form.format(NUMBERS[n])) for n in numbers for form in COUNTED]
    names = model.embed_items("text", texts).reshape(len(numbers), len(COUNTED), -1).mean(1)
    names /= np.maximum(np.linalg.norm(names, axis=1, keepdims=True), 1e-12)
    right = (np.array(numbers)[(pictures[known] @ names.T).argmax(1)] == counts[known]).astype(np.float64)
    majority = float(np.unique(counts[known], return_counts=True)[1].max() / known.sum())
    entry = _entry(right, cluster[known], 1 / len(numbers), seed)
    return entry | {"majority": round(majority, 6), "n": len(right)}


def _entry(values: NDArray[np.float64], cluster: NDArray[np.int64], chance: float, seed: int) -> dict[str, Any]:
    bounds = intervals({"accuracy": values}, cluster, seed=seed)["accuracy"]
    return {
        "accuracy": round(float(values.mean()), 6),
        "interval": rounded(bounds),
        "chance": round(chance, 6),
        "records": len(values),
    }


def _won(picture: NDArray[np.float32], swap: Swap, vectors: dict[str, NDArray[np.float32]]) -> float:
    right, wrong = float(picture @ vectors[swap.right]), float(picture @ vectors[swap.wrong])
    return 0.5 if right == wrong else float(right > wrong)


def _both(a: str, one: str, b: str, two: str) -> str:
    return f"{phrase(f'{a} {one}')} and {phrase(f'{b} {two}')}"
