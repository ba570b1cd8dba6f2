"""A zip or tar that holds a data set, unpacked once into the cache; nothing lands outside of it, and a bomb stops at a cap.

Unpacked files are kept for the next run (a killed build goes on, tables may refer to paths) under CHIASM_CACHE/unpacked, one folder for
each archive and state of it; they may be deleted at any time between builds.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from chiasm.errors import DataError, MachineError, MediaError
from chiasm.sources.bounded import allowed
from chiasm.sources.cache import cache_folder
from chiasm.sources.source import Progress
from chiasm.sources.tar_stream import SUFFIXES as TARS
from chiasm.sources.tar_stream import TOO_LONG, Member, safe_name, tar_members
from chiasm.types import Rejected

SUFFIXES = (".zip", *TARS)

MAX_MEMBERS = 300_000
"""Files of one archive; a zip's directory is held in memory."""

_LEDGER = ".chiasm-rejects.jsonl"


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def unpacked(path: Path, progress: Progress | None = None) -> tuple[Path, list[Rejected]]:
    """The folder that holds the archive's files, and a refusal for each member that was not unpacked: links, devices, paths that leave
    the folder (``unsafe``), members that are encrypted, cut or damaged, and what lies beyond the cap (``too_large``).

    Raises DataError where it is no archive or has more than MAX_MEMBERS files, MachineError where the disk is full.
    """
    info = path.stat()
    mark = f"{path.resolve()}\0{info.st_size}\0{info.st_mtime_ns}"
    folder = cache_folder() / "unpacked" / hashlib.blake2b(os.fsencode(mark), digest_size=12).hexdigest()
    if not (folder / _LEDGER).is_file():
        part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
        try:
            part.mkdir(parents=True, exist_ok=True)
            rejected = _unpack(path, part, allowed(info.st_size), progress)
            lines = (json.dumps(asdict(item)) + "\n" for item in rejected)
            (part / _LEDGER).write_text("".join(lines), encoding="utf8")
            with suppress(OSError):  # another process was first
                part.rename(folder)
        except OSError as error:
            raise MachineError(
                f"{folder.parent}: {path.name} cannot be unpacked ({error.strerror or error}); name another folder in CHIASM_CACHE"
            ) from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
    with (folder / _LEDGER).open(encoding="utf8") as file:
        return folder, [Rejected(**json.loads(line)) for line in file]


def _unpack(path: Path, folder: Path, limit: int, progress: Progress | None) -> list[Rejected]:
    """Every member that is safe, in order, until `limit` bytes are written."""
    rejected: list[Rejected] = []
    members = _zip_members(path) if path.suffix.lower() == ".zip" else tar_members(path)
    name, left = path.name, limit
    written = False
    try:
        for number, member in enumerate(members):
            if number >= MAX_MEMBERS:
                raise DataError(f"{path}: more than {MAX_MEMBERS:,} files in it; unpack it, and give the folder")
            name = member.name
            problem = member.problem
            if problem is None and member.size > left:
                problem = ("too_large", f"beyond the {limit:,} bytes that an archive of this size may give")
            if problem is None and member.file is not None:
                try:
                    left -= _write(member.file, folder / member.name, left)
                    written = True
                except MediaError as error:
                    problem = (error.reason, str(error))
                    if error.reason == "too_large":
                        left = 0
            if problem is not None:
                rejected.append(Rejected(f"{path.name}:{name}", "record", *problem))
            if progress is not None and number % 256 == 0:
                progress("unpack", number, None)
    except MediaError as error:
        if not written:
            raise DataError(f"{path}: no archive that can be read: {error}") from None
        if not rejected or rejected[-1].reason != "truncated":  # else the member that was cut is listed
            rejected.append(Rejected(f"{path.name}:after {name}", "record", error.reason, str(error)))
    return rejected


def _write(source: IO[bytes], target: Path, limit: int) -> int:
    """Copy, at most `limit` bytes; the file is there whole or not at all. MediaError for what the archive is to blame for."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        out = target.open("xb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise MediaError("duplicate_id", "an earlier member has this name") from None
    except OSError as error:
        # The whole path, with the cache's folder, or on a file system of shorter names.
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise MediaError("unsafe", TOO_LONG) from None
    done = 0
    try:
        with out:
            while chunk := _read(source):
                done += len(chunk)
                if done > limit:
                    raise MediaError(
                        "too_large",
                        f"it goes on after the {limit:,} bytes that were left of what an archive of this size may give",
                    )
                out.write(chunk)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return done


def _read(source: IO[bytes]) -> bytes:
    try:
        return source.read(2**18)
    except (EOFError, tarfile.ReadError):
        raise MediaError("truncated", "the archive ends within it") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError) as error:
        raise MediaError("corrupt", f"cannot be unpacked: {error}") from None


def _zip_members(path: Path) -> Iterator[Member]:
    try:
        file = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise MediaError("format", str(error)) from None
    with file:
        infos = file.infolist()
        if len(infos) > MAX_MEMBERS:
            raise DataError(
                f"{path}: {len(infos):,} files in it, the limit is {MAX_MEMBERS:,}; unpack it, and give the folder"
            )
        for info in infos:
            if not info.is_dir():
                yield _zip_member(file, info)


def _zip_member(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    try:
        name = safe_name(info.filename)
    except MediaError as error:
        return Member(info.filename[:200], 0, (error.reason, str(error)), None)
    kind = info.external_attr >> 16 & 0o170000
    if kind not in (0, 0o100000):  # Unix: a link, a device
        return Member(name, 0, ("unsafe", "no regular file: a link or a device"), None)
    if info.flag_bits & 1:
        return Member(name, 0, ("format", "it is encrypted"), None)
    try:
        return Member(name, info.file_size, None, file.open(info))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
        return Member(name, 0, ("corrupt", f"cannot be unpacked: {error}"), None)
