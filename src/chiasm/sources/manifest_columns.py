"""The columns of a manifest before its rows are read: which are not used, and whether any gives a record something."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path

from chiasm.errors import DataError
from chiasm.sources.manifest_row import MEDIA, TEXT_KINDS, RowReader
from chiasm.sources.rows import RowError, read_jsonl, row_names

HEAD = 100
"""Rows of JSONL whose keys are looked at; more only as long as none of them is a column that gives a record something."""

TOLD = 12
"""Columns that are told by name."""

_LIKE = 0.8
"""How alike a name must be to be taken for a misprint (difflib's ratio, in lower case): captoin and caption are by 0.86."""

_USUAL = frozenset((*TEXT_KINDS, *(column for columns in MEDIA.values() for column in columns)))


class Columns:
    """The columns of some files that are read by one RowReader. Raises DataError where a file cannot be read."""

    def __init__(self, paths: Sequence[Path], rows: RowReader) -> None:
        self._rows = rows
        self.of = {path: _names(path, rows.giving) for path in paths}
        self._all = tuple(dict.fromkeys(name for names in self.of.values() for name in names))

    @property
    def unused(self) -> str:
        """What is to be said of columns that no part of a record is taken from; "" where there are none."""
        names = [name for name in self._all if name not in self._rows.known]
        if not names:
            return ""
        told = [f"{name}{_hint(name, self._rows.known)}" for name in names[:TOLD]]
        more = f" and {len(names) - TOLD:,} more" if len(names) > TOLD else ""
        return f"columns not used: {', '.join(told)}{more}"

    def check(self) -> None:
        """Raises DataError where no column of any file gives a record a text or medium: every row would be refused."""
        giving = self._rows.giving
        if not self._all or any(name in giving for name in self._all):
            return
        path, names = next((path, names) for path, names in self.of.items() if names)
        said = [f"{path}: no column that gives a text, picture, sound or clip"]
        mark = _separator(names)
        if mark is not None:
            said.append(f"the first line is {names[0]!r}, which is separated by {mark}: separate it by commas")
        else:
            said.append(f"it has {', '.join(f'{name}{_hint(name, giving)}' for name in self._all[:TOLD])}")
        said.append(f"known are {', '.join(giving)}")
        raise DataError("; ".join(said) + " (text_column=, image_column= and audio_column= name others)")


def _names(path: Path, giving: Collection[str]) -> tuple[str, ...]:
    names = row_names(path)
    if names is not None:
        return tuple(name for name in dict.fromkeys(name.strip() for name in names) if name)
    found: dict[str, None] = {}
    try:
        for count, (_, row) in enumerate(read_jsonl(path), 1):
            if not isinstance(row, RowError):
                found.update(dict.fromkeys(name for name in row if name))
            if count >= HEAD and any(name in giving for name in found):
                break
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return tuple(found)


def _hint(name: str, known: Collection[str]) -> str:
    if name in _USUAL:  # another column was chosen in its place
        return ""
    known = [one for one in known if not one.endswith("_kind")]  # image_id is no misprint of image_kind
    near = difflib.get_close_matches(name.strip().lower(), known, n=1, cutoff=_LIKE)
    return f" (did you mean {near[0]}?)" if near else ""


def _separator(names: Sequence[str]) -> str | None:
    """What a CSV file seems to be separated by, where that is not a comma."""
    if len(names) != 1:
        return None
    return next((said for mark, said in ((";", "';'"), ("\t", "tabs"), ("|", "'|'")) if mark in names[0]), None)
