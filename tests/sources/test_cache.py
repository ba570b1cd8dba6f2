"""A cache file is whole, of the right names, and undamaged, or it is not used."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiasm.errors import MachineError
from chiasm.sources.cache import cache_folder, load_blobs, store_blobs

NAMES, BLOBS = ["a", "b", "c"], [b"one" * 100, b"", b"three"]


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "set.arrow"
    assert load_blobs(path, NAMES) is None
    store_blobs(path, NAMES, BLOBS)
    found = load_blobs(path, NAMES)
    assert found is not None
    assert dict(found) == dict(zip(NAMES, BLOBS, strict=True))
    assert [file.name for file in path.parent.iterdir()] == ["set.arrow"]
    assert load_blobs(path, ["a", "b"]) is None


def test_damage_anywhere_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "set.arrow"
    store_blobs(path, NAMES, BLOBS)
    whole = path.read_bytes()
    for cut in range(0, len(whole), max(1, len(whole) // 64)):
        path.write_bytes(whole[:cut])
        assert load_blobs(path, NAMES) is None
    start = whole.index(b"oneone")
    path.write_bytes(whole[:start] + b"X" + whole[start + 1 :])
    assert load_blobs(path, NAMES) is None


def test_an_unwritable_cache_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MachineError, match="CHIASM_CACHE"):
        store_blobs(tmp_path / "file" / "set.arrow", NAMES, BLOBS)


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.delenv("CHIASM_CACHE", raising=False)
    assert cache_folder() == Path("/x/chiasm")
    monkeypatch.setenv("CHIASM_CACHE", "/own")
    assert cache_folder() == Path("/own")
