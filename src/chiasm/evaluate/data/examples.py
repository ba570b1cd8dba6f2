"""Rows worth looking at: what fits best and worst, what is poor, what lies far from all others."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyarrow ships no types.
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chiasm.evaluate.data.diversity import Clusters, Vectors
from chiasm.evaluate.data.quality import SCALES, Agreement, poor
from chiasm.evaluate.data.rows import Rows, Sample
from chiasm.evaluate.pages.charts import number
from chiasm.evaluate.pages.embedded import Embedded
from chiasm.evaluate.pages.facts import percent
from chiasm.types import Record

SHOWN = 8
SMALLER = 6
NOUN = {"text": "texts", "image": "pictures", "audio": "sounds", "video": "clips"}


def examples(
    rows: Rows,
    sample: Sample,
    agreed: Mapping[str, Agreement],
    vectors: Mapping[str, Vectors],
    clusters: Mapping[str, Clusters],
    copies: Sequence[Sequence[int]],
    near: Sequence[Sequence[int]],
) -> list[dict[str, Any]]:
    """Sets of rows, each {kind: best | worst | odd | copies | cluster, title, rows: [{id, row, note}]}, as the JSON has them too."""
    found: list[dict[str, Any]] = []
    for pair, one in agreed.items():
        order = np.argsort(one.place, kind="stable")
        words = " and ".join(NOUN[name] for name in pair.split("-"))
        at = sample.rows[one.at]
        for kind, chosen in (("worst", order[:SHOWN]), ("best", order[::-1][:SHOWN])):
            title = f"{words} that fit {'least' if kind == 'worst' else 'best'}, by {one.by}"
            found.append(
                _set(
                    kind,
                    title,
                    rows,
                    [(at[i], f"fits better than {percent(float(one.place[i]))} of others") for i in chosen],
                )
            )
    for name, scale in SCALES.items():
        if name not in sample.measures.column_names:
            continue
        value = np.asarray(sample.measures.column(name).to_numpy(), np.float64)
        bad = np.flatnonzero(poor(value, scale))
        if len(bad):
            order = bad[np.argsort(value[bad] * (-1 if scale.above else 1), kind="stable")][:SMALLER]
            notes = [(sample.measured[i], f"{number(float(value[i]))} {scale.unit}") for i in order]
            found.append(_set("worst", f"{scale.title}: the {'most' if scale.above else 'least'}", rows, notes))
    for name, one in vectors.items():
        away = np.linalg.norm(one.value - one.value.mean(0), axis=1)
        order = np.argsort(-away, kind="stable")[:SHOWN]
        title = f"odd {NOUN[name]}: farthest from the mean, by {one.by}"
        found.append(_set("odd", title, rows, [(sample.rows[one.at[i]], f"distance {away[i]:.2f}") for i in order]))
    for sets, kind in ((copies, "equal copies"), (near, "copies and near-duplicates")):
        if sets:
            notes = [
                (row, f"set {k + 1}: {len(members)} alike") for k, members in enumerate(sets[:4]) for row in members[:3]
            ]
            found.append(_set("copies", kind, rows, notes))
    for name, groups in clusters.items():
        sizes = np.bincount(groups.number, minlength=len(groups.centre))
        for number_ in np.argsort(-sizes, kind="stable")[:3].tolist():
            own = np.flatnonzero(groups.number == number_)
            nearest = own[np.argsort(groups.distance[own], kind="stable")[:SMALLER]]
            title = f"{NOUN[name]}: a cluster of {sizes[number_]} in {len(groups.number)}, its most typical"
            found.append(_set("cluster", title, rows, [(sample.rows[vectors[name].at[i]], "") for i in nearest]))
    return found


def cards(found: Sequence[Mapping[str, Any]], rows: Rows, media: Embedded) -> list[dict[str, Any]]:
    """The sets with what the page shows of each row: its picture, player, strip and text."""
    return [
        {**one, "cards": [_card(rows.table.records([entry["row"]])[0], entry, media) for entry in one["rows"]]}
        for one in found
    ]


def _set(kind: str, title: str, rows: Rows, notes: Sequence[tuple[Any, str]]) -> dict[str, Any]:
    return {
        "kind": kind,
        "title": title,
        "rows": [{"id": rows.records[int(row)].id, "row": int(row), "note": note} for row, note in notes],
    }


def _card(record: Record, entry: Mapping[str, Any], media: Embedded) -> dict[str, Any]:
    return {
        "id": record.id,
        "note": entry["note"],
        "text": record.texts[0].text[:160] if record.texts else "",
        "language": record.texts[0].language if record.texts else None,
        "labels": ", ".join(f"{label.name} {label.value}" for label in record.labels[:3])[:120],
        "picture": media.picture(record.image[0]) if record.image else None,
        "sound": media.sound(record.audio[0]) if record.audio else None,
        "strip": media.strip(record.video[0]) if record.video else None,
    }
