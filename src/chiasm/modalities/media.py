"""The bytes of a medium, bounded before they are read."""

from __future__ import annotations

import stat
from pathlib import Path

from chiasm.errors import MediaError
from chiasm.types import Media

MAX_BYTES = 256 * 2**20


def read_bytes(media: Media, root: Path | None = None, limit: int = MAX_BYTES) -> bytes:
    """The encoded bytes of `media`, from the value itself or from its file.

    A relative path is taken from `root` (the working directory where there is none); with a `root`, a path
    that leads outside of it, also through links, is refused: tables and manifests come from strangers.

    Raises MediaError: ``missing`` (no file, or neither bytes nor path), ``outside``, ``not_a_file`` (a
    folder, a device, a pipe), ``unreadable``, ``empty``, ``too_large`` (more than `limit` bytes; checked
    before reading).
    """
    if media.data is not None:
        data = media.data
        if len(data) > limit:
            raise MediaError("too_large", f"{len(data):,} bytes; the limit is {limit:,}")
    elif media.path is not None:
        data = _read_file(resolve(media.path, root), limit)
    else:
        raise MediaError("missing", "the medium has neither bytes nor a path")
    if not data:
        raise MediaError("empty", f"{media.path}: an empty file" if media.path else "the medium has 0 bytes")
    return data


def resolve(path: str, root: Path | None) -> Path:
    """Where `path` lies; MediaError ``outside`` where it leaves `root`, ``missing`` where it cannot be a
    path.
    """
    try:
        if root is None:
            return Path(path)
        base = root.resolve()
        found = (base / path).resolve()
    except (
        ValueError,
        OSError,
        RuntimeError,
    ) as error:  # a NUL in the name, a name too long, a loop of links
        raise MediaError("missing", f"{path[:200]!r} is not a usable path: {error}") from None
    if not found.is_relative_to(base):
        raise MediaError("outside", f"{path!r} leads outside of {root}; media must lie inside it")
    return found


def _read_file(path: Path, limit: int) -> bytes:
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise MediaError("not_a_file", f"{path} is not a regular file")
        if info.st_size > limit:
            raise MediaError("too_large", f"{path}: {info.st_size:,} bytes; the limit is {limit:,}")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise MediaError("missing", f"{path}: no such file") from None
    except OSError as error:
        raise MediaError("unreadable", f"{path}: {error.strerror or error}") from None
    if len(data) > limit:  # it grew while it was read
        raise MediaError("too_large", f"{path}: more than {limit:,} bytes")
    return data
