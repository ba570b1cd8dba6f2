"""Fixtures that every room's tests share."""

from __future__ import annotations

import multiprocessing
import os
import sys
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from multiprocessing import forkserver as forkserver_module
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

# Before anything imports a hub client: tests never ask the network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A process a core runs tests (Makefile): each counts with one thread, and so do the processes that it starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent


def data_root() -> Path:
    """Where larger real data sets lie, if at all: $CHIASM_TEST_DATA, or shared/data beside the checkout."""
    return Path(os.environ.get("CHIASM_TEST_DATA") or ROOT.parent / "shared" / "data")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a run of several processes, the files with slow tests first: at the end one process would be left alone with them."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """A run trains with as many threads as it is told, or as there are cores; the next test begins with one again."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """`shared_data("tuxpaint")` is that folder of real data; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        path = data_root() / name
        if not path.exists():
            pytest.skip(f"no {name} data here (set CHIASM_TEST_DATA to the folder that holds it)")
        return path

    return find


@pytest.fixture(scope="session")
def forkserver() -> ForkServerContext:
    """Starts processes that have the costly imports behind them, for tests that kill many: each is a fork of one server, which has run
    nothing but tests/warm.py. What they run must be importable by name from another module than the test's own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["warm"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONPATH", str(ROOT / "tests"), prepend=os.pathsep
        )  # the server finds what it preloads by the environment
        forkserver_module.ensure_running()
    return context


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
