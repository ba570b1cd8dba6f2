"""Indexing: the columns that it writes, what it counts, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from search_cases import Words, records, write_table

from chiasm.dataset.table import Table
from chiasm.errors import DataError, ModelError
from chiasm.search.index import embed_readable, index, index_info
from chiasm.types import Media, Record, Text


def vectors(table: Table, modality: str) -> dict[str, np.ndarray | None]:
    found = table.columns(["id", f"embedding_{modality}"])
    values = found[f"embedding_{modality}"].to_pylist()
    return {
        key: None if value is None else np.array(value)
        for key, value in zip(found["id"].to_pylist(), values, strict=True)
    }


def test_first_items_become_unit_vectors_and_the_rest_null(table: Table) -> None:
    model = Words()
    info = index(model, table)
    assert info.vectors == {"text": 15, "image": 11, "audio": 0}
    images = vectors(table, "image")
    assert {key for key, value in images.items() if value is None} == {
        "red-dog",
        "green-dog",
        "blue-dog",
        "blue-car",
    }
    for record in records():
        vector = images[record.id]
        if vector is not None:
            np.testing.assert_allclose(vector, model.embed_items("image", record.image[:1])[0], atol=1e-6)
    assert set(vectors(table, "audio").values()) == {None}


def test_all_items_give_the_renormalised_mean(table: Table) -> None:
    model = Words()
    index(model, table, items="all")
    texts = vectors(table, "text")
    for record in records():
        mean = model.embed_items("text", record.texts).mean(axis=0)
        np.testing.assert_allclose(texts[record.id], mean / np.linalg.norm(mean), atol=1e-6)
    # One of the blue car's two pictures is broken: the other one still stands for it.
    np.testing.assert_allclose(
        vectors(table, "image")["blue-car"],
        model.embed_items("image", [Media(data=b"shiny car")])[0],
        atol=1e-6,
    )


def test_unreadable_media_are_counted_with_id_and_reason(table: Table, tmp_path: Path) -> None:
    info = index(Words(), table)
    assert info.unreadable == {"image": 1}
    assert [(entry.id, entry.part, entry.reason) for entry in info.rejected] == [("blue-car", "image", "format")]
    lost = Record(id="lost", texts=(Text("lost"),), image=(Media(path="gone.png"),))
    other = write_table(tmp_path / "lost.lance", [lost])
    assert [(entry.id, entry.reason) for entry in index(Words(), other).rejected] == [("lost", "missing")]


def test_every_record_is_accounted_for(table: Table) -> None:
    info = index(Words(), table)
    given = sum(bool(record.image) for record in records())
    assert info.vectors["image"] + info.unreadable["image"] == given


def test_a_broken_item_among_many_costs_few_calls() -> None:
    model = Words()
    items = [Media(data=b"broken" if place == 37 else f"word{place}".encode()) for place in range(64)]
    found, refused = embed_readable(model, "image", items)
    assert [place for place, _ in refused] == [37]
    assert np.isnan(found).any(axis=1).nonzero()[0].tolist() == [37]
    np.testing.assert_allclose(found[38], Words().embed_items("image", items[38:39])[0], atol=1e-6)
    assert model.calls <= 2 * 6 + 1


def test_texts_are_joined_into_a_searchable_column(table: Table) -> None:
    index(Words(), table)
    found = table.columns(["id", "search_text"])
    joined = dict(zip(found["id"].to_pylist(), found["search_text"].to_pylist(), strict=True))
    assert joined["red-apple"] == "red apple\napple in red\n红苹果"


def test_info_is_kept_in_the_table(table: Table, tmp_path: Path) -> None:
    made = index(Words(), table, items="all", run=tmp_path)
    kept = index_info(Table(table.path))
    assert kept == made
    assert (kept.model, kept.items, kept.dimension, kept.rows, kept.run) == (
        "words-1",
        "all",
        32,
        15,
        str(tmp_path.resolve()),
    )


def test_indexing_again_replaces_the_first(table: Table) -> None:
    index(Words(), table)
    before = vectors(table, "image")["red-car"]
    index(Words("words-2", ("text",)), table, items="all")
    assert index_info(table).model == "words-2"
    assert index_info(table).vectors == {"text": 15}
    assert len(table) == 15
    assert table.column_names.count("search_text") == 1
    np.testing.assert_array_equal(vectors(table, "image")["red-car"], before)


def test_an_unindexed_table_says_what_to_do(table: Table) -> None:
    with pytest.raises(DataError, match="not indexed: run `chiasm index RUN"):
        index_info(table)


def test_rows_added_since_make_the_index_stale(table: Table) -> None:
    import lance
    import pyarrow as pa

    from chiasm.dataset.schema import to_arrow

    index(Words(), table)
    lance.write_dataset(
        pa.Table.from_batches([to_arrow([Record(id="new", split="train")])]), str(table.path), mode="append"
    )
    with pytest.raises(DataError, match="indexed with 15 rows, now 16"):
        index_info(Table(table.path))


def test_killed_between_writes_counts_as_not_indexed(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    index(Words(), table)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(table, "set_vectors", killed)
    with pytest.raises(KeyboardInterrupt):
        index(Words("words-2"), table)
    with pytest.raises(DataError, match="not indexed"):
        index_info(Table(table.path))


def test_progress_counts_records(table: Table) -> None:
    seen: list[tuple[str, int, int | None]] = []
    index(Words(), table, progress=lambda *step: seen.append(step))
    assert seen[0] == ("embed", 15, 15)
    assert seen[-1] == ("write", 5, 5)


def test_a_model_of_other_modalities_is_refused(table: Table) -> None:
    with pytest.raises(ModelError, match="no record has any"):
        index(Words(modalities=("audio",)), table)


def test_old_versions_go_and_readers_stay(table: Table) -> None:
    import lance

    def size() -> int:
        return sum(path.stat().st_size for path in table.path.rglob("*") if path.is_file())

    index(Words(), table)
    created, before, sizes = table.created, Table(table.path), [size()]
    columns = before.columns(["id", "embedding_image", "search_text"])
    for _ in range(4):
        reader = Table(table.path)
        index(Words(), Table(table.path))
        assert len(lance.dataset(str(table.path)).versions()) <= 3
        assert reader.columns(["id", "embedding_image", "search_text"]) == columns  # opened before, read after
        sizes.append(size())
    assert Table(table.path).created == created
    assert sizes[-1] <= 1.5 * sizes[1]
    assert Table(table.path).records() == reader.records()
