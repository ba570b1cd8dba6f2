"""The Lance table that holds a data set: records, splits, metadata and added vector columns."""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chiasm.dataset.place import is_remote, place_of, plain, storage_options
from chiasm.dataset.schema import FORMAT, SCHEMA, from_arrow
from chiasm.errors import ConfigError, DataError, MachineError
from chiasm.modalities.media import read_bytes
from chiasm.types import Media, Record

if TYPE_CHECKING:
    import lance

META = "chiasm"
"""Key of the table's metadata that holds the build's summary as JSON."""


_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`")
"""Strings and quoted names of SQL. Lance reads a filter up to the first semicolon and passes over the rest."""


def exists(path: Path) -> bool:
    """Whether anything is at `path`: on object storage, a Lance table."""
    if not is_remote(path):
        return path.exists() or path.is_symlink()
    import lance

    try:
        lance.dataset(plain(path), storage_options=storage_options(path))
    except (ValueError, OSError) as error:
        if _is_missing(error):
            return False
        raise MachineError(f"{plain(path)}: cannot be reached: {_first_line(error)}") from None
    return True


def quoted(name: str) -> str:
    """A name as conditions on a table's columns have it (SQL)."""
    return "'" + name.replace("'", "''") + "'"


class Table:
    """A chiasm table on disk, or on object storage: `Table("d.lance")`, `Table("s3://bucket/d.lance")`.

    An instance sees the version that was newest when it was opened, plus what it writes itself.
    Raises DataError where there is no table, it is no chiasm table, or a later chiasm wrote it.
    """

    def __init__(self, path: str | Path) -> None:
        import lance

        self._path = place_of(path)
        path = plain(path)
        if not is_remote(path):
            _check_folder(self._path)
        try:
            self._dataset: lance.LanceDataset = lance.dataset(path, storage_options=storage_options(path))
            # A build puts it into the commit that makes the table; what is set later lies beside that.
            text = self._dataset.metadata.get(META) or (self._dataset.schema.metadata or {}).get(META.encode())
        except (ValueError, OSError) as error:
            if is_remote(path) and _is_missing(error):
                raise DataError(_no_table(path)) from None
            raise DataError(f"{path}: not a Lance table that can be opened: {_first_line(error)}") from None
        if text is None or not {"id", "split"} <= set(self._dataset.schema.names):
            raise DataError(f"{path}: a Lance table, but not one that `chiasm build` made")
        try:
            self._metadata: dict[str, Any] = json.loads(text)
        except ValueError:
            raise DataError(f"{path}: its metadata is damaged; build the table again") from None
        if self._metadata.get("format", 0) > FORMAT:
            raise DataError(f"{path}: a later chiasm wrote it (format {self._metadata['format']}, not {FORMAT})")

    def __len__(self) -> int:
        return self._dataset.count_rows()

    @property
    def path(self) -> Path:
        return self._path

    def lance(self, version: int | None = None) -> lance.LanceDataset:
        """Lance's own handle: of the newest version, or of `version`."""
        import lance

        return lance.dataset(plain(self._path), version=version, storage_options=storage_options(self._path))

    @property
    def version(self) -> int:
        """Lance's version number; every write makes a new one."""
        return self._dataset.version

    @property
    def created(self) -> str:
        """When the table was built, to the microsecond: tells it from another that was built in its place."""
        return str(self._metadata.get("created") or self._dataset.versions()[0]["timestamp"])

    @property
    def metadata(self) -> dict[str, Any]:
        """The build's summary: source, attribution, counts, splits, seed, configuration, and what was set
        since. A copy.
        """
        return json.loads(json.dumps(self._metadata))

    @property
    def column_names(self) -> list[str]:
        return list(self._dataset.schema.names)

    @property
    def root(self) -> Path | None:
        """The folder that relative media paths start from, or None where all media are inside the table."""
        root = self._metadata.get("root")
        if root is None:
            return None
        # A table that was moved together with its media is found by the relative path.
        beside = self._path.resolve().parent / str(self._metadata.get("root_beside", "."))
        return Path(root) if Path(root).is_dir() else beside

    def splits(self) -> dict[str, int]:
        """Rows of each split, by name; `train` first."""
        names = self._dataset.to_table(columns=["split"]).column("split").to_pylist()
        return {name: names.count(name) for name in sorted(set(names), key=lambda name: (name != "train", name))}

    def columns(self, names: Sequence[str], where: str | None = None) -> pa.Table:
        """Whole columns, of all rows or of those for which `where` (SQL) holds, in the table's order."""
        self._check_columns(names)
        return self._scan(list(names), where)

    def lengths(self, name: str) -> NDArray[np.int64]:
        """How many items the list column `name` has in each row, int64 [rows], counted where they lie."""
        self._check_columns([name])
        found = self._dataset.to_table(columns={"n": f"array_length({name})"}, scan_in_order=True).column("n")
        return np.asarray(found.fill_null(0)).astype(np.int64)

    def rows(self, where: str | None = None) -> NDArray[np.int64]:
        """Positions, int64 [rows], ascending, of the rows for which `where` holds; of all rows where it is
        None.

        `where` is SQL over the columns, e.g. ``split = 'train'``; ConfigError where it cannot be understood.
        """
        if where is None:
            return np.arange(len(self), dtype=np.int64)
        found = self._scan(["_rowoffset"], where).column("_rowoffset")
        return np.sort(found.to_numpy().astype(np.int64))

    def records(
        self, rows: Sequence[int] | NDArray[np.int64] | None = None, columns: Sequence[str] | None = None
    ) -> list[Record]:
        """Records at positions `rows`, in that order (repeats allowed); all where None.

        A field that `columns` leaves out is not read, and comes back empty. DataError for a position
        outside of the table.
        """
        names = [name for name in SCHEMA.names if name in self._dataset.schema.names]
        if columns is not None:
            self._check_columns(columns)
            names = list(columns)
        if rows is None:
            return from_arrow(self._scan(names, None))
        positions = np.asarray(rows, dtype=np.int64)
        if not len(positions):
            return []
        if positions.min() < 0 or positions.max() >= len(self):
            wrong = positions[(positions < 0) | (positions >= len(self))][0]
            raise DataError(f"{self._path}: row {wrong} asked of a table of {len(self)} rows")
        # Lance takes each row once, in order; repeats and order are restored here.
        unique, back = np.unique(positions, return_inverse=True)
        found = from_arrow(self._dataset.take(unique.tolist(), columns=names))
        return [found[index] for index in back]

    def read(self, media: Media) -> bytes:
        """The encoded bytes of a medium of this table. Raises MediaError as `read_bytes` does."""
        return read_bytes(media, self.root or self._path.parent)

    def set_vectors(self, name: str, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Add, or replace, the column `name` of one vector a row: float32 [rows, E] belonging to `ids`; a
        row not in `ids` gets null.

        All or nothing: DataError, and the table unchanged, where a vector is not finite or zero, an id is
        unknown or repeated, or the shape is wrong.
        """
        if name in SCHEMA.names:
            raise DataError(f"column {name!r} belongs to the record and cannot hold vectors")
        values = np.ascontiguousarray(vectors, dtype=np.float32)
        self._check_vectors(name, ids, values)
        position = {key: index for index, key in enumerate(self.columns(["id"]).column("id").to_pylist())}
        unknown = [key for key in ids if key not in position]
        if unknown:
            raise DataError(f"{name}: {len(unknown)} ids are not in {self._path}, first {unknown[0]!r}")
        width = values.shape[1]
        placed = np.zeros((len(position), width), np.float32)
        present = np.zeros(len(position), np.bool_)
        where = np.fromiter((position[key] for key in ids), np.int64, len(ids))
        placed[where], present[where] = values, True
        column = pa.FixedSizeListArray.from_arrays(pa.array(placed.reshape(-1)), width, mask=pa.array(~present))
        self.add_columns(pa.table({name: column}))

    def add_columns(self, table: pa.Table) -> None:
        """Add, or replace, the columns of `table`, row for row with this one. DataError where the lengths
        differ.
        """
        if table.num_rows != len(self):
            raise DataError(f"{table.num_rows} values for the {len(self)} rows of {self._path}")
        fresh = [f"{name}__new" for name in table.column_names]
        stale = [name for name in fresh if name in self.column_names]  # a writer was killed here before
        if stale:
            self._dataset.drop_columns(stale)
        renamed = table.rename_columns(fresh)
        self._dataset.add_columns(renamed.to_reader())
        old = [name for name in table.column_names if name in self.column_names]
        if old:
            self._dataset.drop_columns(old)
        changes: list[Any] = [{"path": f"{name}__new", "name": name} for name in table.column_names]
        self._dataset.alter_columns(*changes)

    def set_metadata(self, key: str, value: Any) -> None:
        """Keep `value` (plain JSON) under `key` of the table's metadata."""
        self._metadata = {**self._metadata, key: json.loads(json.dumps(value))}
        self._dataset.update_metadata({META: json.dumps(self._metadata, ensure_ascii=False)})

    def forget_versions(self, since: int) -> None:
        """Delete Lance's versions before `since` and between it and the newest two, with the data only they
        hold.

        `since` is the version that was newest before a writer began: whoever reads it, or the newest, reads
        on undisturbed. A reader of an older version must open the table again.
        """
        if "created" not in self._metadata:
            self.set_metadata("created", self.created)  # told by the first version, which now goes
        newest = self.lance()
        found = sorted(int(version["version"]) for version in newest.versions())
        old = [version for version in found[:-2] if version != since]
        if old:
            newest.cleanup_old_versions(versions=old, error_if_tagged_old_versions=False)

    def _scan(self, names: list[str], where: str | None) -> pa.Table:
        if where is not None and ";" in _QUOTED.sub("", where):
            raise ConfigError(f"where {where!r}: one condition, without a semicolon outside of quotes")
        try:
            return self._dataset.to_table(columns=names, filter=where, scan_in_order=True)
        except (ValueError, OSError) as error:
            if where is None:
                raise DataError(f"{self._path}: cannot be read: {_first_line(error)}") from None
            raise ConfigError(f"where {where!r}: {_first_line(error)}") from None

    def _check_columns(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._dataset.schema.names:
                near = difflib.get_close_matches(name, self._dataset.schema.names, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(self._dataset.schema.names)}"
                raise DataError(f"{self._path} has no column {name!r}{hint}")

    def _check_vectors(self, name: str, ids: Sequence[str], values: NDArray[np.float32]) -> None:
        if values.ndim != 2 or values.shape[0] != len(ids) or values.shape[1] < 1:
            raise DataError(f"{name}: vectors of shape {values.shape} for {len(ids)} ids; expected [{len(ids)}, E]")
        if len(set(ids)) != len(ids):
            raise DataError(f"{name}: an id occurs twice")
        bad = ~np.isfinite(values).all(axis=1) | ~values.any(axis=1)
        if bad.any():
            first = ids[int(np.flatnonzero(bad)[0])]
            raise DataError(f"{name}: {int(bad.sum())} vectors are zero or not finite, the first is {first!r}'s")


def _check_folder(path: Path) -> None:
    """Raises DataError where no Lance table lies at `path`; what lies there instead is told."""
    if path.is_dir() and (path / "_versions").is_dir():
        return
    if (path / "checkpoints").is_dir():
        raise DataError(f"{path} is the folder of a run, where a table is wanted; what takes both takes the run first")
    if path.is_dir() and any(path.iterdir()):
        what = "is a folder of files"
    elif path.is_file():
        what = "is a file"
    else:
        raise DataError(_no_table(str(path)))
    table = path.name.removesuffix(".lance") if path.is_dir() else path.stem
    raise DataError(
        f"{path} {what}, not a chiasm table: build it first, `chiasm build {path} {table or 'data'}.lance`, and give that"
    )


def _no_table(path: str) -> str:
    return f"{path}: no such table; make one with `chiasm build SOURCE {path}`"


def _is_missing(error: Exception) -> bool:
    return "not found" in str(error).lower()


def _first_line(error: Exception) -> str:
    """Lance's message without the place in its own sources."""
    return str(error).split(", /")[0].splitlines()[0]
