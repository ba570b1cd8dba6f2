"""The table gives back rows, takes vectors, and refuses what would spoil it."""

from __future__ import annotations

from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
from dataset_cases import ListSource, record

from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.dataset.table import META, Table
from chiasm.errors import ConfigError, DataError, MediaError
from chiasm.types import Media


@pytest.fixture
def table(tmp_path: Path) -> Table:
    build(ListSource([record(number) for number in range(20)]), tmp_path / "d.lance", BuildConfig(test=0.2))
    return Table(tmp_path / "d.lance")


def test_rows_in_any_order(table: Table) -> None:
    assert [found.id for found in table.records([7, 0, 7, 19])] == ["r7", "r0", "r7", "r19"]
    assert table.records([3], columns=["id"])[0].image == ()
    assert table.records([]) == []
    for bad in (-1, 20):
        with pytest.raises(DataError, match="20 rows"):
            table.records([bad])


def test_where(table: Table) -> None:
    splits = table.columns(["split"])["split"].to_pylist()
    assert table.rows("split = 'test'").tolist() == [row for row, split in enumerate(splits) if split == "test"]
    assert table.rows().tolist() == list(range(20))
    assert table.columns(["id"], where="id = 'r3'")["id"].to_pylist() == ["r3"]
    with pytest.raises(ConfigError, match="nope"):
        table.rows("nope = 1")
    with pytest.raises(ConfigError):
        table.rows("split = ")
    for more in ("split = 'test'; drop", "split = 'test' ;", "id = 'it''s' ; x"):
        with pytest.raises(ConfigError, match="semicolon"):
            table.rows(more)
    assert table.rows("split = ';' OR id = 'a'';b'").tolist() == []
    with pytest.raises(DataError, match="did you mean 'split'"):
        table.columns(["splt"])


def test_vectors_are_added_and_replaced(table: Table) -> None:
    ids = [f"r{number}" for number in range(20)]
    vectors = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    order = np.random.default_rng(1).permutation(20)
    table.set_vectors("v", [ids[index] for index in order], vectors[order])
    for opened in (table, Table(table.path)):
        stored = opened.columns(["v"])["v"].combine_chunks()
        assert np.array_equal(stored.values.to_numpy().reshape(20, 4), vectors)
    table.set_vectors("v", ids[:3], np.ones((3, 7), np.float32))
    again = Table(table.path)
    stored = again.columns(["v"])["v"].to_pylist()
    assert stored[:3] == [[1.0] * 7] * 3
    assert stored[3:] == [None] * 17
    assert again.column_names.count("v") == 1
    assert again.metadata["source"] == "list"
    assert again.records() == table.records()


def test_bad_vectors_are_refused_whole(table: Table) -> None:
    """T35."""
    ids = [f"r{number}" for number in range(20)]
    good = np.ones((20, 4), np.float32)
    table.set_vectors("v", ids, good)
    version = table.version
    bad = {
        "NaN": np.where(np.arange(80).reshape(20, 4) == 5, np.nan, good),
        "infinite": np.where(np.arange(80).reshape(20, 4) == 5, np.inf, good),
        "zero": np.concatenate([good[:19], np.zeros((1, 4))]),
        "rows": good[:19],
        "flat": good[:, 0],
    }
    for name, values in bad.items():
        with pytest.raises(DataError):
            table.set_vectors("v", ids, values.astype(np.float32))
        assert Table(table.path).version == version, name
    with pytest.raises(DataError, match="not in"):
        table.set_vectors("v", [*ids[:19], "other"], good)
    with pytest.raises(DataError, match="twice"):
        table.set_vectors("v", [*ids[:19], ids[0]], good)
    with pytest.raises(DataError, match="belongs to the record"):
        table.set_vectors("id", ids, good)
    assert Table(table.path).version == version


def test_metadata(table: Table) -> None:
    table.set_metadata("vectors", {"model": "m", "modalities": ["text"]})
    assert Table(table.path).metadata["vectors"] == {"model": "m", "modalities": ["text"]}
    table.metadata["vectors"] = "a copy"
    assert table.metadata["vectors"] != "a copy"


def test_media_stay_inside_the_root(table: Table) -> None:
    with pytest.raises(MediaError) as caught:
        table.read(Media(path="../../etc/passwd"))
    assert caught.value.reason == "outside"


def test_what_is_no_table(tmp_path: Path, table: Table) -> None:
    with pytest.raises(DataError, match="no such table"):
        Table(tmp_path / "none.lance")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="no such table"):
        Table(tmp_path / "folder")
    (tmp_path / "folder" / "cat.png").write_bytes(b"x")
    with pytest.raises(
        DataError,
        match=r"folder is a folder of files, not a chiasm table: build it first, `chiasm build \S+folder folder.lance`",
    ):
        Table(tmp_path / "folder")
    with pytest.raises(DataError, match=r"cat\.png is a file, not a chiasm table: build it first"):
        Table(tmp_path / "folder" / "cat.png")
    (tmp_path / "folder" / "_versions").mkdir()
    with pytest.raises(DataError, match="not a Lance table"):
        Table(tmp_path / "folder")
    lance.write_dataset(pa.table({"id": ["a"]}), str(tmp_path / "foreign.lance"))
    with pytest.raises(DataError, match="not one that"):
        Table(tmp_path / "foreign.lance")
    lance.dataset(str(table.path)).update_metadata({META: '{"format": 99}'})
    with pytest.raises(DataError, match="later chiasm"):
        Table(table.path)
