"""What every published layout is made of: what was found, and a source that gives all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from chiasm.config import BuildConfig
from chiasm.errors import DataError, MediaError
from chiasm.modalities.media import resolve
from chiasm.sources.listing import Listing, kind_of
from chiasm.sources.rows import RowError, bounded_lines, read_csv
from chiasm.sources.source import Progress
from chiasm.types import Media, Record, Rejected


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder or file was recognised as. counts: how many of what; others: layouts that it could also be."""

    layout: str
    why: str
    counts: Mapping[str, int] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        parts = ", ".join(f"{what}: {count:,}" for what, count in self.counts.items() if count)
        also = f"; it could also be {', '.join(self.others)} (layout=NAME forces one)" if self.others else ""
        return f"{self.layout}: {self.why}" + (f" ({parts})" if parts else "") + also


class LayoutSource:
    """A source over a listing. A subclass gives `items`; media that none of its records took are then listed as refused, each, and so are
    text files that were not read: all where the layout was asked for, else those beside a medium of their name."""

    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset[str]()
    attribution = ""
    found = ""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        self.files, self.root = files, files.root
        self.name = files.name
        self._used: set[str] = set()
        self._forced = config.layout is not None

    @property
    def total(self) -> int | None:
        return None

    def prepare(self, progress: Progress | None = None) -> None:
        """List the files."""
        if progress is not None and self.files.only is None:
            progress("list", len(self.files.files), None)

    def records(self) -> Iterator[Record | Rejected]:
        self._used.clear()
        self.files.opened.clear()
        yield from self.items()
        if self.files.only is None:
            for path in self.files.media:
                if path not in self._used:
                    yield Rejected(path, "record", "unlisted", "no line of the data set's lists names it")
            for path in self.files.texts:
                if path not in self.files.opened and (self._forced or self.files.has_medium_of(path)):
                    yield Rejected(path, "record", "unlisted", "no list of this layout; what is in it is not read")

    def items(self) -> Iterator[Record | Rejected]:
        raise NotImplementedError

    def take(self, path: str) -> str:
        """The path, noted as a part of a record."""
        self._used.add(path)
        return path

    def medium(self, path: str, kind: str | None = None) -> dict[Literal["image", "audio", "video"], tuple[Media, ...]]:
        """{its modality: (the medium,)}, to be given to a Record."""
        found = kind_of(path)
        part = (Media(path=self.take(path), kind=kind),)
        return {"image": part} if found == "image" else {"video": part} if found == "video" else {"audio": part}

    def lines(self, path: str) -> Iterator[tuple[int, str | Rejected]]:
        """(number from 1, line without its end) of a text file; a Rejected for a line that cannot be read, and one for a file that breaks off."""
        number = 0
        last: tuple[int, str | Rejected] | None = None
        try:
            with self.files.open(path) as file:
                for number, line in bounded_lines(file):
                    if last is not None:
                        yield last
                    last = number, self._decoded(path, number, line)
        except MediaError as error:  # the last line may have been cut by it
            number = max(number, 1)
            last = number, self.refuse(path, number, error.reason, f"{error}; what followed is lost")
        except OSError as error:
            last = number + 1, self.refuse(path, number + 1, "unreadable", error.strerror or str(error))
        if last is not None:
            yield last

    def _decoded(self, path: str, number: int, line: bytes | RowError) -> str | Rejected:
        if isinstance(line, RowError):
            return self.refuse(path, number, line.reason, line.message)
        try:
            return line.decode("utf-8-sig" if number == 1 else "utf8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            return self.refuse(path, number, "encoding", f"not UTF-8: {error.reason}")

    def rows(self, path: str) -> Iterator[tuple[int, dict[str, str] | Rejected]]:
        """(line number, row by the names in the first line, in lower case) of a CSV file, and a Rejected for each row that cannot be read."""
        number = 0
        try:
            for number, row in read_csv(resolve(path, self.root)):
                if isinstance(row, RowError):
                    yield number, self.refuse(path, number, row.reason, row.message)
                elif any("\ufffd" in cell for cell in row.values()):
                    yield number, self.refuse(path, number, "encoding", "not UTF-8")
                else:
                    yield number, {name.lower(): cell.strip() for name, cell in row.items()}
        except MediaError as error:
            yield number + 1, self.refuse(path, number + 1, error.reason, str(error))
        except (DataError, OSError) as error:
            yield number + 1, self.refuse(path, number + 1, "malformed", f"{error}; what followed is lost")

    def refuse(self, path: str, number: int, reason: str, message: str) -> Rejected:
        """The ledger's row for one line."""
        return Rejected(f"{path}:{number}", "record", reason, f"line {number}: {message}")
