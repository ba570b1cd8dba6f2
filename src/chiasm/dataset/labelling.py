"""The labels of a sheet's rows while the step `label` is at work on them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.split import TRAIN, normalise_split
from chiasm.dataset.step import Outcome, Sheet
from chiasm.errors import ConfigError
from chiasm.types import Label, Rejected

Values = list[str | None]

SUGGESTED = ":suggested"
"""Ends the name of a label that only says what another should be."""


@dataclass(frozen=True, slots=True)
class Coded:
    """One label as numbers. classes: [k], in alphabetical order · codes: int64 [n], −1 where a row has none."""

    classes: tuple[str, ...]
    codes: NDArray[np.int64]


@dataclass(slots=True)
class Labelling:
    """What rows are labelled, own and given by this step. Places count along the sheet's rows."""

    sheet: Sheet
    ids: Sequence[str] = ()
    groups: Sequence[str] = ()
    """A row's group, or its id: what must not be learned from and tested on at once."""
    teaches: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Rows that may be learned from: not those that the source holds out."""
    columns: dict[str, NDArray[np.float32]] = field(default_factory=dict[str, "NDArray[np.float32]"])
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    _own: dict[str, dict[int, tuple[str, ...]]] = field(default_factory=lambda: defaultdict(dict))
    _given: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    _removed: dict[int, Rejected] = field(default_factory=dict[int, Rejected])
    _column_of: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, sheet: Sheet) -> Labelling:
        keys = sheet.keys
        teaches = np.array([key.split is None or normalise_split(key.split) == TRAIN for key in keys], np.bool_)
        made = cls(sheet, [key.id for key in keys], [key.group or key.id for key in keys], teaches)
        for place, (_, record) in enumerate(sheet.records(columns=["labels"])):
            for label in record.labels:
                own = made._own[label.name]
                own[place] = (*own.get(place, ()), label.value)
        return made

    def values(self, name: str) -> Values:
        """The label `name` of each row, the first where it has several; None where it has none or is removed."""
        own, given = self._own.get(name, {}), self._given.get(name, {})
        first = {place: values[0] for place, values in own.items()}
        return [
            None if place in self._removed else given.get(place, first.get(place)) for place in range(len(self.ids))
        ]

    def coded(self, name: str) -> Coded:
        values = self.values(name)
        classes = sorted({value for value in values if value is not None})
        number = {value: index for index, value in enumerate(classes)}
        codes = np.array([-1 if value is None else number[value] for value in values], np.int64)
        return Coded(tuple(classes), codes)

    def give(self, name: str, given: Mapping[int, str]) -> None:
        """Labels by place, in place of the rows' own of that name."""
        self._given[name].update(given)

    def fill(self, name: str, given: Mapping[int, str], confidence: NDArray[np.float64]) -> int:
        """Labels by place, only for rows without one; how many that were. The column NAME_confidence holds theirs, NaN elsewhere."""
        values = self.values(name)
        fresh = {place: v for place, v in given.items() if values[place] is None and place not in self._removed}
        self.give(name, fresh)
        column = self.column(name, "confidence")
        places = list(fresh)
        column[places] = confidence[places]
        return len(fresh)

    def column(self, name: str, what: str) -> NDArray[np.float32]:
        """The column NAME_WHAT, of NaN where it is new. Raises ConfigError where another label's column has that name."""
        column = column_name(name, what)
        other = self._column_of.setdefault(column, name)
        if other != name:
            raise ConfigError(
                f"label: {other!r} and {name!r} would both write the column {column!r}; give one of the labels another name"
            )
        return self.columns.setdefault(column, np.full(len(self.ids), np.nan, np.float32))

    def remove(self, place: int, reason: str, message: str) -> None:
        self._removed[place] = Rejected(self.ids[place], "record", reason, message)

    def outcome(self) -> Outcome:
        rows = [int(row) for row in self.sheet.rows]
        labels: dict[int, tuple[Label, ...]] = defaultdict(tuple)
        replaced: dict[int, tuple[Label, ...]] = defaultdict(tuple)
        for name, given in self._given.items():
            own = self._own.get(name, {})
            for place, value in sorted(given.items()):
                if place not in self._removed and own.get(place) != (value,):
                    target = replaced if place in own else labels
                    target[rows[place]] += (Label(name, value),)
        new = sum(not label.name.endswith(SUGGESTED) for row in labels.values() for label in row)
        counted = {"labelled": new, "replaced": sum(map(len, replaced.values()))}
        return Outcome(
            removed={rows[place]: rejected for place, rejected in sorted(self._removed.items())},
            labels=dict(labels),
            replaced_labels=dict(replaced),
            columns=self.columns,
            facts={**counted, **self.facts},
        )


def column_name(name: str, what: str) -> str:
    """A label's name as the name of a column."""
    return re.sub(r"\W+", "_", f"{name}_{what}")
