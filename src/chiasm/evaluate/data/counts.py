"""What a table holds, counted over all its rows, and what its build did."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from chiasm.dataset.publish import read_ledger
from chiasm.evaluate.data.rows import MEDIA, Rows, Sample
from chiasm.types import MODALITIES

MOST_VALUES = 30
LEDGER_BYTES = 256 * 2**20
EXAMPLES = 4


def counts(rows: Rows, sample: Sample) -> dict[str, Any]:
    """Facts of the page's section.

    modalities: by name {records, items, lacking (records without)} · together: records by the modalities they have ("text + image") ·
    languages: of texts, {texts, records} · sources, licences, splits: records · labels: by name {distinct, records, values (the commonest)} ·
    makers: by medium {name: items} of the sample's rows · boxes, questions, relations, masks: records that have any · ungrouped: records
    without a group.
    """
    total = len(rows.records)
    has = {name: rows.count[name] > 0 for name in MODALITIES}
    together: Counter[str] = Counter()
    for row in range(total):
        together[" + ".join(name for name in MODALITIES if has[name][row]) or "nothing"] += 1
    texts: Counter[str] = Counter()
    holders: Counter[str] = Counter()
    labels: dict[str, Counter[str]] = {}
    labelled: Counter[str] = Counter()
    for record in rows.records:
        texts.update(text.language or "" for text in record.texts)
        holders.update({text.language or "" for text in record.texts})
        labelled.update({label.name for label in record.labels})
        for label in record.labels:
            labels.setdefault(label.name, Counter())[label.value] += 1
    makers = {
        name: dict(Counter(m.by for r in sample.records for m in getattr(r, name) if m.by).most_common(MOST_VALUES))
        for name in MEDIA
    }
    return {
        "rows": total,
        "modalities": {
            name: {
                "records": int(has[name].sum()),
                "items": int(rows.count[name].sum()),
                "lacking": total - int(has[name].sum()),
            }
            for name in MODALITIES
        },
        "pairs": {f"{a}-{b}": int((has[a] & has[b]).sum()) for a, b in combinations(MODALITIES, 2)},
        "together": dict(together.most_common()),
        "languages": {
            name: {"texts": texts[name], "records": holders[name]} for name, _ in texts.most_common(MOST_VALUES)
        },
        "languages_total": len(texts),
        "sources": dict(Counter(record.source for record in rows.records).most_common(MOST_VALUES)),
        "licences": dict(Counter(record.licence or "" for record in rows.records).most_common(MOST_VALUES)),
        "splits": rows.table.splits(),
        "labels": {
            name: {
                "distinct": len(found),
                "records": labelled[name],
                "lacking": total - labelled[name],
                "values": dict(found.most_common(MOST_VALUES)),
            }
            for name, found in sorted(labels.items())
        },
        "makers": {name: found for name, found in makers.items() if found},
        "parts": {
            "boxes": sum(bool(record.boxes) for record in rows.records),
            "questions": sum(bool(record.questions) for record in rows.records),
            "relations": sum(bool(record.relations) for record in rows.records),
        },
        "ungrouped": sum(record.group is None for record in rows.records),
    }


def build_facts(rows: Rows) -> dict[str, Any]:
    """given, accepted, rejected, dropped_parts, reasons, of the table's metadata · steps: as the build kept them, [] of a table of an older build ·
    ledger: by reason {n, parts, examples [{id, part, message}]} of the ledger beside the table, None where it is not there."""
    metadata = rows.table.metadata
    kept = ("source", "attribution", "given", "accepted", "rejected", "dropped_parts", "reasons", "seed", "rule")
    return {
        **{name: metadata.get(name) for name in kept},
        "steps": metadata.get("steps") or [],
        "ledger": _ledger(read_ledger(rows.table.path, LEDGER_BYTES)),
    }


def _ledger(text: str | None) -> dict[str, Any] | None:
    """Lines that are no ledger row are passed over: the file lies open beside the table."""
    if text is None:
        return None
    found: dict[str, Any] = {}
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if not isinstance(row, Mapping) or "reason" not in row:
            continue
        reason = str(row["reason"])
        step = row.get("step")
        one = found.setdefault(f"{step}: {reason}" if step else reason, {"n": 0, "records": 0, "examples": []})
        one["n"] += 1
        one["records"] += row.get("part") == "record"
        if len(one["examples"]) < EXAMPLES:
            one["examples"].append({key: str(row.get(key, ""))[:300] for key in ("id", "part", "message")})
    return dict(sorted(found.items(), key=lambda item: -item[1]["n"]))
