"""The parts of a step shared out so that processes that wait for each other have equal work."""

from __future__ import annotations

from collections.abc import Sequence

from chiasm.config import ModelConfig
from chiasm.modalities.modality import MODALITY_TABLE
from chiasm.types import Batch


def share_out(costs: Sequence[float], processes: int) -> list[int]:
    """Which parts each process takes, as many each, one process after the other: the costliest part first, to whoever has least
    (longest processing time first, Graham 1969). One process takes all in their order."""
    count = len(costs) // processes
    taken: list[list[int]] = [[] for _ in range(processes)]
    for part in sorted(range(len(costs)), key=lambda p: -costs[p]):
        open_to = [mine for mine in taken if len(mine) < count]
        min(open_to, key=lambda mine: sum(costs[p] for p in mine)).append(part)
    return [part for mine in taken for part in sorted(mine)]


def tokens_of(batch: Batch, model: ModelConfig) -> int:
    """About how many tokens a trunk sees of a batch: what its update costs, in proportion."""
    total = 0
    for name, items in batch.items.items():
        modality = name.rpartition(".")[2]
        if modality in ("image", "video"):
            total += len(items.owner) * MODALITY_TABLE[modality].tokens(model)
        elif modality == "audio":
            total += int(items.valid.sum()) // model.audio.patch
        else:
            total += int(items.valid.sum())
    return total
