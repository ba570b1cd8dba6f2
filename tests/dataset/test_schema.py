"""Records survive the way to Arrow and back."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from chiasm.dataset.schema import SCHEMA, from_arrow, to_arrow
from chiasm.types import Box, Label, Media, Question, Record, Relation, Text

FULL = Record(
    id="full",
    texts=(Text("a", "en", "name"), Text("b")),
    image=(Media(data=b"\x00\xff", by="artist", kind="picture"), Media(path="a/b.png")),
    audio=(Media(data=b"w", language="en", by="voice", text="a"),),
    video=(Media(path="v.mp4"),),
    labels=(Label("colour", "red"), Label("shape", "round")),
    boxes=(Box(0.0, 0.25, 0.5, 1.0, "cat"),),
    mask=Media(data=b"m", kind="silhouettes"),
    questions=(Question("what?", ("cat", "a cat"), "en"), Question("where?", ())),
    relations=(Relation("cat", "on", "mat"),),
    group="g",
    split="train",
    source="s",
    licence="CC0",
)
EMPTY = Record(id="empty")


def test_round_trip() -> None:
    records = [EMPTY, FULL, EMPTY, replace(FULL, id="again", texts=())]
    batch = to_arrow(records)
    assert batch.schema == SCHEMA
    assert from_arrow(batch) == records
    assert from_arrow(pa.Table.from_batches([batch, batch.slice(1, 2)])) == records + records[1:3]
    assert from_arrow(batch.slice(1, 2)) == records[1:3]
    assert from_arrow(to_arrow([])) == []


def test_columns_left_out_come_back_empty() -> None:
    batch = to_arrow([FULL]).select(["id", "labels"])
    assert from_arrow(batch) == [Record(id="full", labels=FULL.labels)]


def test_a_table_without_masks_has_none() -> None:
    older = to_arrow([FULL, EMPTY]).drop_columns(["mask"])
    assert from_arrow(older) == [replace(FULL, mask=None), EMPTY]


def test_null_lists_are_empty() -> None:
    batch = pa.RecordBatch.from_arrays(
        [pa.array(["a", "b"]), pa.array([None, [{"name": "n", "value": "v"}]], SCHEMA.field("labels").type)],
        ["id", "labels"],
    )
    assert [found.labels for found in from_arrow(batch)] == [(), (Label("n", "v"),)]
