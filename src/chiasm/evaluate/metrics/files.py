"""Lines of a file of results, read within bounds and checked: what is wrong is said with the file, the line and the field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError
from chiasm.sources.rows import RowError, read_jsonl

Float = NDArray[np.float64]

LONGEST = 20_000
"""Characters of one text."""
MOST_LINES = 2_000_000
MOST_NUMBERS = 1 << 24
"""Numbers in one field of a line, as of a label map."""


@dataclass(frozen=True, slots=True)
class Line:
    """One object of a file. where: the file and line, for messages."""

    where: str
    id: str
    value: dict[str, Any]

    def has(self, name: str) -> bool:
        return self.value.get(name) is not None

    def text(self, name: str) -> str:
        found = self._given(name)
        return found if isinstance(found, str) and len(found) <= LONGEST else self._text(name, found)

    def texts(self, name: str) -> list[str]:
        """A list of one text or more."""
        found = self._given(name)
        if not isinstance(found, list) or not found:
            self.wrong(name, "a list of at least one text", found)
        return [
            one if isinstance(one, str) and len(one) <= LONGEST else self._text(name, one)
            for one in cast("list[Any]", found)
        ]

    def names(self, name: str) -> list[str]:
        """A list of names, texts or whole numbers; it may be empty."""
        found = self._given(name)
        if not isinstance(found, list):
            self.wrong(name, "a list of names", found)
        return [self._name(name, one) for one in cast("list[Any]", found)]

    def name(self, name: str) -> str:
        return self._name(name, self._given(name))

    def number(self, name: str, *, least: float = -math.inf, most: float = math.inf) -> float:
        return self._number(name, self._given(name), least, most)

    def count(self, name: str) -> int:
        found = self._given(name)
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            self.wrong(name, "a whole number, 0 or more", found)
        return found

    def numbers(self, name: str) -> dict[str, float]:
        """An object of numbers by name."""
        found = self._given(name)
        if not isinstance(found, dict):
            self.wrong(name, "an object of numbers by name", found)
        return {str(key): self._number(name, one) for key, one in cast("dict[Any, Any]", found).items()}

    def vector(self, name: str) -> Float:
        """A list of at least one finite number: float64 [E]."""
        found = self.array(name)
        if found.ndim != 1 or not len(found):
            self.wrong(name, "a list of numbers", self.value[name])
        return found

    def array(self, name: str) -> Float:
        """A list of finite numbers, or of such lists of one length."""
        found = self._given(name)
        try:
            value = np.array(found, dtype=np.float64) if isinstance(found, list) else None
        except (ValueError, TypeError, OverflowError):
            value = None
        if value is None or not value.size or value.size > MOST_NUMBERS or not np.isfinite(value).all():
            self.wrong(name, "a list of finite numbers, its rows of one length", found)
        return value

    def objects(self, name: str) -> list[Line]:
        """A list of objects, each with the fields that a line may have; it may be empty."""
        found = self._given(name)
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in cast("list[Any]", found)):
            self.wrong(name, "a list of objects", found)
        several = cast("list[dict[str, Any]]", found)
        return [Line(f"{self.where}: {name}[{place}]", self.id, one) for place, one in enumerate(several)]

    def wrong(self, name: str, wanted: str, found: object) -> NoReturn:
        """Raises DataError."""
        raise DataError(f"{self.where}: {name!r} must be {wanted}, found {_shown(found)}")

    def _given(self, name: str) -> Any:
        if name not in self.value:
            raise DataError(
                f"{self.where}: {name!r} is missing; there are {', '.join(map(repr, self.value)) or 'no fields'}"
            )
        return self.value[name]

    def _text(self, name: str, found: object) -> NoReturn:
        self.wrong(name, f"a text of at most {LONGEST:,} characters", found)

    def _name(self, name: str, found: object) -> str:
        if (
            isinstance(found, bool)
            or not isinstance(found, (str, int))
            or (isinstance(found, str) and len(found) > LONGEST)
        ):
            self.wrong(name, "a name (a text or a whole number)", found)
        return str(found)

    def _number(self, name: str, found: object, least: float = -math.inf, most: float = math.inf) -> float:
        if (
            isinstance(found, bool)
            or not isinstance(found, (int, float))
            or not math.isfinite(found)
            or not least <= found <= most
        ):
            bounds = "" if least == -math.inf and most == math.inf else f" from {least:g} to {most:g}"
            self.wrong(name, f"a finite number{bounds}", found)
        return float(found)


def read_lines(path: Path) -> list[Line]:
    """All lines of a file of results, each an object with an `id` of its own. Blank lines are passed over.

    Raises DataError, naming the line, for one that is too long, no UTF-8, no JSON object, without an id or with one that was there
    before; for a file without lines, and for one of more than MOST_LINES.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: is a folder, where a file of JSON lines is wanted" if path.is_dir() else f"{path}: no such file"
        )
    found: list[Line] = []
    seen: dict[str, int] = {}
    for number, row in read_jsonl(path):
        where = f"{path} line {number}"
        if isinstance(row, RowError):
            raise DataError(f"{where}: {row.message}")
        own = Line(where, "", row).name("id")
        if own in seen:
            raise DataError(f"{where}: id {_shown(own)} was there before, on line {seen[own]}: each id needs one line")
        if len(found) >= MOST_LINES:
            raise DataError(f"{path}: more than {MOST_LINES:,} lines; split the file")
        seen[own] = number
        found.append(Line(where, own, row))
    if not found:
        raise DataError(f"{path}: holds no line: nothing to measure")
    return found


def stacked(lines: Sequence[Line], name: str) -> Float:
    """The vectors of all lines, [n, E]. Raises DataError, naming the line, where one has another width."""
    rows = [line.vector(name) for line in lines]
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(rows[0]):
            line.wrong(name, f"of {len(rows[0])} numbers as on the first line", f"{len(row)} numbers")
    return np.stack(rows) if rows else np.zeros((0, 0))


def _shown(found: object) -> str:
    text = repr(found)
    return text if len(text) <= 60 else text[:57] + "..."
