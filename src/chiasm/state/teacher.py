"""The momentum teacher: a copy of a module that follows it slowly (MoCo, arXiv 1911.05722, 3.2; ALBEF, arXiv 2107.07651, 3.1)."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Teacher(nn.Module, Generic[M]):
    """An exponential moving average of a module. Its weights are buffers in effect: no gradient, saved with the checkpoint, moved only by
    `follow`, which the training loop calls after an update. A forward pass, in training or evaluation, changes nothing.

    It runs in evaluation mode, and its batch-normalisation statistics are the average of the student's over the same time as its weights:
    the student's latest do not fit weights that lag behind.
    """

    def __init__(self, module: M) -> None:
        super().__init__()
        self.module: M = copy.deepcopy(module).requires_grad_(False)
        self.module.eval()

    def train(self, mode: bool = True) -> Teacher[M]:
        """Always evaluation mode: a teacher that updated statistics in `forward` would change state in an evaluation pass."""
        return super().train(False)

    @torch.no_grad()
    def follow(self, student: nn.Module, momentum: float) -> None:
        """θ_teacher ← m·θ_teacher + (1−m)·θ_student, for weights and running statistics; other buffers become the student's."""
        for mine, theirs in zip(self.module.parameters(), student.parameters(), strict=True):
            mine.lerp_(theirs.to(mine.dtype), 1 - momentum)
        for (name, buffer), source in zip(self.module.named_buffers(), student.buffers(), strict=True):
            if name.endswith(("running_mean", "running_var")):
                buffer.lerp_(source, 1 - momentum)
            else:
                buffer.copy_(source)

    def forward(self, *args: object, **kwargs: object) -> Tensor:
        with torch.no_grad():
            return self.module(*args, **kwargs)
