"""Bytes of media: bounded before they are read, and never from outside of the root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chiasm.errors import MediaError
from chiasm.modalities.media import read_bytes
from chiasm.types import Media


def reason(media: Media, root: Path | None = None, limit: int = 1000) -> str:
    with pytest.raises(MediaError) as caught:
        read_bytes(media, root, limit)
    return caught.value.reason


def test_reads_bytes_and_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    assert read_bytes(Media(data=b"two")) == b"two"
    assert read_bytes(Media(path="a"), tmp_path) == b"one"
    assert read_bytes(Media(path=str(tmp_path / "a"))) == b"one"


def test_refuses_what_is_missing_empty_or_too_large(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "large").write_bytes(b"x" * 1001)
    assert reason(Media()) == "missing"
    assert reason(Media(path="none"), tmp_path) == "missing"
    assert reason(Media(path="a\0b"), tmp_path) == "missing"
    assert reason(Media(path="empty"), tmp_path) == "empty"
    assert reason(Media(data=b"")) == "empty"
    assert reason(Media(path="large"), tmp_path) == "too_large"
    assert reason(Media(data=b"x" * 1001)) == "too_large"


def test_a_sparse_file_of_a_terabyte_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    assert reason(Media(path="huge"), tmp_path) == "too_large"


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "link", "folder/../../secret"])
def test_stays_inside_the_root(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "secret")
    assert reason(Media(path=path), root) == "outside"


def test_opens_no_folder_pipe_or_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert reason(Media(path="pipe"), tmp_path) == "not_a_file"
    assert reason(Media(path="folder"), tmp_path) == "not_a_file"
    assert reason(Media(path="/dev/zero")) == "not_a_file"
