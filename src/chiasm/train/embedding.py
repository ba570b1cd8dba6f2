"""The chiasm model as a job: contrastive over every pair of modalities, whatever the number of chunks and processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chiasm.config import RunConfig, dump_config
from chiasm.modalities.text import Tokenizer
from chiasm.objectives.contrastive import Contrastive
from chiasm.systems.chiasm import make_chiasm
from chiasm.train.card import model_card
from chiasm.train.data import prepare
from chiasm.train.distributed import World
from chiasm.train.media import Progress
from chiasm.train.optimizer import Optimizer
from chiasm.train.step import StepResult, to_device, train_step
from chiasm.train.validate import validate
from chiasm.types import Batch

CALIBRATION_ROWS = 1024
"""Records by which the inputs are standardised."""


class EmbeddingJob:
    """See train/job.py."""

    def __init__(
        self,
        config: RunConfig,
        out: Path,
        world: World,
        device: torch.device,
        dtype: torch.dtype,
        tokenizer: Tokenizer | None,
        progress: Progress | None,
    ) -> None:
        self.config, self.world, self.device, self.dtype = config, world, device, dtype
        self.data = prepare(config, out, world, tokenizer, progress)
        torch.manual_seed(config.train.seed)
        self.model = make_chiasm(config.model, config.objective, self.data.modalities, self.data.tokenizer.size)
        self.model.to(device)
        self.objective = Contrastive(config.objective.contrastive, config.objective.tile, config.objective.weights)

    def make(self, step: int, part: int, parts: int) -> Batch:
        return self.data.train.make(step, part, parts)

    def calibrate(self, device: torch.device) -> None:
        sample = self.data.train.plain(range(0, self.data.rows, max(self.data.rows // CALIBRATION_ROWS, 1)))
        self.model.calibrate(to_device(sample, device).items)

    def update(self, optimizer: Optimizer, chunks: Sequence[Batch], step: int, progress: float) -> StepResult:
        clip = self.config.optimizer.clip
        return train_step(self.model, self.objective, optimizer, chunks, self.dtype, self.world, clip, step)

    def validate(self) -> Mapping[str, Mapping[str, float]] | None:
        return None if self.data.validation is None else validate(self.model, self.data, self.device, self.dtype)

    def files(self, step: int, seconds: float, finished: bool) -> dict[str, str]:
        return {
            "config.yaml": dump_config(self.config),
            "tokenizer.json": self.data.tokenizer.to_json(),
            "README.md": model_card(self.config, self.model, step, seconds, finished),
        }

    def state(self) -> dict[str, Any]:
        return {"modalities": list(self.data.modalities), "table": self.data.created}

    def tensors(self) -> dict[str, Tensor]:
        return self.model.state_dict()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.model.load_state_dict(dict(tensors))
