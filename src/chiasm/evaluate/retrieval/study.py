"""What every protocol of one evaluation works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.evaluate.retrieval.items import Collected, Progress
from chiasm.evaluate.retrieval.pairs import Scorer
from chiasm.types import MODALITIES, Embedder

Rows = NDArray[np.bool_]
"""bool [rows of the table]."""
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Budget:
    """How long one fine-tuning takes: so many steps, or minutes, whichever comes first."""

    steps: int | None = 300
    minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Study:
    """One model on one table.

    splits: what is reported, what tests first · tested: those of them that test · train: rows that may be learned from · by: labels whose
    values are groups, None: those that make a few large ones · budget: of a fine-tuning · left_out: filled with why a figure is missing ·
    known: vectors of class names by label, filled as they are made · tuned: answers of fine-tuned copies, int64 [rows of the table], and
    the steps they took, by modality and label, filled likewise.
    """

    model: Embedder
    table: Table
    scorer: Scorer
    splits: dict[str, Rows]
    tested: tuple[str, ...]
    train: Rows
    by: Sequence[str] | None
    seed: int
    progress: Progress
    left_out: dict[str, str]
    budget: Budget = Budget()
    known: dict[str, NDArray[np.float32]] = field(default_factory=dict[str, NDArray[np.float32]])
    tuned: dict[tuple[str, str], tuple[Ints, int]] = field(default_factory=dict[tuple[str, str], "tuple[Ints, int]"])

    @property
    def items(self) -> Collected:
        return self.scorer.items

    @property
    def groups(self) -> NDArray[np.int64]:
        return self.scorer.groups

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every ordered pair of the model's modalities."""
        names = [name for name in MODALITIES if name in self.model.modalities]
        return [(a, b) for a in names for b in names if a != b]
