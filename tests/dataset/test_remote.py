"""Tables on S3-compatible storage, against moto's server."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from dataset_cases import ListSource, picture, record

from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.dataset.place import is_remote, plain
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, DataError

pytestmark = pytest.mark.skipif(find_spec("moto") is None or find_spec("flask") is None, reason="no moto server here")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "CHIASM_CACHE": str(tmp_path / "cache"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    store = boto3.client("s3")
    store.create_bucket(Bucket="bucket")
    store.close()
    yield "s3://bucket"
    server.stop()


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
