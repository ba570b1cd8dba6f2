"""One update: embed, gather, loss, gradients, guard, step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from chiasm.errors import NonFiniteError
from chiasm.objectives.contrastive import Contrastive
from chiasm.systems.chiasm import Chiasm
from chiasm.train.distributed import World
from chiasm.train.optimizer import Optimizer
from chiasm.types import Batch, Items

SPEAKING = ("text", "audio")
"""Modalities whose items have a language."""


@dataclass(frozen=True)
class StepResult:
    loss: float
    losses: Mapping[str, float]
    chance: Mapping[str, float]
    """What the loss of each pair is when nothing is known; see Contrastive.chance."""
    scale: float
    gradient_norm: float


def to_device(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch

    def move(x: Tensor) -> Tensor:
        if x.device.type == device.type:
            return x
        return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)

    def moved(items: Items) -> Items:
        given = {part.name: getattr(items, part.name) for part in fields(items)}
        return replace(items, **{name: move(value) for name, value in given.items() if value is not None})

    items = {name: moved(part) for name, part in batch.items.items()}
    labels = {name: move(value) for name, value in batch.labels.items()}
    return Batch(batch.ids, move(batch.identity), items, labels, batch.task)


def train_step(
    model: Chiasm,
    objective: Contrastive,
    optimizer: Optimizer,
    chunks: Sequence[Batch],
    dtype: torch.dtype,
    world: World,
    clip: float,
    step: int,
) -> StepResult:
    """Update `model` once on all chunks of all processes.

    The loss sees the whole batch however many chunks there are: embeddings first, the loss's gradient with respect to them, then each chunk's
    backward pass (GradCache, arXiv 2101.06983). With one chunk nothing is computed twice.
    Raises NonFiniteError, the model unchanged, where loss or gradient is not finite.
    """
    optimizer.clear()
    alone = len(chunks) == 1
    with torch.set_grad_enabled(alone):
        made = [{m: model.embed(m, items, dtype) for m, items in chunk.items.items()} for chunk in chunks]
    leaves: dict[str, Tensor] = {}
    identity: dict[str, Tensor] = {}
    language: dict[str, Tensor] = {}
    slices: dict[str, slice] = {}
    for m in model.modalities:
        mine = [part[m].detach() for part in made if m in part]
        rows = [chunk.identity[chunk.items[m].owner] for chunk in chunks if m in chunk.items]
        device = model.log_scale.device
        local = torch.cat(mine) if mine else torch.zeros(0, model.embedding, device=device)
        labels = torch.cat(rows) if rows else torch.zeros(0, dtype=torch.int64, device=device)
        gathered, slices[m] = world.gather(local)
        if len(gathered):
            leaves[m] = gathered.requires_grad_()
            identity[m] = world.gather(labels)[0]
            if m in SPEAKING:
                spoken = [chunk.items[m].language for chunk in chunks if m in chunk.items]
                codes = [code for code in spoken if code is not None]
                language[m] = world.gather(torch.cat(codes) if codes else torch.full_like(labels, -1))[0]
    output = model.output(leaves)
    losses = objective(output, identity, language)
    if (
        not losses
    ):  # every medium of the batch that would make a pair was unreadable: nothing to learn from, nothing changes
        return StepResult(0.0, {}, {}, output.scale.item(), 0.0)
    total = objective.total(losses)
    total.backward()
    for chunk, part in zip(chunks, _with_graph(model, chunks, made, dtype), strict=True):
        roots = [part[m] for m in chunk.items]
        gradients: list[Tensor] = []
        for m in chunk.items:
            # Consume this process's slice from its start, chunk by chunk.
            here = slices[m]
            stop = here.start + len(part[m])
            whole = leaves[m].grad
            # A modality that formed no pair in this batch (sounds of records that have nothing else) got no gradient.
            gradients.append(torch.zeros_like(part[m]) if whole is None else whole[here.start : stop])
            slices[m] = slice(stop, here.stop)
        torch.autograd.backward(roots, gradients)
    if world.size > 1:
        # Temperature and bias saw the whole loss on every process; the sum below must count them once.
        for p in (model.log_scale, model.bias):
            if p is not None and p.grad is not None:
                p.grad /= world.size
        world.sum_gradients(optimizer.parameters)
    norm = guarded_step(optimizer, total.item(), clip, step, chunks)
    chance = objective.chance(output, identity, language)
    return StepResult(total.item(), {k: v.item() for k, v in losses.items()}, chance, output.scale.item(), norm)


def guarded_step(optimizer: Optimizer, loss: float, clip: float, step: int, chunks: Sequence[Batch]) -> float:
    """Clip the gradients and update; the norm they had. Raises NonFiniteError, nothing updated, where it or the loss is not finite."""
    norm = torch.nn.utils.clip_grad_norm_(optimizer.parameters, clip).item()
    if not (math.isfinite(norm) and math.isfinite(loss)):
        what = "gradient" if math.isfinite(loss) else "loss"
        raise NonFiniteError(f"step {step}: the {what} is not finite; nothing was updated; batch: {names_of(chunks)}")
    optimizer.step()
    return norm


def _with_graph(
    model: Chiasm, chunks: Sequence[Batch], made: Sequence[Mapping[str, Tensor]], dtype: torch.dtype
) -> Iterator[Mapping[str, Tensor]]:
    """Embeddings of each chunk with their graph: those at hand for a single chunk, else made again, one chunk in memory at a time."""
    if len(chunks) == 1:
        yield made[0]
        return
    for chunk in chunks:
        yield {m: model.embed(m, items, dtype) for m, items in chunk.items.items()}


def names_of(chunks: Sequence[Batch]) -> str:
    """The batch's ids for an error message, the first twenty of them."""
    ids = [name for chunk in chunks for name in chunk.ids]
    return ", ".join(ids[:20]) + (f" and {len(ids) - 20} more" if len(ids) > 20 else "")
