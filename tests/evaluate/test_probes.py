"""Probes: what is asked is true and its opposite false, guessing is worth chance, and who knows is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from explain_cases import COLOURS, fresh, scene
from scipy.stats import spearmanr

from chiasm.dataset.table import Table
from chiasm.errors import DataError
from chiasm.evaluate.protocols.entailment import entailment, statements
from chiasm.evaluate.protocols.probes import COUNTED, NUMBERS, Swap, probes, swaps
from chiasm.evaluate.protocols.similarity import name_similarity, rated_similarity, read_ratings, spearman
from chiasm.evaluate.retrieval.items import Collected, Side
from chiasm.types import Label, Media, Question, Record, Text


class Bag:
    """Texts as bags of words; pictures as the bag of what `sees` says of them."""

    modalities, identity = ("text", "image"), "bag"

    def __init__(self, sees: Callable[[bytes], str], ordered: bool = False) -> None:
        self.sees, self.ordered = sees, ordered
        self.words: dict[str, int] = {}
        self.dimension = 400

    def embed_items(self, modality, items, *, progress=None):
        found = np.full((len(items), self.dimension), 1e-3, np.float32)
        for row, item in zip(found, items, strict=True):
            words = (item.text if isinstance(item, Text) else self.sees(item.data)).split()
            for place, word in enumerate(words):
                row[self.words.setdefault(f"{place} {word}" if self.ordered else word, len(self.words))] += 1
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_swaps_are_the_same_words_in_another_order() -> None:
    record = scene(0)
    one, two = (box.label for box in record.boxes)
    found = swaps(record, list(COLOURS))
    assert [swap.kind for swap in found] == ["object", "object", "attribute", "spatial"]
    attribute, spatial = found[2:]
    assert attribute.right == f"a big {one} and a small {two}" and attribute.wrong == f"a small {one} and a big {two}"
    assert sorted(spatial.right.split()) != [] and spatial.right.index(one) < spatial.right.index(two)
    assert spatial.wrong.index(two) < spatial.wrong.index(one)
    assert all(swap.wrong.split()[-1] not in (one, two) for swap in found[:2])
    assert swaps(replace(record, relations=(), boxes=record.boxes[:1]), [record.boxes[0].label]) == []


def test_who_reads_no_order_is_right_half_of_the_time(make_table: Callable[..., Table]) -> None:
    records = [scene(i, 2 + i % 2) for i in range(40)]
    seen = {record.image[0].data: " ".join(box.label for box in record.boxes) for record in records}
    found = probes(Bag(lambda data: seen[data]), make_table(records), np.arange(40), np.arange(40))  # type: ignore[arg-type]
    assert found["object"]["accuracy"] == 1 and found["object"]["records"] == 40
    assert found["attribute"]["accuracy"] == 0.5 and found["attribute"]["chance"] == 0.5
    assert 0.3 < found["spatial"]["accuracy"] < 0.7


def test_who_knows_is_right(make_table: Callable[..., Table]) -> None:
    records = [scene(i, 2 + i % 2) for i in range(30)]
    right = {r.image[0].data: next(s.right for s in swaps(r, list(COLOURS)) if s.kind == "attribute") for r in records}
    table = make_table(records)
    found = probes(Bag(lambda data: right[data], ordered=True), table, np.arange(30), np.arange(30))  # type: ignore[arg-type]
    assert found["attribute"]["accuracy"] == 1 and found["attribute"]["interval"][0] > 0.8
    counted = {r.image[0].data: " ".join(form.format(NUMBERS[len(r.boxes)]) for form in COUNTED) for r in records}
    found = probes(Bag(lambda data: counted[data]), table, np.arange(30), np.arange(30))  # type: ignore[arg-type]
    assert found["count"]["accuracy"] == 1 and found["count"]["chance"] == 0.5 and found["count"]["majority"] == 0.5
    assert Swap("object", "a", "b") == Swap("object", "a", "b")


def test_statements_and_their_truth() -> None:
    record = Record(
        "1",
        texts=(Text("there is a tower"),),
        image=(Media(data=b""),),
        labels=(Label("kind", "x"), Label("label", "True")),
        questions=(Question("Is it?", ("no",)), Question("Gibt es das?", ("no",), "de"), Question("How many?", ("3",))),
    )
    assert statements(record) == [("there is a tower", True), ("Is it?", False)]


def test_entailment_is_learned_from_both_sides(make_table: Callable[..., Table]) -> None:
    """Whether the picture's colour is the one that is named: neither side says it alone."""
    rng = np.random.default_rng(0)
    records: list[Record] = []
    for i in range(240):
        record = scene(i, 1)
        own = record.boxes[0].label
        named = own if rng.random() < 0.5 else str(rng.choice([c for c in COLOURS if c != own]))
        answer = "yes" if named == own else "no"
        records.append(replace(record, questions=(Question(named, (answer,)),)))
    seen = {record.image[0].data: record.boxes[0].label for record in records}
    table, rows = make_table(records), np.arange(240)
    found = entailment(Bag(lambda data: seen[data]), table, rows[:160], rows[160:], rows)  # type: ignore[arg-type]
    assert found["n"] == 80 and found["accuracy"] > 0.95
    assert found["text_alone"] < 0.75
    assert entailment(Bag(lambda data: seen[data]), table, rows[:5], rows[5:], rows) == {}  # type: ignore[arg-type]


def test_nlvr_says_true_and_false(shared_data: Callable[[str], Path], make_table: Callable[..., Table]) -> None:
    rows = pq.read_table(shared_data("nlvr") / "dev.parquet").slice(0, 160).to_pylist()
    records = [
        Record(
            r["id"],
            texts=(Text(r["text"]),),
            image=(Media(data=r["image"]),),
            labels=(Label("label", r["label"]),),
            group=r["text"],
        )
        for r in rows
    ]
    at = np.arange(160)
    found = entailment(fresh(), make_table(records), at[:100], at[100:], at)
    assert found["n"] == 60 and 0.3 < found["chance"] < 0.75 and 0.3 < found["accuracy"] < 0.75


def test_spearman_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    y = np.round(x + rng.normal(size=200))
    found = spearman(x, y)
    assert found["spearman"] == pytest.approx(spearmanr(x, y).statistic, abs=1e-6)
    assert found["interval"][0] < found["spearman"] < found["interval"][1]
    assert spearman(np.ones(5), np.arange(5.0))["spearman"] is None


def test_ratings_are_read_and_compared(tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("a\tb\tscore\nred cow\tred cow\t5\nred cow\tred pig\t3\nred cow\tblue pig\t0\n")
    found = rated_similarity(Bag(lambda _: ""), read_ratings(file))  # type: ignore[arg-type]
    assert found["spearman"] == pytest.approx(1) and found["n"] == 3
    file.write_text('{"a": "x", "b": "y", "score": 1}\n' * 3)
    assert read_ratings(file) == [("x", "y", 1.0)] * 3
    file.write_text("a\tb\tscore\nx\ty\n")
    with pytest.raises(DataError, match="line 2"):
        read_ratings(file)
    with pytest.raises(DataError, match="no such file"):
        read_ratings(tmp_path / "none")


def test_names_that_share_words_are_near() -> None:
    names = [f"{colour} {thing}" for colour in COLOURS for thing in ("cow", "pig", "owl", "cat", "dog")]
    vectors = Bag(lambda _: "").embed_items("text", [Text(name) for name in names])
    side = Side(np.arange(20), vectors, np.arange(20))
    found = name_similarity(Collected({"text": side}, {}, {}, {}, []), names, np.ones(20, bool))
    assert found["text"]["spearman"] > 0.99
