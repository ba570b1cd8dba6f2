"""A manifest: one row a record, as JSONL, CSV, Parquet or Arrow, with media as paths beside it or as bytes within. What its columns mean:
manifest_row.py.

A manifest may be several files, one a split (train.parquet, test.parquet; train/metadata.csv; data-00000-of-00002.arrow in train/): their
names, or those of their folders, are the splits of rows that give none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from chiasm.config import BuildConfig
from chiasm.errors import ConfigError, DataError
from chiasm.modalities.languages import is_language
from chiasm.sources.cells import plain
from chiasm.sources.layout import Found
from chiasm.sources.listing import NOTES, Listing, stem_of, suffix_of
from chiasm.sources.manifest_columns import Columns
from chiasm.sources.manifest_row import RowReader
from chiasm.sources.rows import ARROW, Row, RowError, read_arrow, read_csv, read_jsonl, read_parquet, row_names
from chiasm.sources.source import Progress
from chiasm.types import Record, Rejected

SUFFIXES = (".jsonl", ".csv", ".parquet", *ARROW)

_SPLIT = re.compile(r"(?P<split>train|training|val|valid|validation|dev|test|testing)([-_.].*)?")


def find_manifests(files: Listing) -> tuple[str, ...]:
    """The manifest of a folder, () where there is none: manifest.*, else metadata.* (Hugging Face's folders of media; one in each split's
    folder), else files of one kind that are named after splits or lie in folders that are, train first, in the folder itself or up to
    two below (data/train-00000-of-00001.parquet); else the only file of a kind, where no media or texts lie beside it.
    """
    for stem in ("manifest", "metadata"):
        for suffix in SUFFIXES:
            if f"{stem}{suffix}" in files.names:
                return (f"{stem}{suffix}",)
    for suffix in SUFFIXES:
        if found := [
            path for path in files.files if re.fullmatch(rf"[^/]+/metadata\{suffix}", path) and _split_of(path)
        ]:
            return _train_first(found)
    alone = not files.media and not files.matching(rf"(?!({'|'.join(NOTES)})\.).*\.txt")
    for depth in (0, 1, 2):
        for suffix in SUFFIXES:
            found = [
                path for path in files.files if path.endswith(suffix) and path.count("/") == depth and _split_of(path)
            ]
            if found and (any(_split_of(path) in ("train", "training") for path in found) or alone):
                return _train_first(found)
    rows = [path for path in files.files if path.endswith(SUFFIXES) and "/" not in path]
    return tuple(rows) if len(rows) == 1 and alone else ()


def look(files: Listing) -> Found | None:
    """A file of a known suffix, or what `find_manifests` finds."""
    if files.only is not None:
        suffix = suffix_of(files.only).lower()
        return Found("manifest", f"a {suffix} file, one row a record") if suffix in SUFFIXES else None
    found = find_manifests(files)
    if not found:
        return None
    what = found[0] if len(found) == 1 else f"{found[0]} … {found[-1]}, a file a split or part"
    return Found(
        "manifest", f"{what}, one row a record", {"files of rows": len(found), "media files": len(files.media)}
    )


class ManifestSource:
    """The rows of a manifest: one file, or several, one or more a split. Media paths are relative to the file's folder and
    cannot leave `root` (that of the first file, where none is given).
    """

    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset[str]()
    attribution = ""

    def __init__(
        self, path: Path | Sequence[Path], config: BuildConfig, *, root: Path | None = None, name: str | None = None
    ) -> None:
        paths = (path,) if isinstance(path, Path) else tuple(path)
        self.paths, first = paths, paths[0]
        self.root = first.parent if root is None else root
        whole = first.stem in ("manifest", "metadata") or len(paths) > 1 or root is not None
        self.name = name or (self.root.resolve().name if whole else first.stem)
        self._rows = RowReader(config)
        self._found = ""
        self._columns: Columns | None = None

    @property
    def found(self) -> str:
        """With the columns that are not used, where its head can be read; what it was recognised as is set."""
        try:
            unused = self.columns().unused
        except DataError:  # `prepare` tells it
            unused = ""
        return "; ".join(part for part in (self._found, unused) if part)

    @found.setter
    def found(self, sentence: str) -> None:
        self._found = sentence

    def columns(self) -> Columns:
        """Those of all its files, read once. Raises DataError."""
        if self._columns is None:
            self._columns = Columns(self.paths, self._rows)
        return self._columns

    @classmethod
    def of(cls, files: Listing, config: BuildConfig) -> ManifestSource:
        """What `look` found."""
        if files.only is not None:
            return cls(files.root / files.only, config)
        found = find_manifests(files)
        if not found:
            raise DataError(f"{files.root}: no manifest in it ({', '.join(SUFFIXES)})")
        return cls([files.root / path for path in found], config, root=files.root, name=files.name)

    @property
    def total(self) -> int | None:
        return None

    def prepare(self, progress: Progress | None = None) -> None:
        """Check that the manifest can be opened, has the columns that the configuration names, and any that gives a record something."""
        for path in self.paths:
            names = row_names(path)
            for column in self._rows.chosen:
                if names is not None and column not in names:
                    raise ConfigError(f"{path} has no column {column!r}; it has {', '.join(names)}")
        self.columns().check()

    def records(self) -> Iterator[Record | Rejected]:
        told: set[str] = set()
        for path in self.paths:
            try:
                for number, row in _READERS[path.suffix.lower()](path):
                    if isinstance(row, RowError):
                        yield Rejected(f"{path.name}:{number}", "record", row.reason, f"line {number}: {row.message}")
                    else:
                        item = self._record(path, number, row)
                        if isinstance(item, Record):
                            yield from _odd_languages(item, told)
                        yield item
            except OSError as error:
                raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None

    def _record(self, path: Path, number: int, row: dict[str, Any]) -> Record | Rejected:
        inside = path.parent.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else "."
        stem = path.stem if inside == "." else f"{inside}/{path.stem}"
        split = _split_of(path.relative_to(self.root).as_posix()) if len(self.paths) > 1 else None
        folder = "" if inside == "." else f"{inside}/"
        try:
            return self._rows.record(row, f"{stem}:{number}", source=self.name, split=split, folder=folder)
        except RowError as error:
            key = plain(row.get("id")) or f"{stem}:{number}"
            return Rejected(key, "record", error.reason, f"line {number}: {error.message}")


def _odd_languages(record: Record, told: set[str]) -> Iterator[Rejected]:
    """A remark on each language of the record that is no code and not in `told`, which takes it: one a manifest, not one a row."""
    named = (*record.texts, *record.audio, *record.questions)
    for code in dict.fromkeys(part.language for part in named if part.language):
        if code not in told and not is_language(code):
            told.add(code)
            message = f"{code!r} is no code of ISO 639, such as en; it is kept as it is, here and in rows that follow"
            yield Rejected(record.id, "language", "language", message)


def _split_of(path: str) -> str | None:
    """The split that a file is named after, or the folder that it lies in."""
    *folders, name = path.split("/")
    for part in (stem_of(name), *reversed(folders)):
        if found := _SPLIT.fullmatch(part):
            return found["split"]
    return None


def _train_first(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(paths, key=lambda path: (_split_of(path) not in ("train", "training"), path)))


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
    **dict.fromkeys(ARROW, read_arrow),
}
