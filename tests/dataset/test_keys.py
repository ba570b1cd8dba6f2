"""Keys of rows and columns of shards: as many as asked for, and no more of them in memory."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from chiasm.dataset.keys import ChangedKeys, ChosenKeys, ShardKeys
from chiasm.dataset.measure import MEASURES
from chiasm.dataset.schema import to_arrow
from chiasm.dataset.shards import CONTENTS, MEASURED, READ, Shard, write_shard
from chiasm.dataset.sheet import ShardSheet
from chiasm.dataset.split import Key
from chiasm.types import Media, Record

BYTES = 100_000


def written(folder: Path, sizes: Sequence[int]) -> tuple[list[Path], list[Key]]:
    """Shards of so many rows with a large picture each, and their keys."""
    draw = random.Random(0)
    paths: list[Path] = []
    keys: list[Key] = []
    for number, size in enumerate(sizes):
        some = [
            Key(
                f"r{len(keys) + n}",
                draw.choice([None, "g"]),
                draw.choice([None, "test"]),
                tuple(f"bytes:{m}" for m in range(n % 3)),
            )
            for n in range(size)
        ]
        keys += some
        records = [Record(k.id, image=(Media(data=bytes(BYTES)),), group=k.group, split=k.split) for k in some]
        columns = [
            *to_arrow(records).columns,
            pa.array([list(key.contents) for key in some], READ.field(CONTENTS).type),
            pa.array([{"image_width": int(key.id[1:])} for key in some], READ.field(MEASURED).type),
        ]
        paths.append(folder / f"{number}.arrow")
        write_shard(paths[-1], pa.RecordBatch.from_arrays(columns, schema=READ), (), given=size)
    return paths, keys


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Key]]:
    return written(tmp_path_factory.mktemp("shards"), [5, 0, 7, 1])


def test_keys_are_those_that_were_written(shards: tuple[list[Path], list[Key]]) -> None:
    paths, keys = shards
    found = ShardKeys([Shard(path) for path in paths], [0, 5, 5, 12, 13])
    assert len(found) == 13
    assert list(found) == keys
    assert [found[place] for place in (12, 5, 4, 0, -1)] == [keys[place] for place in (12, 5, 4, 0, -1)]
    assert found[3:9:2] == keys[3:9:2]
    with pytest.raises(IndexError, match="key 13 of 13"):
        found[13]


def test_changed_and_chosen_keys_are_seen_alike_one_by_one_and_in_a_row(shards: tuple[list[Path], list[Key]]) -> None:
    _, keys = shards
    changed = ChangedKeys(keys)
    changed.change(4, replace(keys[4], group="other"))
    changed.change_all(lambda key: key if key.group != "g" else replace(key, group="h"))
    expected = [replace(key, group={"g": "h"}.get(key.group or "", key.group)) for key in keys]
    expected[4] = replace(keys[4], group="other")
    assert list(changed) == [changed[place] for place in range(13)] == expected
    alive = np.arange(13) % 3 > 0
    chosen = ChosenKeys(changed, alive)
    there = [key for key, is_there in zip(expected, alive, strict=True) if is_there]
    alive[:] = False  # what is chosen stays chosen
    assert list(chosen) == [chosen[place] for place in range(len(chosen))] == there


def test_a_sheet_holds_neither_media_nor_keys_nor_measures_in_memory(shards: tuple[list[Path], list[Key]]) -> None:
    paths, keys = shards
    before = pa.total_allocated_bytes()
    sheet = ShardSheet(paths, None)
    assert list(sheet.keys) == keys
    sheet.decisions.alive[3] = False
    assert [key.id for key in sheet.keys] == [key.id for key in keys if key.id != "r3"]
    assert sheet.measures.column("image_width").to_pylist() == [n for n in range(13) if n != 3]
    assert sheet.measures.schema == MEASURES
    batches = [Shard(path).rows(["id", CONTENTS]) for path in paths]
    assert [batch.schema.names for batch in batches] == [["id", CONTENTS]] * len(paths)
    assert pa.total_allocated_bytes() - before < BYTES  # of 13 such pictures
