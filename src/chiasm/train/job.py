"""What the loop trains: the chiasm model or a named system, with its data. One loop serves both (train/run.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from chiasm.train.optimizer import Optimizer
from chiasm.train.step import StepResult
from chiasm.types import Batch


class Learner(Protocol):
    """A model with its data, as the loop sees it. The model is on its device; batches come from the CPU, or lie there already."""

    @property
    def model(self) -> nn.Module: ...

    def make(self, step: int, part: int, parts: int) -> Batch:
        """Slice `part` of `parts` of a step's batch: a function of the step alone."""
        ...

    def calibrate(self, device: torch.device) -> None:
        """Standardise the model's inputs by a sample: once, before the first step of a new run."""
        ...

    def update(self, optimizer: Optimizer, chunks: Sequence[Batch], step: int, progress: float) -> StepResult:
        """One training step. Raises NonFiniteError, the model unchanged, where loss or gradient is not finite."""
        ...

    def validate(self) -> Mapping[str, Mapping[str, float]] | None:
        """Figures on the validation split by name, or None where there is none; changes nothing."""
        ...


class Job(Learner, Protocol):
    """One that is kept in a run folder."""

    def files(self, step: int, seconds: float, finished: bool) -> dict[str, str]:
        """What travels with a checkpoint as text, by file name."""
        ...

    def state(self) -> dict[str, Any]:
        """What a checkpoint's state.json says of the data."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Weights, teachers, queues and fitted providers: all that a checkpoint keeps of the model."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        ...
