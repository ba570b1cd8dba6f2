"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
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
