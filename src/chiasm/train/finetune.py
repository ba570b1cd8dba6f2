"""Full fine-tuning: a copy of a trained encoder with a linear head on its vectors, both trained on labels, in memory alone.

Legend: n records · C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from chiasm.batches.sampler import Sampler
from chiasm.config import OptimizerConfig, TrainConfig
from chiasm.dataset.table import Table
from chiasm.errors import ModelError
from chiasm.nn.linear import Linear
from chiasm.train.media import Progress
from chiasm.train.model import LoadedModel
from chiasm.train.optimizer import Optimizer
from chiasm.train.run import fit
from chiasm.train.step import StepResult, guarded_step
from chiasm.types import Batch, Items, Media, Text

BATCH = 64
KEPT = 2**29
"""Bytes of prepared records that are kept in memory."""
OPTIMIZER = OptimizerConfig(kind="adamw", learning_rate=3e-4, weight_decay=0.05, betas=(0.9, 0.999), warmup=0.1)
"""AdamW at a third of the rate of training from nothing, so that what was learned is bent and not broken."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """rows: int64 [n], positions in the table of records that have `modality`; classes: int64 [n], 0 … count − 1."""

    table: Table
    modality: str
    rows: NDArray[np.int64]
    classes: NDArray[np.int64]
    count: int

    def items(self, places: Sequence[int] | NDArray[np.int64]) -> list[Text | Media]:
        """The records' first items, media with their bytes. Raises MediaError for one that cannot be read."""
        column = "texts" if self.modality == "text" else self.modality
        found: list[Text | Media] = []
        for record in self.table.records(self.rows[places], columns=["id", column]):
            item: Text | Media = getattr(record, column)[0]
            found.append(replace(item, data=self.table.read(item), path=None) if isinstance(item, Media) else item)
        return found


class _Prepared:
    """What the network is given of each record, made at its first draw and kept while there is room: an epoch then costs no decoding."""

    def __init__(self, model: LoadedModel, data: Labelled) -> None:
        self._model, self._data, self._room = model, data, KEPT
        self._kept: dict[int, Items] = {}

    def get(self, places: NDArray[np.int64]) -> Items:
        missing = [place for place in dict.fromkeys(places.tolist()) if place not in self._kept]
        made: dict[int, Items] = {}
        if missing:
            items = self._model.prepare(self._data.modality, self._data.items(missing))
            value, valid = items.value.split(1), items.valid.split(1)
            made = {
                place: Items(v.clone(), real, items.owner[:1])
                for place, v, real in zip(missing, value, valid, strict=True)
            }
            size = items.value.element_size() * items.value.numel()
            if size <= self._room:
                self._room -= size
                self._kept |= made
        found = [made[place] if place in made else self._kept[place] for place in places.tolist()]
        longest = max(one.value.shape[1] for one in found)
        # Texts and sounds of another batch were padded to another length.
        value = torch.cat([_padded(one.value, longest) for one in found])
        valid = torch.cat(
            [_padded(one.valid, longest) if one.valid.shape[1] == one.value.shape[1] else one.valid for one in found]
        )
        return Items(value, valid, torch.arange(len(found), device=value.device))


def _padded(x: Tensor, length: int) -> Tensor:
    """[1, N, …] → [1, length, …], with zeros behind."""
    return F.pad(x, (0, 0) * (x.ndim - 2) + (0, length - x.shape[1]))


class Classifier(nn.Module):
    """A model's vectors, standardised, through a linear map that begins at zero: logits [I, C]. Trains the model it is given."""

    def __init__(self, model: LoadedModel, modality: str, classes: int) -> None:
        super().__init__()
        self.encoder = model.network.requires_grad_(True)
        self.head = Linear(model.dimension, classes)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(model.dimension))
        self.register_buffer("deviation", torch.ones(model.dimension))
        self._model, self._modality = model, modality

    def forward(self, items: Items) -> Tensor:
        vectors = self._model.vectors(self._modality, items, self._model.dtype)
        return self.head((vectors - self.mean) / self.deviation)

    def standardise(self, vectors: NDArray[np.float32]) -> None:
        """Set by vectors [n, E] what the head takes for the mean and the deviation of every dimension."""
        deviation = vectors.std(axis=0)
        # A dimension that never moves says nothing: it must not be blown up.
        deviation[deviation < 1e-6] = 1.0
        self.mean.copy_(torch.from_numpy(vectors.mean(axis=0)))
        self.deviation.copy_(torch.from_numpy(deviation))

    @torch.no_grad()
    def predict(self, items: Sequence[Text | Media]) -> NDArray[np.int64]:
        """The likeliest class of each: int64 [n]. Leaves the classifier in evaluation mode."""
        self.eval()
        return self(self._model.prepare(self._modality, items)).argmax(-1).cpu().numpy()


class _Learner:
    """See train/job.py."""

    def __init__(self, model: LoadedModel, data: Labelled, vectors: NDArray[np.float32], seed: int, batch: int) -> None:
        self._data, self._vectors, self._batch = data, vectors, batch
        self._prepared = _Prepared(model, data)
        self._sampler = Sampler(np.ones(len(data.rows)), seed)
        self.model = Classifier(model, data.modality, data.count).to(model.device)

    def make(self, step: int, part: int, parts: int) -> Batch:
        size = self._batch // parts
        chosen = self._sampler.rows(step, self._batch)[part * size : (part + 1) * size]
        items = self._prepared.get(chosen)
        target = torch.from_numpy(self._data.classes[chosen]).to(items.value.device)
        names = tuple(f"row {row}" for row in self._data.rows[chosen].tolist())
        return Batch(names, target, {self._data.modality: items}, {"class": target})

    def calibrate(self, device: torch.device) -> None:
        self.model.standardise(self._vectors)

    def update(self, optimizer: Optimizer, chunks: Sequence[Batch], step: int, progress: float) -> StepResult:
        self.model.train()
        optimizer.clear()
        total = 0.0
        for chunk in chunks:
            logits = self.model(chunk.items[self._data.modality])
            loss = F.cross_entropy(logits.float(), chunk.labels["class"]) / len(chunks)
            loss.backward()
            total += loss.item()
        norm = guarded_step(optimizer, total, OPTIMIZER.clip, step, chunks)
        return StepResult(total, {"class": total}, {}, 1.0, norm)

    def validate(self) -> Mapping[str, Mapping[str, float]] | None:
        return None  # the budget is fixed beforehand: nothing is chosen by a figure


def finetune(
    model: LoadedModel,
    data: Labelled,
    vectors: NDArray[np.float32],
    *,
    steps: int | None,
    minutes: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Classifier, int]:
    """A copy of `model` fine-tuned whole on the labels of `data`, and the steps that it took; `model` stays as it is.

    vectors: float32 [n, E], what the model makes of the same records, by which the head's inputs are standardised. The run ends at `steps`
    or after `minutes`, whichever comes first; with steps alone it is, on a CPU, the same for the same seed.
    Raises ModelError where the model has nothing to train, MediaError, NonFiniteError and Interrupted.
    """
    check_trainable(model)
    batch = min(BATCH, len(data.rows))
    settings = TrainConfig(batch=batch, steps=steps, minutes=minutes, seed=seed)
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        learner = _Learner(model.apart(), data, vectors, seed, batch)
        done = fit(learner, settings, OPTIMIZER, model.device, progress)
    return learner.model.eval(), done


def check_trainable(model: object) -> LoadedModel:
    """The model. Raises ModelError for one whose encoder cannot be trained: it was not loaded by chiasm, or has no weights."""
    if not isinstance(model, LoadedModel):
        raise ModelError(f"fine-tuning needs a model loaded from a run, not {type(model).__name__}: chiasm.load(RUN)")
    if not any(p.is_floating_point() for p in model.network.parameters()):
        raise ModelError(f"{model.path}: its encoder has no weights to fine-tune")
    return model
