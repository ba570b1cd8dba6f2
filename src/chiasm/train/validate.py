"""The learning curves' measure: retrieval within the validation split. The full protocols are evaluate's."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from chiasm.systems.chiasm import Chiasm
from chiasm.train.data import TrainingData
from chiasm.train.step import to_device


@torch.no_grad()
def validate(
    model: Chiasm, data: TrainingData, device: torch.device, dtype: torch.dtype, size: int = 256
) -> dict[str, dict[str, float]]:
    """{"text->image": {"r1": …, "n": …}} over first items; changes nothing."""
    assert data.validation is not None
    embedding: dict[str, list[Tensor]] = {}
    identity: dict[str, list[Tensor]] = {}
    for start in range(0, data.validation_rows, size):
        batch = to_device(data.validation.plain(range(start, min(start + size, data.validation_rows))), device)
        for m, items in batch.items.items():
            embedding.setdefault(m, []).append(model.embed(m, items, dtype))
            identity.setdefault(m, []).append(batch.identity[items.owner])
    found: dict[str, dict[str, float]] = {}
    for one, two in itertools.permutations(embedding, 2):
        similarity = torch.cat(embedding[one]) @ torch.cat(embedding[two]).T
        relevant = torch.cat(identity[one])[:, None] == torch.cat(identity[two])[None, :]
        asked = relevant.any(1)
        if not asked.any():
            continue
        best = similarity.masked_fill(~relevant, -torch.inf).amax(1, keepdim=True)
        better = ((similarity > best) & ~relevant).sum(1)
        found[f"{one}->{two}"] = {"r1": float((better[asked] == 0).float().mean()), "n": int(asked.sum())}
    return found
