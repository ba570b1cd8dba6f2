"""The names of the files below a folder, listed once and asked by every layout; and the heads of some of them."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO

from chiasm.errors import DataError, MediaError
from chiasm.modalities.media import resolve
from chiasm.sources.bounded import open_bounded

KINDS = {
    "text": (".txt",),
    "image": (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"),
    "audio": (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"),
    "video": (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ogv", ".flv", ".wmv", ".3gp"),
}
"""Which file names are taken for what; what is really inside is seen when the build reads them."""

KIND = {suffix: kind for kind, suffixes in KINDS.items() for suffix in suffixes}
HEAD = 2**16
LEDGER = ".rejects.jsonl"
"""How the ledger beside a table ends (dataset/place.py): it tells of a source, and is none."""
NOTES = frozenset({"readme", "licence", "license", "copying", "attribution", "credits"})

_SPLIT = re.compile(r"(?P<split>train|training|val|valid|validation|dev|test|testing|eval)(?![a-z])", re.IGNORECASE)
_SPLIT_NAMES = {"eval": "test"}


def kind_of(path: str) -> str | None:
    """text, image, audio or video by the file's name; None for anything else."""
    return KIND.get(suffix_of(path).lower())


def name_of(path: str) -> str:
    """a/b.c.txt → b.c.txt. (Millions of paths: pathlib takes 10 times as long.)"""
    return path.rpartition("/")[2]


def folder_of(path: str) -> str:
    """a/b.c.txt → a; "" at the root."""
    return path.rpartition("/")[0]


def stem_of(path: str) -> str:
    """a/b.c.txt → b.c"""
    return os.path.splitext(name_of(path))[0]  # noqa: PTH122


def suffix_of(path: str) -> str:
    """a/b.c.txt → .txt"""
    return os.path.splitext(path)[1]  # noqa: PTH122


def split_of(name: str) -> str | None:
    """The split at the head of a name: train2017, val-00000-of-00002, dev-clean; None where there is none."""
    found = _SPLIT.match(name)
    return _SPLIT_NAMES.get(found["split"].lower(), found["split"].lower()) if found else None


class Listing:
    """Files as paths relative to `root`, with "/", in alphabetical order. Hidden ones are passed over, and links to folders not followed.

    `opened`: the files whose content was asked for.
    `only`: of a single file that was given instead of a folder, its name; the other files are then there to be referred to.
    name: what to call the data set; None: as the folder.
    """

    def __init__(self, root: Path, only: str | None = None, name: str | None = None) -> None:
        self.root, self.only = root, only
        self.name = name or root.resolve().name or str(root)
        self.opened: set[str] = set()

    @cached_property
    def files(self) -> tuple[str, ...]:
        return tuple(walk(self.root))

    @cached_property
    def main(self) -> tuple[str, ...]:
        """The files that may say what this is."""
        return self.files if self.only is None else (self.only,)

    @cached_property
    def media(self) -> tuple[str, ...]:
        return tuple(path for path in self.files if kind_of(path) in ("image", "audio", "video"))

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The text files, without notes like README.txt."""
        return tuple(path for path in self.files if kind_of(path) == "text" and stem_of(path).lower() not in NOTES)

    def has_medium_of(self, text: str) -> bool:
        """Whether a medium of the text file's name lies beside it."""
        return os.path.splitext(text)[0] in self._media_stems  # noqa: PTH122

    @cached_property
    def _media_stems(self) -> frozenset[str]:
        return frozenset(os.path.splitext(path)[0] for path in self.media)  # noqa: PTH122

    @property
    def no_media(self) -> bool:
        """Whether there are none, or a single file was given: what lies beside it is then not even listed."""
        return self.only is not None or not self.media

    @cached_property
    def by_name(self) -> dict[str, str]:
        """The first medium of each file name."""
        return _first((name_of(path), path) for path in self.media)

    @cached_property
    def by_stem(self) -> dict[str, str]:
        """The first medium of each file name without its suffix."""
        return _first((stem_of(path), path) for path in self.media)

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(self.files)

    def count(self, *kinds: str) -> int:
        return sum(kind_of(path) in kinds for path in self.media)

    def matching(self, pattern: str) -> tuple[str, ...]:
        """Files but media whose own name matches, in whole and whatever the case."""
        found = re.compile(pattern, re.IGNORECASE)
        return tuple(path for path in self._lists if found.fullmatch(name_of(path)))

    @cached_property
    def _lists(self) -> tuple[str, ...]:
        return tuple(path for path in self.main if kind_of(path) not in ("image", "audio", "video"))

    def head(self, path: str, size: int = HEAD) -> str:
        """The first `size` bytes as text; "" where they cannot be read, and replacement characters where they are no UTF-8."""
        data = b""
        with suppress(OSError, MediaError), self.open(path) as file:
            data = file.read(size)
        return data.decode("utf-8-sig", "replace")

    def columns(self, path: str) -> tuple[str, ...]:
        """The names in a CSV file's first line, in lower case."""
        try:
            names = next(csv.reader([self.head(path).partition("\n")[0]]), [])
        except csv.Error:
            names = []
        return tuple(name.strip().lower() for name in names)

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """The content of one file, decompressed and bounded. MediaError where it leaves the folder or is no file; OSError."""
        self.opened.add(path)
        where = resolve(path, self.root)
        if not where.is_file():  # a pipe would never end
            raise MediaError("not_a_file", f"{path} is not a regular file")
        return open_bounded(where)

    def find(self, *names: str) -> str | None:
        """The medium at one of these paths, else of one of these file names wherever it lies."""
        for name in names:
            if name in self.names:
                return name
        for name in names:
            if (path := self.by_name.get(name_of(name))) is not None:
                return path
        return None


def walk(root: Path) -> Iterator[str]:
    """Paths of the files below `root`, in alphabetical order, without tables that were built there and their ledgers; DataError where a
    folder cannot be listed."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed: {error.strerror}")

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _is_table(folder, name))
        inside = Path(folder).relative_to(root).as_posix()
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith(LEDGER):
                yield name if inside == "." else f"{inside}/{name}"


def _is_table(folder: str, name: str) -> bool:
    """Whether that folder is a Lance table, such as one that was built inside its own source."""
    return name.endswith(".lance") and Path(folder, name, "_versions").is_dir()


def _first(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, path in pairs:
        found.setdefault(name, path)
    return found
