"""The learning curves' measure: retrieval within the validation split. The full protocols are evaluate's."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from chiasm.systems.chiasm import Chiasm
from chiasm.train.data import TrainingData
from chiasm.train.step import to_device

MOST = 4096
"""Validation records that a curve is measured on, at most."""


@torch.no_grad()
def validate(
    model: Chiasm, data: TrainingData, device: torch.device, dtype: torch.dtype, size: int = 256
) -> dict[str, dict[str, float]]:
    """{"text->image": {"r1": …, "n": …}} over first items; changes nothing."""
    assert data.validation is not None
    embedding: dict[str, list[Tensor]] = {}
    identity: dict[str, list[Tensor]] = {}
    rows = min(data.validation_rows, MOST)
    for start in range(0, rows, size):
        batch = to_device(data.validation.plain(range(start, min(start + size, rows))), device)
        for m, items in batch.items.items():
            embedding.setdefault(m, []).append(model.embed(m, items, dtype))
            identity.setdefault(m, []).append(batch.identity[items.owner])
    found: dict[str, dict[str, float]] = {}
    for one, two in itertools.permutations(embedding, 2):
        query, gallery = torch.cat(embedding[one]), torch.cat(embedding[two])
        figures = recall_at_1(query, gallery, torch.cat(identity[one]), torch.cat(identity[two]))
        if figures["n"]:
            found[f"{one}->{two}"] = figures
    return found


def recall_at_1(query: Tensor, gallery: Tensor, asked: Tensor, held: Tensor, block: int = 512) -> dict[str, float]:
    """How often the nearest of gallery [m, E] has the identity of its query [n, E], ties broken at random in expectation, so that a model
    which calls everything equal scores at chance. In blocks of rows: memory does not grow with n·m."""
    total, count = 0.0, 0
    for start in range(0, len(query), block):
        similarity = query[start : start + block] @ gallery.T
        relevant = asked[start : start + block, None] == held[None, :]
        first = similarity == similarity.amax(1, keepdim=True)
        known = relevant.any(1)
        total += float(((first & relevant).sum(1) / first.sum(1))[known].sum())
        count += int(known.sum())
    return {"r1": total / max(count, 1), "n": count}
