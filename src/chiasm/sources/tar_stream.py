"""A tar read from beginning to end, member by member; nothing is written, and no header is believed further than its bounds."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from chiasm.errors import MediaError
from chiasm.sources.bounded import allowed, is_packed, open_bounded

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_EXTENSION = 2**16
"""Bytes of a header that extends another: a long name, attributes."""

_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_DRIVE = re.compile(r"[A-Za-z]:")
_LEAVES = "a path that leaves the archive's folder"
TOO_LONG = "a path that is too long for a file system (255 bytes a part, 4,096 in all)"


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive. name: its path within, with "/"; problem: why it must not be read (a stable reason and a sentence), or None;
    file: its content, to be read before the next member is asked for.
    """

    name: str
    size: int
    problem: tuple[str, str] | None
    file: IO[bytes] | None


def safe_name(name: str) -> str:
    """A member's path, cleaned of "./". Raises MediaError (``unsafe``) where it is absolute, climbs, or cannot be a path."""
    if not name or name.startswith(("/", "\\")) or _DRIVE.match(name) or "\0" in name:
        raise MediaError("unsafe", _LEAVES)
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise MediaError("unsafe", _LEAVES)
    safe = "/".join(parts)
    if any(len(os.fsencode(part)) > 255 for part in parts) or len(os.fsencode(safe)) > 4096:
        raise MediaError("unsafe", TOO_LONG)
    return safe


def tar_members(path: Path) -> Iterator[Member]:
    """The members in their order, folders left out. At most one header is in memory.

    Raises MediaError once what came before has been given: ``truncated`` (cut within a member or a header, or without the mark of its
    end), ``corrupt``, ``too_large`` (bounded.py), ``format`` (no tar at all).
    """
    try:
        size = path.stat().st_size
        packed = is_packed(path)
        header = _watched(allowed(size) if packed else size, "too_large" if packed else "truncated")
    except OSError as error:
        raise MediaError("missing", f"{path.name}: {error.strerror or error}") from None
    try:
        with open_bounded(path) as file, tarfile.open(fileobj=file, mode="r|", tarinfo=header) as tar:
            for info in tar:
                tar.members = []  # pyright: ignore[reportAttributeAccessIssue]  # else each header stays in memory
                if not info.isdir():
                    yield _member(tar, info)
    except EOFError:
        raise MediaError("truncated", f"{path.name}: it ends within a member") from None
    except (tarfile.TarError, OSError, ValueError) as error:
        ends = "unexpected end" in str(error) or "truncated" in str(error)
        started = header.seen > 1
        reason = "truncated" if ends and started else "corrupt" if started else "format"
        raise MediaError(reason, f"{path.name}: {error}") from None
    # tarfile takes a header that makes no sense, and the end of the file, for the end of the archive.
    if header.last == "InvalidHeaderError":
        raise MediaError(
            "corrupt", f"{path.name}: what should be the next member's header is none; what follows is lost"
        )
    if header.last != "EOFHeaderError":
        raise MediaError("truncated", f"{path.name}: it ends without the mark of its end; what followed is lost")


def _member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    try:
        name = safe_name(info.name)
    except MediaError as error:
        return Member(info.name[:200], info.size, (error.reason, str(error)), None)
    if info.issym() or info.islnk():
        return Member(name, 0, ("unsafe", f"a link, to {info.linkname[:200]!r}"), None)
    if not info.isreg() or info.issparse():
        return Member(name, 0, ("unsafe", "no regular file: a device, a pipe, or sparse"), None)
    return Member(name, info.size, None, tar.extractfile(info))


class _Header(tarfile.TarInfo):
    """A header that notes how the reading of it ended."""

    last: str | None
    seen: int


def _watched(most: int, reason: str) -> type[_Header]:
    class Watched(_Header):
        last = None
        seen = 0

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> tarfile.TarInfo:
            cls.seen += 1
            try:
                info = super().frombuf(buf, encoding, errors)
            except tarfile.HeaderError as error:
                cls.last = type(error).__name__
                raise
            cls.last = None
            # Before tarfile reads it into memory, or goes backwards by it.
            if info.size < 0 or (info.type in _EXTENSIONS and info.size > MAX_EXTENSION):
                raise MediaError("corrupt", f"a header of {info.size:,} bytes")
            if info.size > most:  # tarfile would seek for years
                raise MediaError(
                    reason, f"{info.name[:200]!r} should have {info.size:,} bytes, more than the archive can give"
                )
            return info

    return Watched
