"""What a step over the whole data set is given, and what it gives back.

The build reads every input once, in parallel, into shards (records, keys, measures, refusals); then the steps decide, one after the other, over
compact columns; then the shards are streamed once more into the table with all that was decided.
"""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chiasm.config import BuildConfig
from chiasm.dataset.split import Key
from chiasm.sources import Progress
from chiasm.types import Box, Label, Media, Record, Rejected, Relation, Text


class Embedder(Protocol):
    """A trained model, as a step needs it: a loaded chiasm model fits."""

    @property
    def modalities(self) -> tuple[str, ...]: ...
    def embed_items(self, modality: str, items: Sequence[Media] | Sequence[Text]) -> NDArray[np.float32]:
        """Unit vectors [n, E]; items that cannot be read are rows of NaN."""
        ...


class Sheet(Protocol):
    """The inputs that passed reading and every step before, in the source's order. Row numbers never change: a removed row stays away."""

    @property
    def rows(self) -> NDArray[np.int64]:
        """The numbers of the rows that are still there, ascending."""
        ...

    @property
    def keys(self) -> Sequence[Key]:
        """Id, group, prescribed split and content digests, one for each of `rows`."""
        ...

    @property
    def measures(self) -> pa.Table:
        """The columns of dataset/measure.py, row for row with `rows`."""
        ...

    @property
    def root(self) -> Path | None:
        """Where media lie that a record holds as paths, and what they must not leave."""
        ...

    def records(
        self, rows: Sequence[int] | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[int, Record]]:
        """Streams (row number, record as decided so far), in order; `columns`: fields of Record to fill beside id, None for all.
        Without "image", "audio" and "video" among them no media are read."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step decided. All mappings are by row number; what is not named stays as it is.

    removed: the ledger's row for each record that goes · merged: row → row whose record its texts and media join (the ledger says so) ·
    labels, boxes, relations, texts: added to a record's own · replaced_labels: in place of a record's own of the same name ·
    tied: pairs of rows that must not lie in different splits · columns: float32 [n] or [n, d] row for row with the sheet's rows, stored with the
    table under their names · added: (row of its origin, record) that are new (augmentation) · splits: row → split ·
    groups: row → the group that it was joined into ·
    facts: JSON of what was found, for the table's metadata and the report.
    """

    removed: Mapping[int, Rejected] = field(default_factory=dict)
    merged: Mapping[int, int] = field(default_factory=dict)
    labels: Mapping[int, tuple[Label, ...]] = field(default_factory=dict)
    replaced_labels: Mapping[int, tuple[Label, ...]] = field(default_factory=dict)
    boxes: Mapping[int, tuple[Box, ...]] = field(default_factory=dict)
    relations: Mapping[int, tuple[Relation, ...]] = field(default_factory=dict)
    texts: Mapping[int, tuple[Text, ...]] = field(default_factory=dict)
    tied: Sequence[tuple[int, int]] = ()
    columns: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    added: Iterator[tuple[int, Record]] | None = None
    splits: Mapping[int, str] = field(default_factory=dict)
    groups: Mapping[int, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Step(Protocol):
    """A step's `run` of dataset/<name>.py."""

    def __call__(
        self, sheet: Sheet, config: BuildConfig, *, model: Embedder | None = None, progress: Progress | None = None
    ) -> Outcome: ...
