"""Searching: against brute force written here, and every way to ask wrongly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_cases import Words, records, write_table

from chiasm.dataset.table import Table
from chiasm.errors import ChiasmError, ConfigError, DataError, MediaError, ModelError
from chiasm.search.index import index
from chiasm.search.query import Query, search
from chiasm.types import Media, Record, Text


@pytest.fixture
def indexed(table: Table) -> Table:
    index(Words(), table)
    return table


def ids(table: Table, **asked: Any) -> list[str]:
    return [hit.id for hit in search(table, Query(**asked), Words())]


def brute_force(query: str, modality: str, keep: set[str] | None = None) -> list[tuple[str, float]]:
    """(id, cosine), best first, computed record by record."""
    model = Words()
    asked = model.embed_items("text", [Text(query)])[0]
    found: list[tuple[str, float]] = []
    for record in records():
        item = (record.texts if modality == "text" else record.image)[:1]
        if (
            not item
            or (record.id == "blue-car" and modality == "image")
            or (keep is not None and record.id not in keep)
        ):
            continue
        found.append((record.id, float(model.embed_items(modality, item)[0] @ asked)))
    return sorted(found, key=lambda pair: -pair[1])


@pytest.mark.parametrize("modality", ["text", "image"])
@pytest.mark.parametrize("approximate_rows", [1, 1000])
def test_equals_brute_force(table: Table, modality: Any, approximate_rows: int) -> None:
    index(Words(), table, approximate_rows=approximate_rows)
    for query in ("red apple", "green", "cat dog"):
        hits = search(table, Query(query, to=modality, k=20), Words())
        expected = brute_force(query, modality)
        assert [hit.id for hit in hits] == [key for key, _ in expected]
        np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-5)
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))


def test_pictures_are_searched_by_default(indexed: Table) -> None:
    assert "red-dog" not in ids(indexed, text="red dog", k=15)
    assert ids(indexed, text="red dog", to="text", k=1) == ["red-dog"]


def test_without_pictures_texts_are(tmp_path: Path) -> None:
    table = write_table(
        tmp_path / "t.lance", [Record(id="a", texts=(Text("ant"),)), Record(id="b", texts=(Text("bee"),))]
    )
    index(Words(), table)
    assert ids(table, text="bee", k=1) == ["b"]


def test_without_pictures_clips_are(tmp_path: Path) -> None:
    records = [
        Record(id=name, texts=(Text(f"the {name}"),), video=(Media(data=name.encode()),)) for name in ("ant", "bee")
    ]
    table = write_table(tmp_path / "t.lance", records)
    words = Words(modalities=("text", "image", "audio", "video"))
    index(words, table)
    hit = search(table, Query("bee", k=1), words)[0]
    assert (hit.id, hit.has, hit.score) == ("bee", ("text", "video"), pytest.approx(1))
    assert search(table, Query(video=b"ant", to="text", k=1), words)[0].id == "ant"
    both = search(table, Query("bee", video=b"bee ant", to="any", k=2), words)
    assert [found.id for found in both] == ["bee", "ant"]


def test_any_takes_each_records_best_once(indexed: Table) -> None:
    found = ids(indexed, text="red dog", to="any", k=15)
    assert found[0] == "red-dog"
    assert len(found) == len(set(found)) == 15


def test_a_query_of_parts_is_their_sum(indexed: Table) -> None:
    assert ids(indexed, text="green", image=b"pear", k=1) == ["green-pear"]
    together = search(indexed, Query("green pear", k=3), Words())
    apart = search(indexed, Query("green", image=b"pear", k=3), Words())
    assert apart[0].score == pytest.approx(together[0].score, abs=0.05)


def test_media_may_be_files(indexed: Table, tmp_path: Path) -> None:
    file = tmp_path / "query.png"
    file.write_text("blue cat")
    assert (
        ids(indexed, image=file, k=1)
        == ids(indexed, image=str(file), k=1)
        == ids(indexed, audio=file, k=1)
        == ["blue-cat"]
    )


@pytest.mark.parametrize("approximate_rows", [1, 1000])
def test_where_filters_before_the_search(table: Table, approximate_rows: int) -> None:
    index(Words(), table, approximate_rows=approximate_rows)
    assert (
        ids(table, text="red apple", where="split = 'test'", k=2)
        == [key for key, _ in brute_force("red apple", "image", {"blue-apple", "blue-pear", "blue-cat"})][:2]
    )
    assert ids(table, text="red", where="id = 'no such'") == []


def test_hybrid_lifts_what_the_words_match(indexed: Table) -> None:
    # The embedder knows no Chinese: only the full-text index can find this one.
    assert ids(indexed, text="苹果", hybrid=0.6, k=1) == ["red-apple"]
    assert ids(indexed, text="苹果", k=15)[0] != "red-apple"
    assert set(ids(indexed, text="apples", hybrid=1.0, k=3)) == {"red-apple", "green-apple", "blue-apple"}


@pytest.mark.parametrize("weight", [0.3, 0.7])
def test_hybrid_is_reciprocal_rank_fusion(indexed: Table, weight: float) -> None:
    vector = ids(indexed, text="green car", k=15)
    words = [key for key in ids(indexed, text="green car", hybrid=1.0, k=15) if {"green", "car"} & set(key.split("-"))]
    assert words[0] == "green-car"
    naive = {
        key: (1 - weight) / (60 + vector.index(key) + 1) + (weight / (60 + words.index(key) + 1) if key in words else 0)
        for key in vector
    }
    mixed = search(indexed, Query("green car", hybrid=weight, k=15), Words())
    assert [hit.id for hit in mixed] == sorted(naive, key=lambda key: (-naive[key], vector.index(key)))
    cosines = {hit.id: hit.score for hit in search(indexed, Query("green car", k=15), Words())}
    assert all(hit.score == pytest.approx(cosines[hit.id], abs=1e-5) for hit in mixed)


def test_hybrid_keeps_to_the_filter_and_the_target(indexed: Table) -> None:
    found = ids(indexed, text="dog", hybrid=0.9, k=15, where="split = 'train'")
    assert all(not key.endswith("dog") and not key.startswith("blue") for key in found)


def test_quotes_and_operators_are_words(indexed: Table) -> None:
    for text in ('"', "apple AND (", "a' OR 'b", "*", "_distance"):
        assert len(ids(indexed, text=text, hybrid=0.5, k=3)) == 3


def test_a_hit_tells_what_it_is(indexed: Table) -> None:
    hit = search(indexed, Query("red apple", k=1), Words())[0]
    shown = json.loads(json.dumps(hit.to_json()))
    assert (shown["id"], shown["rank"], shown["split"], shown["group"]) == ("red-apple", 1, "train", "apple")
    assert [text["text"] for text in shown["texts"]] == ["red apple", "apple in red", "红苹果"]
    assert shown["has"] == ["text", "image"]
    assert shown["media"]["image"][0] == {"path": None, "bytes": 9, "by": "hand", "kind": None}
    assert shown["score"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("asked", "kind", "message"),
    [
        ({}, ConfigError, "nothing to search for"),
        ({"text": "  "}, ConfigError, "is empty"),
        ({"text": "a", "k": 0}, ConfigError, "k 0"),
        ({"text": "a", "hybrid": 1.5}, ConfigError, "between 0"),
        ({"image": b"red", "hybrid": 0.5}, ConfigError, "words of a text"),
        ({"text": "a", "to": "audio"}, ConfigError, "no audio vectors; `to` may be text, image or any"),
        ({"text": "a", "where": "colour = 'red'"}, ConfigError, "colour; the columns are id, texts"),
        ({"text": "a", "where": "id = = 3"}, ConfigError, "the columns are id, texts"),
        ({"image": "no/such.png"}, DataError, "no/such.png: no such file"),
        ({"image": b"broken"}, MediaError, "not a picture"),
    ],
)
def test_wrong_questions(indexed: Table, asked: dict[str, Any], kind: type[ChiasmError], message: str) -> None:
    with pytest.raises(kind, match=message):
        search(indexed, Query(**asked), Words())


def test_another_model_is_told_to_index(indexed: Table) -> None:
    with pytest.raises(ModelError, match="was indexed by another model: run `chiasm index RUN"):
        search(indexed, Query("a"), Words("words-2"))


def test_a_table_without_index_is_told_to_index(table: Table) -> None:
    with pytest.raises(DataError, match="not indexed: run `chiasm index RUN"):
        search(table, Query("a"), Words())


def test_new_vectors_are_seen_at_once(indexed: Table) -> None:
    assert ids(indexed, text="shiny apple", k=1)[0].endswith("apple")
    best = search(indexed, Query("shiny apple", k=1), Words())[0].score
    index(Words(), indexed, items="all")
    assert search(indexed, Query("shiny apple", k=1), Words())[0].score > best + 0.05


@pytest.mark.slow
def test_approximate_search_finds_nearly_all(tmp_path: Path) -> None:
    """IVF_PQ with refinement against exact search, on clustered vectors."""
    rng = np.random.default_rng(0)
    centres = [f"c{i}" for i in range(300)]
    made = [
        Record(id=str(i), texts=(Text(f"{centres[rng.integers(300)]} w{rng.integers(4000)}"),)) for i in range(6000)
    ]
    table = write_table(tmp_path / "big.lance", made)
    model = Words()
    questions = [f"{centre} w{rng.integers(4000)}" for centre in centres[:40]]
    index(model, table)
    exact = [set(ids(table, text=question, k=10)) for question in questions]
    assert index(model, table, approximate_rows=1000).approximate
    found = [set(ids(table, text=question, k=10)) for question in questions]
    recall = np.mean([len(a & b) / 10 for a, b in zip(exact, found, strict=True)])
    assert recall >= 0.9
