"""One record as it goes into a shard: checked (clean.py) and measured (measure.py), each medium decoded once.

`examine(record, root, vouched, embed)` returns an `Examined`: the record that is kept, or None · the ledger's rows of what was refused ·
its Key for the split · its row of measure.MEASURES as a dict, or None where nothing is measured: a refused record, or a source that
vouches for its media. It is a pure function of its arguments and of the files named: safe in any thread or process, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chiasm.dataset.clean import check_record
from chiasm.dataset.measure import Measuring
from chiasm.dataset.split import Key
from chiasm.types import Record, Rejected


@dataclass(frozen=True, slots=True)
class Examined:
    """See this module's docstring. rejected: one row where the record was refused, else one for each part that was dropped."""

    record: Record | None
    rejected: tuple[Rejected, ...]
    key: Key
    measures: dict[str, object] | None


def examine(record: Record, root: Path | None, vouched: frozenset[str], embed: bool) -> Examined:
    """Check and measure `record`. vouched: modalities that are taken as they are · embed: media come back as bytes."""
    if vouched:
        checked = check_record(record, root, vouched=vouched, embed=embed)
        return Examined(checked.record, checked.rejected, checked.key, None)
    measuring = Measuring()
    checked = check_record(record, root, embed=embed, look=measuring.look)
    measures = None if checked.record is None else measuring.row(checked.record.texts)
    return Examined(checked.record, checked.rejected, checked.key, measures)
