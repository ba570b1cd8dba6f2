"""Copies that are left, and what lies in two splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chiasm.dataset.split import TRAIN, Key, check_splits, join
from chiasm.evaluate.data.rows import Rows

SHOWN = 12


def copies(rows: Rows, contents: Sequence[tuple[str, ...]]) -> list[list[int]]:
    """Rows that hold an equal picture, sound or clip, byte for byte; of rows without media, an equal only text. Largest set first."""
    own = [
        Key(
            record.id,
            contents=tuple(c for c in found if not c.startswith("text:"))
            or tuple(f"alone:{c}" for c in found if not any(rows.count[m][i] for m in ("image", "audio", "video"))),
        )
        for i, (record, found) in enumerate(zip(rows.records, contents, strict=True))
    ]
    return _sets(join(own, by_group=False))


def straddling(rows: Rows, sets: Sequence[Sequence[int]]) -> dict[str, int]:
    """Rows of each held-out split that have a copy in another split: "test ~ train" → rows."""
    found: Counter[str] = Counter()
    for members in sets:
        splits = {str(rows.splits[row]) for row in members}
        for row in members:
            own = str(rows.splits[row])
            if own == TRAIN:
                continue
            for other in sorted(splits - {own}):
                found[f"{own} ~ {other}"] += 1
    return dict(sorted(found.items()))


def leaks(
    rows: Rows, contents: Sequence[tuple[str, ...]], looked: int, near: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """Facts of the page's section.

    rule: the table's · sentences: ways in which its splits break it (dataset/split.check_splits), `total` of them · exact: rows of each held-out
    split with an equal medium or only text elsewhere · near: the same for those nearly equal too, near_rows: of all splits ·
    texts: by held-out split, the share of rows one of whose texts a training row has too (of a shared name no leak, of a caption one) ·
    looked: rows whose media were read.
    """
    rule = rows.table.metadata.get("rule", "groups")
    keys = [Key(record.id, record.group, contents=found) for record, found in zip(rows.records, contents, strict=True)]
    sentences = check_splits(keys, rows.splits.tolist(), rule="forms" if rule == "forms" else "groups")
    trained = {text.text.casefold() for record in rows.records if record.split == TRAIN for text in record.texts}
    shared: dict[str, float] = {}
    for split in sorted(set(rows.splits.tolist()) - {TRAIN}):
        own = [record for record in rows.records if (record.split or "") == split and record.texts]
        if own:
            shared[split] = float(np.mean([any(t.text.casefold() in trained for t in r.texts) for r in own]))
    exact = copies(rows, contents)
    return {
        "rule": rule,
        "total": len(sentences),
        "sentences": sentences[:SHOWN],
        "exact": straddling(rows, exact),
        "near": straddling(rows, near),
        "near_rows": len(
            {
                row
                for members in near
                if len({*rows.splits[members].tolist()}) > 1
                for row in members
                if rows.splits[row] != TRAIN
            }
        ),
        "texts": shared,
        "looked": looked,
        "of": len(rows.records),
    }


def told(rows: Rows, sets: Sequence[Sequence[int]]) -> dict[str, Any]:
    """{rows: how many would go if one of each set stayed, sets, largest, examples: ids of the largest sets}."""
    return {
        "rows": sum(len(members) - 1 for members in sets),
        "sets": len(sets),
        "largest": max(map(len, sets), default=0),
        "examples": [[rows.records[row].id for row in members[:6]] for members in sets[:SHOWN]],
    }


def near_sets(pairs: Sequence[tuple[int, int]], count: int) -> list[list[int]]:
    """The sets that pairs of rows join, largest first."""
    keys = [Key(str(row)) for row in range(count)]
    return _sets(join(keys, by_group=False, tied=pairs))


def _sets(names: Sequence[str]) -> list[list[int]]:
    members: Mapping[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        members[name].append(row)
    return sorted((found for found in members.values() if len(found) > 1), key=lambda found: (-len(found), found[0]))
