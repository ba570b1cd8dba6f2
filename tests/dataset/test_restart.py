"""A build that is killed goes on from what was finished, and ends with the table that nothing disturbed."""

from __future__ import annotations

import json
import random
import time
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest
from dataset_cases import ListSource, build_small_shards, picture, record

from chiasm.config import BuildConfig
from chiasm.dataset import shards
from chiasm.dataset.build import build
from chiasm.dataset.work import Work, fingerprint
from chiasm.errors import ConfigError, DataError, MachineError


def folder(path: Path, count: int) -> Path:
    """Pairs of a picture and a text; every tenth picture is broken."""
    path.mkdir()
    for number in range(count):
        data = picture(number)
        (path / f"{number}.png").write_bytes(data[:40] if number % 10 == 0 else data)
        (path / f"{number}.txt").write_text(f"this is picture number {number}")
    return path


def everything(out: Path) -> tuple[pa.Table, str]:
    """All columns of the table in its order, and its ledger."""
    return lance.dataset(str(out)).to_table(), out.with_name("d.rejects.jsonl").read_text()


@pytest.mark.slow
def test_killed_at_20_random_moments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forkserver: ForkServerContext
) -> None:
    monkeypatch.setattr(shards, "CHUNK_ROWS", 8)
    source, out = folder(tmp_path / "pairs", 64), tmp_path / "out" / "d.lance"
    build(str(source), out)
    expected = everything(out)

    def start() -> BaseProcess:
        begun, begins = forkserver.Pipe(duplex=False)
        process = forkserver.Process(target=build_small_shards, args=(str(source), out, begins))
        process.start()
        begins.close()
        begun.recv()
        begun.close()
        return process

    process = start()
    began = time.monotonic()
    process.join()
    full = time.monotonic() - began
    assert process.exitcode == 0
    rng, resumed = random.Random(0), 0
    for _ in range(20):
        process = start()
        time.sleep(full * rng.random())
        process.kill()
        process.join()
        finished = len(list((tmp_path / "out" / ".d.lance.work" / "read").glob("*.arrow")))
        again = build(str(source), out, overwrite=True)
        assert again.resumed == finished
        resumed += finished > 0
        assert everything(out) == expected
        assert sorted(left.name for left in (tmp_path / "out").iterdir()) == ["d.lance", "d.rejects.jsonl"]
    assert resumed > 0


def interrupted(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
    """A build that ends as the table is to be written."""

    def fails(*_: object) -> None:
        raise MachineError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("chiasm.dataset.build.write_table", fails)
        with pytest.raises(MachineError):
            build(str(source), out, BuildConfig.model_validate(settings))


def test_finished_shards_are_kept_while_source_and_settings_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "CHUNK_ROWS", 8)
    source, out = folder(tmp_path / "pairs", 40), tmp_path / "d.lance"
    work = tmp_path / ".d.lance.work"
    interrupted(source, out, monkeypatch)
    assert not out.exists()
    # How rows are split says nothing about how they are read.
    result = build(str(source), out, BuildConfig(test=0.3, workers=1))
    assert result.resumed == result.shards == 5
    assert not work.exists()
    out.rename(tmp_path / "first.lance")
    interrupted(source, out, monkeypatch)
    assert build(str(source), out, BuildConfig(limit=20)).resumed == 0
    for left in ("d.lance", "first.lance"):
        (tmp_path / left).rename(tmp_path / f"kept-{left}")
    interrupted(source, out, monkeypatch)
    (source / "7.txt").write_text("another text than before")
    assert build(str(source), out).resumed == 0


def test_a_half_written_shard_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "CHUNK_ROWS", 8)
    source, out = folder(tmp_path / "pairs", 40), tmp_path / "d.lance"
    build(str(source), out)
    expected = everything(out)
    interrupted(source, tmp_path / "e.lance", monkeypatch)
    read = tmp_path / ".e.lance.work" / "read" / "000002.arrow"
    read.write_bytes(read.read_bytes()[:-100])
    # Its given shard is gone as well: the source says again what was in it.
    result = build(str(source), tmp_path / "e.lance")
    assert result.resumed == 4
    assert lance.dataset(str(result.path)).to_table() == expected[0]


def test_a_source_of_its_own_keeps_nothing_unless_it_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Known(ListSource):
        def fingerprint(self) -> str:
            return "two records"

    def fails(*_: object) -> None:
        raise MachineError("the disk is full")

    for source, resumed in ((ListSource([record(1), record(2)]), 0), (Known([record(1), record(2)]), 1)):
        with monkeypatch.context() as patch, pytest.raises(MachineError):
            patch.setattr("chiasm.dataset.build.publish", fails)
            build(source, tmp_path / "d.lance", overwrite=True)
        assert (tmp_path / ".d.lance.work").exists() == bool(resumed)
        assert build(source, tmp_path / "d.lance", overwrite=True).resumed == resumed


def test_what_was_not_measured_is_not_gone_on_from_by_steps_that_measure(tmp_path: Path) -> None:
    source = ListSource([record(1)])

    def read(**settings: Any) -> str | None:
        return fingerprint("emoji", source, BuildConfig.model_validate(settings), tmp_path / "d.lance")

    assert read() == read(label={"manual": "x"}) != read(dedup={"near": "remove"}) == read(clean={"pixels": 100})


def test_one_build_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "d.lance"
    work = Work(out, None)
    with pytest.raises(ConfigError, match="another process builds this table"):
        build(ListSource([record(1)]), out)
    work.close(keep=False)
    assert build(ListSource([record(1)]), out).accepted == 1


def test_killed_between_the_two_renames_of_a_publication(tmp_path: Path) -> None:
    out = tmp_path / "d.lance"
    build(ListSource([record(1)]), out)
    work = Work(out, "of another source")
    out.rename(work.old)
    work.close(keep=True)
    with pytest.raises(DataError, match="--overwrite"):
        build(ListSource([record(2)]), out)
    assert lance.dataset(str(out)).count_rows() == 1
    assert json.loads((tmp_path / "d.rejects.jsonl").read_text() or "[]") == []


def test_media_beside_the_source_end_a_shard_where_they_are_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "pairs", 12)
    monkeypatch.setattr(shards, "CHUNK_BYTES", 3 * next(source.glob("*.png")).stat().st_size)
    assert build(str(source), tmp_path / "d.lance").shards > 2
    assert build(str(source), tmp_path / "e.lance", BuildConfig(embed_media=False)).shards == 1
