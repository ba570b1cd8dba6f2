"""A chiasm table as a source: its rows are what another build begins with, so that every step can be run alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

from chiasm.config import BuildConfig
from chiasm.dataset.place import absolute, is_remote, plain
from chiasm.dataset.table import Table
from chiasm.sources import Progress
from chiasm.types import Record, Rejected

_ROWS = 64


def is_table(spec: str) -> bool:
    """Whether `spec` names a Lance table."""
    return is_remote(spec) or (Path(spec) / "_versions").is_dir()


class TableSource:
    """The rows of the table at `spec`, in its order; columns that a build adds (vectors, measures) are made anew.

    The splits stay as they are where the configuration names steps and *split* is not one of them; else the rows are split again.
    Raises DataError where there is no table.
    """

    rule: Literal["groups", "forms"]
    checked = frozenset[str]()

    def __init__(self, spec: str, config: BuildConfig) -> None:
        self._table = Table(spec)
        self._keep = config.steps is not None and "split" not in config.steps
        about = self._table.metadata
        self.name = str(about.get("source", ""))
        self.attribution = str(about.get("attribution", ""))
        self.rule = cast("Literal['groups', 'forms']", about.get("rule", "groups"))
        self.found = f"the table {plain(spec)}, version {self._table.version}"
        self.root = self._table.root

    @property
    def total(self) -> int:
        return len(self._table)

    def fingerprint(self) -> str:
        """Which table it is, which version of it, and whether its splits are kept."""
        return f"{absolute(self._table.path)} {self._table.created} {self._table.version} {self._keep}"

    def prepare(self, progress: Progress | None = None) -> None:
        """Nothing to make."""

    def records(self) -> Iterator[Record | Rejected]:
        total = self.total
        for start in range(0, total, _ROWS):
            for record in self._table.records(range(start, min(start + _ROWS, total))):
                yield record if self._keep else replace(record, split=None)
