"""ESC-50: `meta/esc50.csv` and `audio/1-100032-A-0.wav` (Piczak, ACM MM 2015).

A clip is a record with its category in words. Clips that were cut from one recording (src_file) are a group. The five folds are the label
`fold`: the data set is for cross-validation over them, and has no split of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from chiasm.config import BuildConfig
from chiasm.sources.layout import Found, LayoutSource
from chiasm.sources.listing import Listing
from chiasm.types import Label, Record, Rejected, Text

_COLUMNS = {"filename", "fold", "target", "category", "src_file"}


def look(files: Listing) -> Found | None:
    """A CSV file with ESC-50's columns."""
    for path in _tables(files):
        return Found(
            "esc50", f"{path} has the columns {', '.join(files.columns(path))}", {"sounds": files.count("audio")}
        )
    return None


def _tables(files: Listing) -> list[str]:
    return [path for path in files.matching(r".*\.csv") if set(files.columns(path)) >= _COLUMNS]


class Esc50Source(LayoutSource):
    """Clips in the order of the table."""

    def __init__(self, files: Listing, config: BuildConfig) -> None:
        super().__init__(files, config)
        self._tables = _tables(files)

    def items(self) -> Iterator[Record | Rejected]:
        for table in self._tables:
            for number, row in self.rows(table):
                yield row if isinstance(row, Rejected) else self._record(table, number, row)

    def _record(self, table: str, number: int, row: dict[str, str]) -> Record | Rejected:
        name = row["filename"]
        path = self.files.find(f"audio/{name}", name)
        if path is None:
            return self.refuse(table, number, "missing", f"the sound {name[:200]!r} is not there")
        labels = [Label("category", row["category"]), Label("fold", row["fold"])]
        if row.get("esc10"):
            labels.append(Label("esc10", row["esc10"].lower()))
        return Record(
            id=name.rpartition(".")[0] or name,
            texts=(Text(row["category"].replace("_", " "), "en", "name"),),
            labels=tuple(labels),
            group=row["src_file"] or None,
            source=self.name,
            licence="CC BY-NC 3.0",
            **self.medium(path, kind="effect"),
        )
