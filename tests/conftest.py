"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

# Before anything imports a hub client: tests never ask the network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


def data_root() -> Path:
    """Where larger real data sets lie, if at all: $CHIASM_TEST_DATA, or shared/data beside the checkout."""
    return Path(os.environ.get("CHIASM_TEST_DATA") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """`shared_data("tuxpaint")` is that folder of real data; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        path = data_root() / name
        if not path.exists():
            pytest.skip(f"no {name} data here (set CHIASM_TEST_DATA to the folder that holds it)")
        return path

    return find


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket of S3-compatible storage, moto's server; the test is skipped where it is absent."""
    if find_spec("moto") is None or find_spec("flask") is None:
        pytest.skip("no moto server here")
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # What one test leaves would lie in the next one's bucket: all servers of a process have the same store.
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
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
