"""How much of a reference a table covers: a taxonomy of classes, or another table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from chiasm.errors import ConfigError
from chiasm.evaluate.data.diversity import cluster, unit, words
from chiasm.evaluate.data.rows import Rows, Sample
from chiasm.evaluate.retrieval.baseline import reduce

MOST_BYTES = 8 * 2**20
MOST_CLASSES = 1_000_000
"""Entries that are walked: a few lines of YAML with aliases can stand for billions."""
SHOWN = 200
WITHIN = 95.0
"""Percentile of a cluster's own distances within which an item of the other table counts as lying in it."""


def read_taxonomy(path: Path) -> dict[str, tuple[str, ...]]:
    """The classes of a taxonomy, each with the branches above it, outermost first.

    A text file has a class a line (# begins a remark); a YAML or JSON file a list of classes, or a mapping from branches to what is below them.
    Raises ConfigError where it cannot be read or names no class.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path}: {path.stat().st_size:,} bytes of taxonomy; the limit is {MOST_BYTES:,}")
        text = path.read_text(encoding="utf8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the taxonomy cannot be read: {error}") from None
    found: dict[str, tuple[str, ...]] = {}
    if path.suffix.lower() in (".yaml", ".yml", ".json"):
        try:
            _walk(yaml.safe_load(text), (), found, count(1))
        except _TooMany:
            raise ConfigError(f"{path}: more than {MOST_CLASSES:,} classes") from None
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())[:200]}") from None
    else:
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        found = {line: () for line in lines if line}
    if not found:
        raise ConfigError(f"{path}: names no class")
    return found


def covered_classes(rows: Rows, classes: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Which classes occur: as the value of a label or of a box, or as words of a text (all of the class's words, one after the other).

    {classes, covered, share, found: class → records, missing, branches: outermost branch → [covered, classes], labelled: covered by labels}.
    """
    plain = {name: tuple(words(name)) for name in classes}
    lengths = sorted({len(one) for one in plain.values() if one})
    by_words = {one: name for name, one in plain.items() if one}
    labelled: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for record in rows.records:
        named = {tuple(words(value)) for value in (*(b.value for b in record.labels), *(b.label for b in record.boxes))}
        said: set[tuple[str, ...]] = set()
        for text in record.texts:
            stream = words(text.text)
            said |= {tuple(stream[i : i + n]) for n in lengths for i in range(len(stream) - n + 1)} & by_words.keys()
        labelled.update(by_words[one] for one in named & by_words.keys())
        found.update({by_words[one] for one in (named | said) & by_words.keys()})
    missing = [name for name in classes if name not in found]
    branches: dict[str, list[int]] = {}
    for name, above in classes.items():
        if above:
            count = branches.setdefault(above[0], [0, 0])
            count[0] += name in found
            count[1] += 1
    return {
        "classes": len(classes),
        "covered": len(classes) - len(missing),
        "share": 1 - len(missing) / len(classes),
        "labelled": len(labelled),
        "found": dict(found.most_common(SHOWN)),
        "missing": missing[:SHOWN],
        "branches": branches,
    }


def against(rows: Rows, sample: Sample, other: Rows, drawn: Sample, seed: int) -> dict[str, Any]:
    """What of the table `other` this one covers.

    labels: by name {values, covered, missing} · vocabulary: {types (that occur twice there), covered, share, tokens: share of its words that
    are known here, missing: commonest first} · clusters: by modality {k, covered, share, items: share of the other's sampled items whose cluster
    is covered, by}; a cluster of the other's items is covered where an item of this table lies within its 95th percentile distance.
    """
    labels: dict[str, Any] = {}
    here = {(b.name, b.value) for record in rows.records for b in record.labels}
    there = Counter((b.name, b.value) for record in other.records for b in record.labels)
    for name in sorted({name for name, _ in there}):
        values = [value for (own, value), _ in there.most_common() if own == name]
        gone = [value for value in values if (name, value) not in here]
        labels[name] = {"values": len(values), "covered": len(values) - len(gone), "missing": gone[:SHOWN]}
    mine = {word for record in rows.records for text in record.texts for word in words(text.text)}
    theirs = Counter(word for record in other.records for text in record.texts for word in words(text.text))
    types = [word for word, count in theirs.most_common() if count >= 2]
    known = sum(word in mine for word in types)
    vocabulary = {
        "types": len(types),
        "covered": known,
        "share": known / max(1, len(types)),
        "tokens": sum(count for word, count in theirs.items() if word in mine) / max(1, theirs.total()),
        "missing": [word for word in types if word not in mine][:40],
    }
    clusters: dict[str, Any] = {}
    for name in drawn.at:
        if name not in sample.at or min(len(drawn.at[name]), len(sample.at[name])) < 16:
            continue
        clusters[name] = _clusters(name, sample, drawn, seed)
    return {
        "name": other.table.path.name,
        "rows": len(other.records),
        "labels": labels,
        "vocabulary": vocabulary if types else None,
        "clusters": clusters,
    }


def _clusters(name: str, sample: Sample, drawn: Sample, seed: int) -> dict[str, Any]:
    if name in sample.embedded and name in drawn.embedded:
        mine, theirs, by = sample.embedded[name], drawn.embedded[name], "the model"
    else:
        raw = [*drawn.raw[name], *sample.raw[name]]
        fitted = np.arange(len(raw)) < len(drawn.raw[name])  # directions of the reference, not of what is judged
        value = reduce(name, raw, fitted, seed)
        theirs, mine, by = value[fitted], value[~fitted], "linear features"
    theirs, mine = unit(theirs), unit(mine)
    found = cluster(theirs, seed)
    k = len(found.centre)
    radius = np.array([np.percentile(found.distance[found.number == i], WITHIN) for i in range(k)])
    square = (mine**2).sum(1)[:, None] + (found.centre**2).sum(1) - 2 * mine @ found.centre.T
    inside = (np.sqrt(np.maximum(square, 0)) <= radius).any(0)
    sizes = np.bincount(found.number, minlength=k)
    return {
        "k": k,
        "covered": int(inside.sum()),
        "share": float(inside.mean()),
        "items": float(sizes[inside].sum() / sizes.sum()),
        "by": by,
    }


class _TooMany(Exception):
    pass


def _walk(tree: Any, above: tuple[str, ...], found: dict[str, tuple[str, ...]], seen: Iterator[int]) -> None:
    if next(seen) > MOST_CLASSES:
        raise _TooMany
    if tree is None:
        return
    if isinstance(tree, Mapping):
        for name, below in tree.items():
            if below:
                _walk(below, (*above, str(name)), found, seen)
            else:
                found.setdefault(str(name), above)
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        for one in tree:
            _walk(one, above, found, seen)
    else:
        found.setdefault(str(tree), above)
