"""The step split: in proportion, whole groups, tied pairs together; a source's leaking splits are kept, repaired or left aside."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from chiasm.config import BuildConfig, load_config
from chiasm.dataset.split import Key, assign, check_splits
from chiasm.dataset.splitting import meant_split, run, strata_of
from chiasm.dataset.stratify import stratified
from chiasm.errors import ConfigError
from chiasm.types import Label, Record, Text


class Rows:
    """A sheet of the records that it is given."""

    root = None

    def __init__(self, records: Sequence[Record], first: int = 0) -> None:
        self.kept = list(records)
        self.rows = np.arange(first, first + len(records), dtype=np.int64)
        self.keys = [Key(r.id, r.group, r.split) for r in records]
        self.measures = pa.table({})

    def records(
        self, rows: Sequence[int] | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[int, Record]]:
        yield from zip(self.rows.tolist(), self.kept, strict=True)


def population(count: int = 2000, seed: int = 0) -> list[Record]:
    rng = random.Random(seed)
    kinds = ["plant"] * 80 + ["animal"] * 17 + ["mineral"] * 3
    return [
        Record(
            f"r{n}",
            texts=(Text("x", rng.choice(["en", "en", "en", "de", "sw"])),),
            labels=(Label("kind", rng.choice(kinds)),),
            group=f"g{rng.randrange(count // 2)}",
            source=rng.choice(["a", "b"]),
        )
        for n in range(count)
    ]


def configured(**split: Any) -> BuildConfig:
    return load_config(BuildConfig, base={"split": split, "validation": 0.05, "test": 0.1})


def test_every_stratum_has_its_share_and_no_group_straddles() -> None:
    records = population()
    found = run(Rows(records), configured(stratify=["kind", "language", "source"]))
    assert found.facts["leaks"] == []
    by_group: dict[str, set[str]] = defaultdict(set)
    for record, split in zip(records, found.splits.values(), strict=True):
        by_group[record.group or ""].add(split)
    assert all(len(splits) == 1 for splits in by_group.values())
    for value, splits in found.facts["strata"].items():
        total = sum(splits.values())
        for split, share in (("test", 0.1), ("validation", 0.05)):
            assert abs(splits.get(split, 0) - share * total) <= max(2, 0.02 * total), (value, splits)


def test_it_is_nearer_to_the_shares_than_drawing_at_random() -> None:
    records = population(600, 3)
    rare = {r.id for r in records if r.labels[0].value == "mineral"}

    def off(outcome: Any) -> float:
        held = Counter(s for r, s in zip(records, outcome.splits.values(), strict=True) if r.id in rare)
        return abs(held["test"] - 0.1 * len(rare)) + abs(held["validation"] - 0.05 * len(rare))

    plain = [off(run(Rows(records), configured().model_copy(update={"seed": seed}))) for seed in range(8)]
    even = [off(run(Rows(records), configured(stratify="kind").model_copy(update={"seed": seed}))) for seed in range(8)]
    assert max(even) <= 2
    assert np.mean(even) < 0.6 * np.mean(plain)


def test_the_order_of_the_rows_changes_nothing() -> None:
    records = population(400)
    first = run(Rows(records), configured(stratify="kind"))
    mixed = list(records)
    random.Random(5).shuffle(mixed)
    moved = run(Rows(mixed), configured(stratify="kind"))
    by_id = {record.id: split for record, split in zip(mixed, moved.splits.values(), strict=True)}
    assert [by_id[record.id] for record in records] == list(first.splits.values())


def test_a_group_larger_than_a_split_is_not_held_out() -> None:
    groups = [(list(range(50)), "large"), *(([50 + n], f"g{n}") for n in range(50))]
    found = stratified(groups, [["x"]] * 100, {"test": 0.2}, "train")
    assert found["large"] == "train"
    assert Counter(found.values())["test"] == 20


def test_tied_rows_stay_together_by_row_number() -> None:
    records = [Record(f"r{n}") for n in range(200)]
    tied = [(1000 + a, 1000 + a + 100) for a in range(100)]
    found = run(Rows(records, first=1000), configured(), tied=tied)
    assert all(found.splits[a] == found.splits[b] for a, b in tied)
    assert found.facts["leaks"] == [] and found.facts["groups"] == 100
    assert len(set(found.splits.values())) == 3
    # What the check is worth: splits that part a pair are told.
    keys = [Key("a"), Key("b")]
    assert check_splits(keys, ["train", "test"], rule="groups", tied=[(0, 1)])
    assert check_splits(keys, ["train", "test"], rule="forms", tied=[(0, 1)])


def test_leaking_splits_of_a_source() -> None:
    records = [Record(f"r{n}", group=f"g{n // 2}", split="train" if n % 7 else "test") for n in range(140)]
    kept = run(Rows(records), configured())
    assert kept.facts["leaks_total"] == 20 and len(kept.facts["leaks"]) == 20
    repaired = run(Rows(records), configured(prescribed="repair"))
    assert repaired.facts["leaks"] == []
    assert set(repaired.splits.values()) == {"train"}  # every test row had a twin in train
    anew = run(Rows(records), configured(prescribed="ignore"))
    assert anew.facts["leaks"] == [] and Counter(anew.splits.values())["test"] == 14


def test_shares_by_name() -> None:
    records = [Record(f"r{n}") for n in range(1000)]
    found = run(Rows(records), configured(shares={"test": 0.1, "calibration": 0.3}))
    assert Counter(found.splits.values()) == {"train": 600, "test": 100, "calibration": 300}
    even = run(Rows(population(1000)), configured(shares={"calibration": 0.3}, stratify="kind"))
    assert abs(Counter(even.splits.values())["calibration"] - 300) <= 3


def test_defaults_are_what_they_were() -> None:
    records = population(500)
    keys = [Key(r.id, r.group, r.split) for r in records]
    for rule in ("groups", "forms"):
        plain = assign(keys, rule=rule, validation=0.05, test=0.1, seed=0)
        assert tuple(run(Rows(records), configured(), rule=rule).splits.values()) == plain.splits


def test_misuse() -> None:
    with pytest.raises(ConfigError, match="no record has 'kimd'"):
        run(Rows(population(20)), configured(stratify="kimd"))
    with pytest.raises(ConfigError, match="rule=groups"):
        run(Rows(population(20)), configured(stratify="kind"), rule="forms")
    with pytest.raises(ConfigError, match="keep them below 1"):
        configured(shares={"test": 0.6, "validation": 0.4})
    assert strata_of(Record("a"), ["source", "language", "kind"]) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("tset", "test"),
        ("trian", "train"),
        ("validaton", "validation"),
        ("vla", "val"),
        ("tests", "test"),
        *((name, None) for name in ("train", "validation", "test", "variation", "concept", "extra", "test2", "testa", "unseen", "")),
    ],
)  # fmt: skip
def test_names_of_splits_that_look_misprinted(name: str, meant: str | None) -> None:
    assert meant_split(name) == meant
