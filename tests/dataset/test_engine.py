"""The same table from Daft's own threads and from Ray, whatever the number of workers."""

from __future__ import annotations

import errno
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import lance
import pytest
from dataset_cases import ListSource, picture, record

from chiasm.building import EngineConfig
from chiasm.config import BuildConfig
from chiasm.dataset import shards
from chiasm.dataset.build import build
from chiasm.errors import ConfigError, MachineError
from chiasm.types import Media, Record

BUILD = """
import sys
from pathlib import Path
from chiasm.building import EngineConfig
from chiasm.config import BuildConfig
from chiasm.dataset import shards
from chiasm.dataset.build import build
shards.CHUNK_ROWS = 8
source, out, runner, workers = sys.argv[1:]
build(source, Path(out), BuildConfig(workers=int(workers), test=0.2, engine=EngineConfig(runner=runner)))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="no ray here")
def test_ray_gives_the_same_table(tmp_path: Path) -> None:
    source = tmp_path / "pairs"
    source.mkdir()
    for number in range(60):
        data = picture(number % 50)
        (source / f"{number}.png").write_bytes(data[:40] if number % 7 == 0 else data)
        (source / f"{number}.txt").write_text(f"this is picture number {number}")
    tables = {}
    for runner, workers in (("embedded", 1), ("embedded", 2), ("ray", 1), ("ray", 2)):
        out = tmp_path / f"{runner}{workers}" / "d.lance"
        subprocess.run([sys.executable, "-c", BUILD, str(source), str(out), runner, str(workers)], check=True)
        ledger = out.with_name("d.rejects.jsonl").read_text()
        tables[runner, workers] = lance.dataset(str(out)).to_table(), ledger
    first = tables["embedded", 1]
    assert first[0].num_rows == 60
    assert all(found == first for found in tables.values())


def test_shards_do_not_change_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [record(number, group=f"g{number // 2}") for number in range(50)]
    items += [Record(f"broken{number}", image=(Media(data=picture(number)[:40]),)) for number in range(5)]
    found = []
    for rows in (512, 7, 1):
        monkeypatch.setattr(shards, "CHUNK_ROWS", rows)
        result = build(ListSource(items), tmp_path / f"{rows}.lance")
        found.append((lance.dataset(str(result.path)).to_table().combine_chunks(), result.ledger.read_text()))
        assert result.shards == -(-55 // rows)
    assert found[0] == found[1] == found[2]


def test_an_error_in_a_shard_ends_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MachineError("the disk is full")

    monkeypatch.setattr("chiasm.dataset.engine.write_shard", full)
    with pytest.raises(MachineError, match="the disk is full"):
        build(ListSource([record(1)]), tmp_path / "d.lance")
    assert list(tmp_path.iterdir()) == []

    def wrong(*_: object, **__: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("chiasm.dataset.engine.examine", wrong)
    # A bug stays one, and is no failure of the machine.
    with pytest.raises(RuntimeError, match="KeyError: 'a bug'") as caught:
        build(ListSource([record(1)]), tmp_path / "d.lance")
    assert "in wrong" in str(caught.value.__cause__)
    assert list(tmp_path.iterdir()) == []

    def gone(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "/disk/000000.arrow")

    monkeypatch.setattr("chiasm.dataset.engine.examine", gone)
    with pytest.raises(MachineError, match=r"^/disk/000000\.arrow: Input/output error; what is examined is kept"):
        build(ListSource([record(1)]), tmp_path / "d.lance")


@pytest.mark.parametrize("where", ["from_pydict", "func"])
def test_an_error_of_the_engine_says_what_to_do(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import daft
    from daft.exceptions import DaftCoreException

    build(ListSource([record(1)]), tmp_path / "first.lance")  # the runner is taken

    def lost(*_: object, **__: object) -> None:
        raise DaftCoreException("\nDaftError::External a worker died\nStack: many lines")

    monkeypatch.setattr(daft, where, lost)
    with pytest.raises(
        MachineError, match=r"^the engine \(Daft\) failed: DaftError::External a worker died: .*workers"
    ) as caught:
        build(ListSource([record(1)]), tmp_path / "d.lance")
    assert isinstance(caught.value.__cause__, DaftCoreException)
    assert "many lines" not in str(caught.value)


def test_one_engine_a_process(tmp_path: Path) -> None:
    build(ListSource([record(1)]), tmp_path / "d.lance")
    with pytest.raises(ConfigError, match="a process for each"):
        build(ListSource([record(1)]), tmp_path / "e.lance", BuildConfig(engine=EngineConfig(runner="ray")))


@pytest.mark.skipif(find_spec("ray") is None, reason="no ray here")
def test_a_cluster_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chiasm.dataset.engine._RUNNER", [])
    config = BuildConfig(engine=EngineConfig(runner="ray", address="127.0.0.1:1"))
    with pytest.raises(MachineError, match=r"127\.0\.0\.1:1"):
        build(ListSource([record(1)]), tmp_path / "d.lance", config)
