"""What the steps have decided so far, by row number: who is still there, what joins whom, what is added to a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.keys import ChangedKeys
from chiasm.dataset.split import Key
from chiasm.dataset.step import Outcome
from chiasm.errors import ConfigError
from chiasm.types import Box, Label, Record, Rejected, Relation, Text

T = TypeVar("T")

ALIGNED = "aligned"
"""The ledger's reason for an input whose content lives on in another row."""

PARTS = ("texts", "image", "audio", "video", "labels", "questions", "relations")
"""What a record gains from the ones that join it; boxes and mask belong to its first picture and come with that."""


class Decisions:
    """Takes each step's Outcome, in order, over rows 0 … n − 1."""

    def __init__(self, keys: Sequence[Key], pictures: NDArray[np.int64]) -> None:
        """keys: of every row · pictures: how many pictures each row has."""
        self.alive = np.ones(len(keys), np.bool_)
        self.keys = ChangedKeys(keys)
        self.refused: list[Rejected] = []
        self.tied: list[tuple[int, int]] = []
        self.joined: dict[int, list[int]] = {}
        self.columns: dict[str, NDArray[np.float32]] = {}
        self._column_of: dict[str, str] = {}
        self.splits: dict[int, str] = {}
        self.groups: dict[int, str] = {}
        self._into: dict[int, int] = {}
        self._pictures = pictures
        self._labels: dict[int, tuple[Label, ...]] = {}
        self._replaced: dict[int, tuple[Label, ...]] = {}
        self._boxes: dict[int, tuple[Box, ...]] = {}
        self._relations: dict[int, tuple[Relation, ...]] = {}
        self._texts: dict[int, tuple[Text, ...]] = {}

    def apply(self, step: str, outcome: Outcome) -> list[Rejected]:
        """Take what `step` decided; the ledger's rows that come of it.

        Raises ValueError where it speaks of rows that are not there, and ConfigError for a column that another step has written.
        """
        rows = np.flatnonzero(self.alive)
        for what in (
            "removed",
            "merged",
            "labels",
            "replaced_labels",
            "boxes",
            "relations",
            "texts",
            "splits",
            "groups",
        ):
            wrong = [row for row in getattr(outcome, what) if not (0 <= row < len(self.alive) and self.alive[row])]
            if wrong:
                raise ValueError(f"the step {step} names rows in `{what}` that are not there, first {wrong[0]}")
        if outcome.removed.keys() & outcome.merged.keys():
            raise ValueError(f"the step {step} removes rows that it merges")
        for name, values in outcome.columns.items():
            self._take_column(step, name, values, rows)
        _extend(self._labels, outcome.labels)
        _extend(self._boxes, outcome.boxes)
        _extend(self._relations, outcome.relations)
        _extend(self._texts, outcome.texts)
        for row, labels in outcome.replaced_labels.items():
            self._replaced[row] = _replaced(self._replaced.get(row, ()), labels)
            self._labels[row] = _replaced(self._labels.get(row, ()), labels, only=True)
        self.splits.update(outcome.splits)
        self.groups.update(outcome.groups)
        self.tied += [(int(a), int(b)) for a, b in outcome.tied]
        refused = [outcome.removed[row] for row in sorted(outcome.removed)]
        refused += self._merge(step, outcome.merged)
        for row in outcome.removed:
            self.alive[row] = False
        self.refused += refused
        return refused

    def touches(self, row: int) -> bool:
        """Whether the record of `row` is other than the shard's, beside its group and split."""
        mine = (self.joined, self._labels, self._replaced, self._boxes, self._relations, self._texts)
        return any(row in of for of in mine)

    def record(self, row: int, record: Record, joining: Callable[[Sequence[int]], Iterable[Record]]) -> Record:
        """The record of `row` as decided so far. joining: the shards' records of the rows that join it, in their order."""
        decided = self._own(row, record)
        members = self.joined.get(row)
        if not members:
            return decided
        others = [self._own(member, other) for member, other in zip(members, joining(members), strict=True)]
        changes = {part: _distinct(getattr(decided, part), *(getattr(o, part) for o in others)) for part in PARTS}
        rows, records = (row, *members), (decided, *others)
        # Boxes and mask are of the first picture, and so come from whoever brings it.
        first = next((one for number, one in zip(rows, records, strict=True) if self._pictures[number]), decided)
        return replace(decided, **changes, boxes=first.boxes, mask=first.mask, licence=decided.licence or first.licence)

    def _own(self, row: int, record: Record) -> Record:
        labels = record.labels
        if row in self._replaced:
            labels = _replaced(labels, self._replaced[row])
        return replace(
            record,
            labels=_distinct(labels, self._labels.get(row, ())),
            boxes=record.boxes + self._boxes.get(row, ()),
            relations=_distinct(record.relations, self._relations.get(row, ())),
            texts=_distinct(record.texts, self._texts.get(row, ())),
        )

    def _take_column(self, step: str, name: str, values: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        if values.ndim not in (1, 2) or len(values) != len(rows):
            raise ValueError(f"the step {step}: column {name!r} of shape {values.shape} for {len(rows)} rows")
        if name in self.columns:
            raise ConfigError(
                f"the steps {self._column_of[name]} and {step} both write a column {name!r}; give the label or the vector of one another name"
            )
        self._column_of[name] = step
        whole = np.full((len(self.alive), *values.shape[1:]), np.nan, np.float32)
        whole[rows] = values
        self.columns[name] = whole

    def _merge(self, step: str, merged: Mapping[int, int]) -> list[Rejected]:
        if not merged:
            return []
        self._into.update({int(row): int(target) for row, target in merged.items()})
        refused: list[Rejected] = []
        same = _Names()
        members: dict[int, set[int]] = {}
        contents: dict[int, dict[str, None]] = {}
        for row in sorted(merged):
            target = self._root(step, row)
            if not self.alive[target]:
                raise ValueError(f"the step {step} merges row {row} into row {target}, which is not there")
            members.setdefault(target, set(self.joined.get(target, ()))).update((row, *self.joined.pop(row, ())))
            mine, other = self.keys[target], self.keys[row]
            if mine.group is not None and other.group is not None:
                same.tie(mine.group, other.group)
            contents.setdefault(target, dict.fromkeys(mine.contents)).update(dict.fromkeys(other.contents))
            if (mine.group, mine.split) != (mine.group or other.group, mine.split or other.split):
                self.keys.change(
                    target, replace(mine, group=mine.group or other.group, split=mine.split or other.split)
                )
            refused.append(
                Rejected(other.id, "record", ALIGNED, f"joined the row {mine.id!r}, which holds its content")
            )
            self.alive[row] = False
        for target, rows in members.items():
            self.joined[target] = sorted(rows)
            self.keys.change(target, replace(self.keys[target], contents=tuple(contents[target])))
        if same.any:
            self.keys.change_all(same.renamed)
        return refused

    def _root(self, step: str, row: int) -> int:
        seen = {row}
        while row in self._into:
            row = self._into[row]
            if row in seen:
                raise ValueError(f"the step {step} merges row {row} into itself")
            seen.add(row)
        return row


class _Names:
    """Names of groups that are one group now (union-find); each is called by the first in alphabetical order."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    @property
    def any(self) -> bool:
        return bool(self._parent)

    def of(self, name: str) -> str:
        first = name
        while first in self._parent:
            first = self._parent[first]
        while name != first:  # whoever asks next has one step to go
            self._parent[name], name = first, self._parent[name]
        return first

    def renamed(self, key: Key) -> Key:
        """`key` with its group's name as it is now; the same object where it is as it was."""
        name = None if key.group is None else self.of(key.group)
        return key if name == key.group else replace(key, group=name)

    def tie(self, a: str, b: str) -> None:
        first, second = sorted((self.of(a), self.of(b)))
        if first != second:
            self._parent[second] = first


def _extend(known: dict[int, tuple[T, ...]], more: Mapping[int, tuple[T, ...]]) -> None:
    for row, items in more.items():
        known[row] = (*known.get(row, ()), *items)


def _replaced(labels: Iterable[Label], by: Sequence[Label], *, only: bool = False) -> tuple[Label, ...]:
    """`labels` without those of the names in `by`, followed by `by` (`only`: not followed)."""
    names = {label.name for label in by}
    return (*(label for label in labels if label.name not in names), *(() if only else by))


def _distinct(*parts: Iterable[T]) -> tuple[T, ...]:
    """All items in order; one that was there before in another part is left out."""
    first, *others = (tuple(part) for part in parts)
    known, more = set(first), dict[T, None]()
    for part in others:
        more.update(dict.fromkeys(item for item in part if item not in known))
    return (*first, *more)
