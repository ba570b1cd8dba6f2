"""Batches for the named systems: a pretraining task is a list of views, and each view adds its part to the batch.

A view says which records it can use and writes items or labels of a Draft under the names that its system reads. All randomness (masks,
crops, negatives) comes from the draft's draws, so a batch is a pure function of seed and step, whatever the processes and restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chiasm.batches.draws import Draws
from chiasm.batches.sampler import Sampler
from chiasm.batches.store import Store
from chiasm.errors import DataError
from chiasm.modalities.regions import RegionProvider
from chiasm.modalities.text import Tokenizer
from chiasm.types import Batch, Items, Record

EVALUATION_STEP = 2**40
"""Draws of evaluation batches are seeded by steps from here on, which no training step reaches."""


@dataclass(frozen=True)
class Facts:
    """What a data set offers, as far as the shape of a model depends on it; kept with every checkpoint.

    vocabulary: tokens of the tokenizer · classes: values of the label that records are classified by · answers: to questions, most frequent
    first · objects: classes of regions · region_width: F, numbers that describe a region · languages: of its texts
    """

    vocabulary: int
    classes: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    region_width: int = 0
    languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """The records of a split as the views read them: parallel lists, one entry a record.

    row: positions in the table · records: everything but media · pictured: whether the first picture can be read ·
    regions: the provider of boxes, features and classes, where a view asks for them · label: the name of the label that Facts.classes lists ·
    identity: int64 [n], equal for records that count as the same thing; None: each is its own
    sounds, sounding: recordings as log-mel, and which of each record's can be read, where a view asks for sound
    """

    ids: list[str]
    row: list[int]
    records: Sequence[Record]
    pictured: Sequence[bool]
    pictures: Store | None
    tokenizer: Tokenizer
    facts: Facts
    label: str | None = None
    regions: RegionProvider | None = None
    identity: NDArray[np.int64] | None = None
    sounds: Store | None = None
    sounding: Sequence[Sequence[int]] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def picture(self, positions: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """First pictures uint8 [n, S, S, 3]. Raises DataError naming a record whose picture went unreadable since the build."""
        assert self.pictures is not None
        found = self.pictures.get([(self.row[p], 0) for p in positions])
        for position, picture in zip(positions, found, strict=True):
            if picture is None:
                raise DataError(f"{self.ids[position]}: its picture can no longer be read; build the table again")
        return np.stack([picture for picture in found if picture is not None])

    def sound(self, positions: Sequence[int] | NDArray[np.int64], indices: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Of each record the sound of that index, log-mel uint8 [T, M]. Raises DataError naming a record whose sound went unreadable since
        the build."""
        assert self.sounds is not None
        found = self.sounds.get([(self.row[p], index) for p, index in zip(positions, indices, strict=True)])
        for position, sound in zip(positions, found, strict=True):
            if sound is None:
                raise DataError(f"{self.ids[position]}: its sound can no longer be read; build the table again")
        return [sound for sound in found if sound is not None]


@dataclass
class Draft:
    """A batch in the making. rows: int64 [B], positions in the corpus; pool: int64 [n], ascending, the positions that the task can use,
    from which other records are drawn (None: all)."""

    corpus: Corpus
    rows: NDArray[np.int64]
    draws: Draws
    training: bool
    items: dict[str, Items] = field(default_factory=dict[str, Items])
    labels: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    pool: NDArray[np.int64] | None = None

    @property
    def owner(self) -> Tensor:
        """One item a record: 0 … B−1."""
        return torch.arange(len(self.rows))

    def others(self, purpose: str) -> NDArray[np.int64]:
        """For each record the position of another one, drawn evenly from the pool: int64 [B]."""
        pool = np.arange(len(self.corpus)) if self.pool is None else self.pool
        drawn = (self.draws.uniform(purpose, 1)[:, 0] * max(len(pool) - 1, 1)).astype(np.int64)
        return pool[(np.searchsorted(pool, self.rows) + 1 + drawn) % len(pool)]


class View(Protocol):
    """A part of a batch. `picture`: the side in pixels at which it wants pictures decoded, None where it wants none. `needs`: what a record must
    have to be usable, in words; empty for nothing."""

    @property
    def needs(self) -> str: ...

    @property
    def picture(self) -> int | None: ...

    def usable(self, corpus: Corpus, position: int) -> bool:
        """Whether the record has what the view needs."""
        ...

    def add(self, draft: Draft) -> None:
        """Write the view's items and labels. Deterministic in the draft's rows and draws; augments only where draft.training."""
        ...


@dataclass(frozen=True)
class Uniforms:
    """Uniform numbers for what a loss has to draw (hard negatives): labels[name], float64 [B, columns]."""

    needs = ""

    name: str
    columns: int
    picture: int | None = None

    def usable(self, corpus: Corpus, position: int) -> bool:
        return True

    def add(self, draft: Draft) -> None:
        draft.labels[self.name] = torch.from_numpy(draft.draws.uniform(self.name, self.columns))


@dataclass(frozen=True)
class Task:
    """A pretraining task: its views, in order, and how often it is drawn against a system's other tasks (one task a step)."""

    name: str
    views: tuple[View, ...]
    weight: float = 1.0

    @property
    def needs(self) -> str:
        """What a record must have to be usable, in words."""
        return ", ".join(dict.fromkeys(view.needs for view in self.views if view.needs))


class TaskMaker:
    """Makes the batch of any step. Where a system has several tasks, each step is of one, drawn in proportion to their weights
    (UNITER, arXiv 1909.11740, 3.2)."""

    def __init__(self, corpus: Corpus, tasks: Sequence[Task], batch: int, seed: int) -> None:
        self._corpus, self._tasks, self._batch, self._seed = corpus, tuple(tasks), batch, seed
        self._positions = {task.name: usable(corpus, task) for task in tasks}
        for task in tasks:
            if not len(self._positions[task.name]):
                raise DataError(f"no record of the table has what the task {task.name!r} needs: {task.needs}")
        self._samplers = {name: Sampler(np.ones(len(p)), seed) for name, p in self._positions.items()}
        weights = np.array([task.weight for task in tasks], np.float64)
        self._until = np.cumsum(weights / weights.sum())

    def make(self, step: int, part: int = 0, parts: int = 1) -> Batch:
        """Slice `part` of `parts` equal ones of step `step`'s batch."""
        size = self._batch // parts
        mine = slice(part * size, (part + 1) * size)
        draws = Draws(self._seed, step, self._batch, mine)
        index = int(np.searchsorted(self._until, draws.once("task"), side="right"))
        task = self._tasks[min(index, len(self._tasks) - 1)]
        pool = self._positions[task.name]
        chosen = pool[self._samplers[task.name].rows(step, self._batch)]
        return assemble(self._corpus, task, chosen[mine], draws, training=True, pool=pool)


def usable(corpus: Corpus, task: Task) -> NDArray[np.int64]:
    """Positions of the records that every view of the task can use."""
    return np.array([p for p in range(len(corpus)) if all(v.usable(corpus, p) for v in task.views)], np.int64)


def assemble(
    corpus: Corpus,
    task: Task,
    rows: NDArray[np.int64],
    draws: Draws,
    *,
    training: bool,
    pool: NDArray[np.int64] | None = None,
) -> Batch:
    draft = Draft(corpus, rows, draws, training, pool=pool)
    for view in task.views:
        view.add(draft)
    ids = tuple(corpus.ids[row] for row in rows.tolist())
    identity = rows if corpus.identity is None else corpus.identity[rows]
    return Batch(ids, torch.from_numpy(identity), draft.items, draft.labels, task.name)


def evaluation_batches(corpus: Corpus, task: Task, size: int, most: int, seed: int = 0) -> Sequence[Batch]:
    """`most` usable records, spread over the corpus, in batches of at most `size`, with draws that depend on the seed alone and nothing
    augmented."""
    rows = pool = usable(corpus, task)
    if len(rows) > most:  # spread: tables are often sorted by class
        rows = rows[np.arange(most) * len(rows) // most]
    return [
        assemble(
            corpus,
            task,
            part,
            Draws(seed, EVALUATION_STEP + start, len(part), slice(None)),
            training=False,
            pool=pool,
        )
        for start in range(0, len(rows), size)
        for part in (rows[start : start + size],)
    ]


def assemble_first(corpus: Corpus, task: Task, count: int) -> Batch:
    """One batch of `count` usable records spread over the corpus, nothing augmented: for calibration and inspection."""
    pool = usable(corpus, task)
    rows = pool[:: max(len(pool) // count, 1)][:count]
    draws = Draws(0, EVALUATION_STEP, len(rows), slice(None))
    return assemble(corpus, task, rows, draws, training=False, pool=pool)
