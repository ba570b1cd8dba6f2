"""What steps decide reaches the table, the ledger and the split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import lance
import numpy as np
import pytest
from dataset_cases import ListSource, picture, record

from chiasm.config import BuildConfig
from chiasm.dataset import shards
from chiasm.dataset.build import BuildResult, build
from chiasm.dataset.decisions import Decisions
from chiasm.dataset.split import Key
from chiasm.dataset.step import Outcome, Sheet
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError
from chiasm.types import Box, Label, Media, Record, Rejected, Relation, Text

Build = Callable[..., BuildResult]


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """`built(records, align=…, reduce=…)`: a build whose steps of these names say what the functions return for the sheet."""

    def run(
        records: list[Record], config: BuildConfig | None = None, **steps: Callable[[Sheet], Outcome]
    ) -> BuildResult:
        monkeypatch.setattr(shards, "CHUNK_ROWS", 4)  # several shards
        modules = {"augment": "augmenting"}
        for name, step in steps.items():

            def said(
                sheet: Sheet, config: BuildConfig, step: Callable[[Sheet], Outcome] = step, **_: object
            ) -> Outcome:
                return step(sheet)

            monkeypatch.setattr(f"chiasm.dataset.{modules.get(name, name)}.run", said)
        return build(ListSource(records), tmp_path / "d.lance", config, overwrite=True)

    return run


def gone(sheet: Sheet, *rows: int) -> dict[int, Rejected]:
    ids = [key.id for key in sheet.keys]
    return {row: Rejected(ids[row], "record", "boring", "it was") for row in rows}


def test_what_is_removed_is_in_the_ledger(built: Build) -> None:
    seen: list[list[int]] = []

    def later(sheet: Sheet) -> Outcome:
        seen.append(sheet.rows.tolist())
        assert len(sheet.keys) == sheet.measures.num_rows == 8
        assert [row for row, _ in sheet.records([0, 3, 9], ["texts"])] == [0, 3, 9]
        return Outcome()

    records = [record(number) for number in range(10)]
    result = built(records, extract=lambda sheet: Outcome(removed=gone(sheet, 2, 5)), reduce=later)
    assert (result.given, result.accepted, result.rejected) == (10, 8, 2)
    assert seen == [[0, 1, 3, 4, 6, 7, 8, 9]]
    assert [json.loads(line)["id"] for line in result.ledger.read_text().splitlines()] == ["r2", "r5"]
    assert [found.id for found in Table(result.path).records()] == [f"r{row}" for row in seen[0]]
    step = next(report for report in result.steps if report.step == "extract")
    assert (step.given, step.kept, step.reasons) == (10, 8, {"boring": 2})
    assert Table(result.path).metadata["steps"][0]["step"] == "extract"


def test_what_is_merged_lives_on(built: Build) -> None:
    records = [
        *(record(number) for number in range(6)),
        Record(
            "words", texts=(Text("a late caption"), Text("text 1", "en")), labels=(Label("kind", "late"),), group="g"
        ),
        Record("more words", texts=(Text("the last caption"),)),
        Record("bare", texts=(Text("of the same group"),), group="g"),
    ]
    picture_last = [
        Record("said", texts=(Text("a caption"),)),
        Record("seen", image=(Media(data=picture(9)),), boxes=(Box(0, 0, 1, 1, "x"),)),
    ]

    def align(sheet: Sheet) -> Outcome:
        return Outcome(merged={7: 6, 6: 1, 10: 9}, labels={6: (Label("made", "up"),)})

    result = built([*records, *picture_last], align=align)
    assert (result.given, result.accepted, result.rejected) == (11, 8, 3)
    assert result.reasons == {"aligned": 3}
    found = {row.id: row for row in Table(result.path).records()}
    assert [text.text for text in found["r1"].texts] == ["text 1", "Text 1", "a late caption", "the last caption"]
    assert found["r1"].labels == (Label("kind", "late"), Label("made", "up"))
    assert found["r1"].image == records[1].image
    assert found["r1"].group == found["bare"].group == "g"
    assert found["said"].boxes == (Box(0, 0, 1, 1, "x"),)
    assert found["said"].image[0].data == picture(9)


def test_what_is_added_to_records_and_beside_them(built: Build) -> None:
    def extract(sheet: Sheet) -> Outcome:
        return Outcome(
            labels={0: (Label("kind", "a"),), 5: (Label("kind", "b"), Label("kind", "b"))},
            relations={5: (Relation("a", "on", "b"),)},
            boxes={5: (Box(0, 0, 0.5, 1, "x"),)},
            texts={1: (Text("more"),)},
        )

    def label(sheet: Sheet) -> Outcome:
        return Outcome(removed=gone(sheet, 3), replaced_labels={0: (Label("kind", "c"),)})

    def reduce(sheet: Sheet) -> Outcome:
        rows = sheet.rows.astype(np.float32)
        return Outcome(columns={"small": np.stack([rows, -rows], 1), "score": rows / 2})

    result = built([record(number) for number in range(9)], extract=extract, label=label, reduce=reduce)
    found = {row.id: row for row in Table(result.path).records()}
    assert found["r0"].labels == (Label("kind", "c"),)
    assert found["r5"].labels == (Label("kind", "b"),)
    assert found["r5"].relations == (Relation("a", "on", "b"),)
    assert found["r5"].boxes == (Box(0, 0, 0.5, 1, "x"),)
    assert found["r1"].texts[-1] == Text("more")
    assert found["r4"].texts == record(4).texts
    table = lance.dataset(str(result.path)).to_table(columns=["id", "small", "score"]).to_pylist()
    assert {row["id"]: (row["small"], row["score"]) for row in table} == {
        f"r{row}": ([row, -row], row / 2) for row in (0, 1, 2, 4, 5, 6, 7, 8)
    }


def test_added_rows_are_counted_apart(built: Build) -> None:
    def augment(sheet: Sheet) -> Outcome:
        train = [(row, found) for row, found in sheet.records() if found.split == "train"]
        return Outcome(added=((row, Record(f"{found.id}~1", texts=found.texts)) for row, found in train))

    result = built([record(number) for number in range(10)], BuildConfig(test=0.3, validation=0), augment=augment)
    assert (result.given, result.accepted, result.rejected, result.added) == (10, 10, 0, 7)
    assert result.splits == {"train": 14, "test": 3}
    table = Table(result.path)
    assert len(table) == 17
    assert table.metadata["added"] == 7
    groups = {found.id: (found.group, found.split) for found in table.records()}
    assert all(found == groups[name.removesuffix("~1")] for name, found in groups.items())


def test_tied_rows_share_a_split(built: Build) -> None:
    pairs = [(number, number + 20) for number in range(20)]
    records = [record(number) for number in range(40)]
    result = built(records, BuildConfig(test=0.4, validation=0.1), extract=lambda sheet: Outcome(tied=pairs))
    found = Table(result.path).records(columns=["id", "group", "split"])
    assert len({row.split for row in found}) == 3
    for a, b in pairs:
        assert (found[a].split, found[a].group) == (found[b].split, found[b].group)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(removed={1: Rejected("b", "record", "x", "x")}),
        Outcome(merged={0: 1}),
        Outcome(merged={0: 2, 2: 0}),
        Outcome(merged={0: 0}),
        Outcome(labels={7: (Label("a", "b"),)}),
        Outcome(columns={"v": np.zeros((3, 2), np.float32)}),
        Outcome(merged={0: 2}, removed={0: Rejected("a", "record", "x", "x")}),
    ],
)
def test_a_step_that_contradicts_itself(outcome: Outcome) -> None:
    decisions = Decisions([Key("a"), Key("b"), Key("c")], np.zeros(3, np.int64))
    decisions.apply("clean", Outcome(removed={1: Rejected("b", "record", "boring", "it was")}))
    with pytest.raises(ValueError, match="the step dedup"):
        decisions.apply("dedup", outcome)


def test_two_steps_that_write_one_column() -> None:
    decisions = Decisions([Key("a"), Key("b")], np.zeros(2, np.int64))
    decisions.apply("label", Outcome(columns={"kind_confidence": np.zeros(2, np.float32)}))
    with pytest.raises(ConfigError, match="the steps label and reduce both write a column 'kind_confidence'"):
        decisions.apply("reduce", Outcome(columns={"kind_confidence": np.zeros((2, 2), np.float32)}))


def test_many_rows_join_one_and_long_chains_of_groups() -> None:
    count = 3000
    keys = [Key(str(row), f"g{count - row:05}", None, (f"c{row}",)) for row in range(count)]
    decisions = Decisions(keys, np.zeros(count, np.int64))
    decisions.apply("align", Outcome(merged={row: row - 1 for row in range(1, count)}))
    assert decisions.joined == {0: list(range(1, count))}
    assert decisions.keys[0] == Key("0", "g00001", None, tuple(f"c{row}" for row in range(count)))
