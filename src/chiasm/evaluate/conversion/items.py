"""Recommendation: the place of the item that came next among all items of the table, beside popularity and co-occurrence."""

from __future__ import annotations

from collections.abc import Sequence

from chiasm.batches.conversion import before_last
from chiasm.dataset.table import Table
from chiasm.evaluate.conversion.baselines import next_items
from chiasm.evaluate.conversion.bench import CHUNK, Bench
from chiasm.evaluate.conversion.cases import Case
from chiasm.evaluate.conversion.score import Measured, Scores, measured, rate
from chiasm.evaluate.metrics.items import hit_at_k, reciprocal_rank
from chiasm.types import Media, Record

CUTS = (1, 5, 10)


def items_of(record: Record) -> list[str]:
    """The items of a history by name: the k-th picture and the k-th text."""
    return [text.text for text in record.texts[: min(len(record.texts), len(record.image))]]


def measure_items(bench: Bench, histories: Sequence[Sequence[str]], ranked: Sequence[Sequence[str]]) -> Measured:
    """Hit rate at 1, 5 and 10 and mean reciprocal rank of the last item of each history (all its items, the last is wanted). Nobody proposes
    what the history already holds."""
    before, wanted = [list(one[:-1]) for one in histories], [one[-1] for one in histories]
    catalogue = len(catalogue_of(bench))
    own = [[item for item in row if item not in set(past)] for row, past in zip(ranked, before, strict=True)]
    sessions = [items_of(r) for r in _bare(bench.table, bench.train_rows().tolist())]
    beside = next_items([one for one in sessions if len(one) > 1], before, catalogue)
    right = [bool(row) and row[0] == one for row, one in zip(own, wanted, strict=True)]
    return measured(
        _scores(own, wanted),
        list(right),
        [", ".join(row[:5]) for row in own],
        baselines={
            "popularity": _scores(beside.popularity, wanted),
            "co-occurrence": _scores(beside.co_occurrence, wanted),
        },
        notes={"catalogue": f"{catalogue:,} items"},
    )


def _scores(ranked: Sequence[Sequence[str]], wanted: Sequence[str]) -> Scores:
    hits = {f"hit_at_{k}": rate(hit_at_k(ranked, wanted, k)) for k in CUTS}
    return hits | {"mrr": rate(reciprocal_rank(ranked, wanted))}


def rank_items(bench: Bench, cases: Sequence[Case]) -> list[tuple[str, ...]]:
    """All items of the table in the order in which the model expects them next, for each case."""
    catalogue = catalogue_of(bench)
    made = bench.model.recommend(
        bench.name, [before_last(case.record) for case in cases], catalogue, k=len(catalogue), read=bench.table.read
    )
    return [one.items or () for one in made]


def catalogue_of(bench: Bench) -> list[Record]:
    """A record for each distinct item of the table's sessions, named by its text, with the picture and text it first came with."""
    if "catalogue" not in bench.kept:
        first: dict[str, tuple[int, int]] = {}
        for row, record in enumerate(_bare(bench.table, range(len(bench.table)))):
            for place, text in enumerate(record.texts):
                first.setdefault(text.text, (row, place))
        rows = sorted({row for row, _ in first.values()})
        found: dict[str, Record] = {}
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            for row, record in zip(part, bench.table.records(part, ["id", "texts", "image"]), strict=True):
                for place, name in enumerate(items_of(record)):
                    if first[name] == (row, place):
                        picture = Media(data=bench.table.read(record.image[place]))
                        found[name] = Record(name, texts=(record.texts[place],), image=(picture,))
        bench.kept["catalogue"] = [found[name] for name in first if name in found]
    return bench.kept["catalogue"]


def _bare(table: Table, rows: Sequence[int]) -> list[Record]:
    """Records with their texts, and as many empty pictures, so that `items_of` counts them: no media are read."""
    records = table.records(list(rows), ["id", "texts"])
    return [Record(r.id, texts=r.texts, image=(Media(),) * len(r.texts)) for r in records]
