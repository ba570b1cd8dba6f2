"""Tables on S3-compatible storage, against moto's server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dataset_cases import ListSource, picture, record

from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.dataset.place import is_remote, place_of, plain
from chiasm.dataset.publish import read_ledger
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, DataError
from chiasm.types import Rejected


def names(bucket: str) -> set[str]:
    import boto3

    store = boto3.client("s3")
    found = {item["Key"] for item in store.list_objects_v2(Bucket=bucket.removeprefix("s3://")).get("Contents", [])}
    store.close()
    return found


def test_a_table_on_s3(bucket: str, tmp_path: Path) -> None:
    out = Path(f"{bucket}/sets/d.lance")
    records = [record(number) for number in range(30)]
    here = build(ListSource(records), tmp_path / "d.lance")
    result = build(ListSource(records), out)
    assert plain(result.path) == f"{bucket}/sets/d.lance"
    for way in (f"{bucket}/sets/d.lance", out):
        assert Table(way).records() == Table(here.path).records()
    table = Table(out)
    assert table.metadata["splits"] == dict(here.splits)
    assert Table(table.path).read(table.records([3])[0].image[0]) == picture(3)
    assert "sets/d.rejects.jsonl" in names(bucket)
    assert not list((tmp_path / "cache" / "builds").iterdir())
    table.set_vectors("v", ["r1", "r2"], np.eye(2, dtype=np.float32))
    assert "v" in Table(out).column_names
    table.lance().create_scalar_index("id", "BTREE")
    assert Table(out).rows("id = 'r7'").tolist() == [7]
    assert table.root is None


def test_an_older_one_is_kept_unless_told(bucket: str) -> None:
    out = Path(f"{bucket}/d.lance")
    with pytest.raises(DataError):
        Table(out)
    build(ListSource([record(1)]), out)
    with pytest.raises(DataError, match=r"s3://bucket/d\.lance exists; give --overwrite"):
        build(ListSource([record(2)]), out)

    class Failing(ListSource):
        def records(self) -> Iterator[object]:  # pyright: ignore[reportIncompatibleMethodOverride]
            yield record(2)
            raise DataError("line 2: the disk is gone")

    with pytest.raises(DataError, match="line 2"):
        build(Failing([]), out, overwrite=True)
    assert Table(out).records(columns=["id"])[0].id == "r1"
    build(ListSource([record(2)]), out, overwrite=True)
    assert [found.id for found in Table(out).records(columns=["id"])] == ["r2"]


def test_from_one_place_to_another(bucket: str, tmp_path: Path) -> None:
    first = build(ListSource([record(number) for number in range(20)]), tmp_path / "a.lance")
    build(str(first.path), Path(f"{bucket}/b.lance"), BuildConfig(steps=("split",)))
    back = build(f"{bucket}/b.lance", tmp_path / "c.lance", BuildConfig(steps=()))
    assert Table(back.path).records() == Table(first.path).records() == Table(f"{bucket}/b.lance").records()
    with pytest.raises(ConfigError, match="from itself"):
        build(f"{bucket}/b.lance", Path(f"{bucket}/b.lance"), overwrite=True)


def test_addresses_travel_as_paths() -> None:
    assert plain(Path("s3://bucket/a/b.lance")) == "s3://bucket/a/b.lance" == plain("s3://bucket/a/b.lance")
    assert is_remote(Path("s3://bucket/a"))
    for local in ("s3", "s3/bucket", "C:/x", "/s3:/x", "data/s3:/x"):
        assert not is_remote(local)
        assert plain(local) == local


def test_a_build_killed_while_it_is_published_is_done_again(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Path(f"{bucket}/d.lance")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for where in ("chiasm.dataset.publish.publish_ledger", "chiasm.dataset.build.write_table"):
        with monkeypatch.context() as patched:
            patched.setattr(where, killed)
            with pytest.raises(KeyboardInterrupt):
                build(ListSource([record(1)]), out)
    result = build(ListSource([record(1)]), out)
    assert result.accepted == len(Table(out)) == 1
    assert "d.rejects.jsonl" in names(bucket)


def test_an_address_stays_an_address_in_what_is_said(bucket: str) -> None:
    with pytest.raises(DataError, match=rf"^{bucket}/none\.lance: no such table"):
        Table(f"{bucket}/none.lance")
    out = Path(f"{bucket}/d.lance")
    build(ListSource([record(number) for number in range(4)]), out)
    table = Table(out)
    assert str(table.path) == f"{bucket}/d.lance" == plain(table.path)
    with pytest.raises(DataError, match=rf"^{bucket}/d\.lance: row 9"):
        table.records([9])
    with pytest.raises(DataError, match=rf"^{bucket}/d\.lance has no column"):
        table.columns(["nothing"])
    assert str(place_of("d.lance")) == "d.lance"
    assert str(place_of(f"{bucket}/a/b.lance").parent) == f"{bucket}/a"


def test_the_ledger_of_a_remote_table_is_read(bucket: str) -> None:
    out = Path(f"{bucket}/d.lance")
    assert read_ledger(out, 1_000) is None
    build(ListSource([record(1), Rejected("r2", "record", "empty", "nothing in it")]), out)
    assert '"nothing in it"' in (read_ledger(out, 1_000) or "")
    assert read_ledger(out, 10) is None
