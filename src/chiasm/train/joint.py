"""The converting chiasm model as a job: every part of a step is a batch of one of its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chiasm.config import RunConfig, dump_config
from chiasm.modalities.text import Tokenizer
from chiasm.nn.adapters import adapt
from chiasm.systems.converter import Converter, check_converts, make_converter
from chiasm.train import checkpoint
from chiasm.train.beginning import Beginning, give, read_beginning
from chiasm.train.card import model_card
from chiasm.train.conversion_data import VALIDATED, JointMaker, prepare_conversion
from chiasm.train.distributed import World
from chiasm.train.media import Progress
from chiasm.train.optimizer import Optimizer
from chiasm.train.shape import (
    CONVERSION_FILE,
    describe_conversion,
    facts_of,
    load_quantizers,
    made_of,
    make_quantizer,
    read_quantizer,
    read_shape,
)
from chiasm.train.step import StepResult, guarded_step, to_device
from chiasm.types import Batch

CALIBRATED = 512
"""Records by which the inputs are standardised, over all tasks."""
SPACE_SHOWN = 64


class JointJob:
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
        resumed = tokenizer is not None
        self._kept = read_shape(checkpoint.newest(out)) if resumed else None
        init = None if resumed else config.conversion.init
        given = None if init is None else read_beginning(init, config)
        quantizers, self._sizes = self._quantizers(given, out)
        if given is not None:
            tokenizer = given.tokenizer
        facts = None if self._kept is None else facts_of(self._kept)
        self.data = prepare_conversion(config, out, world, tokenizer, quantizers, progress, facts)
        torch.manual_seed(config.train.seed)
        self.model: Converter = make_converter(config, self.data.modalities, self.data.facts, quantizers)
        self._fresh = set(self.model.state_dict())
        tune(self.model, config)
        if given is not None:
            self._fresh = give(given, self.model, config.conversion, world.leads)
        self.model.to(device)
        self.maker = JointMaker(self.data.train, config)

    def _quantizers(
        self, given: Beginning | None, out: Path
    ) -> tuple[dict[str, nn.Module], dict[str, Mapping[str, Any]]]:
        """The quantisers of the run's codes and their sizes: of its checkpoint, of the runs that are named, or of the run it begins with.

        What is missing is said here, before any data is read."""
        config = self.config
        if self._kept is not None:
            sizes: dict[str, Mapping[str, Any]] = {m: dict(size) for m, size in self._kept["quantizers"].items()}
            check_converts(config, sizes)
            made = {m: make_quantizer(m, size) for m, size in sizes.items()}
            # Codes are made before the model is restored: with the weights that it will have.
            load_quantizers(made, checkpoint.load(checkpoint.newest(out)).model)
            return made, sizes
        named = config.conversion.quantizers
        coded = {task.writer for task in config.tasks.values()} - set(named)
        brought = {} if given is None else {m: size for m, size in given.quantizers.items() if m in coded}
        check_converts(config, {*named, *brought})
        read = {modality: read_quantizer(modality, Path(run)) for modality, run in named.items()}
        if given is not None:
            read |= {m: (made_of(m, size, given.tensors), size) for m, size in brought.items()}
        return {m: found for m, (found, _) in read.items()}, {m: size for m, (_, size) in read.items()}

    def make(self, step: int, part: int, parts: int) -> Batch:
        return self.maker.make(step, part, parts)

    def calibrate(self, device: torch.device) -> None:
        fresh = [
            m
            for m in self.model.space.modalities
            if any(n.startswith(f"space.embedders.{m}.") and n.endswith(".mean") for n in self._fresh)
        ]
        seen: set[str] = set()
        for data in self.data.train.values():
            share = max(len(data.usable) // CALIBRATED, 1)
            batch = to_device(data.batch(data.usable[::share][:CALIBRATED], None), device)
            given = {name.removeprefix("history."): items for name, items in batch.items.items()}
            items = {m: given[m] for m in fresh if m in given and m not in seen}
            # By the first task that brings the modality: an input's scale matters, not whose it is.
            self.model.space.calibrate(items)
            seen |= set(items)

    def update(self, optimizer: Optimizer, chunks: Sequence[Batch], step: int, progress: float) -> StepResult:
        self.model.train()
        optimizer.clear()
        parts = len(chunks) * self.world.size
        shown: dict[str, list[float]] = {}
        chance: dict[str, float] = {}
        total = 0.0
        for chunk in chunks:
            made = self.model.losses(chunk, self.dtype)
            if not made.losses:
                continue
            loss = torch.stack([made.weights.get(n, 1.0) * value for n, value in made.losses.items()]).sum()
            (loss / parts).backward()
            total += loss.item() / len(chunks)
            for name, value in made.losses.items():
                shown.setdefault(name, []).append(value.item())
            chance.update(made.chance)
        self._sum_gradients(optimizer)
        norm = guarded_step(optimizer, total, self.config.optimizer.clip, step, chunks)
        return StepResult(total, {n: float(np.mean(v)) for n, v in shown.items()}, chance, 1.0, norm)

    def _sum_gradients(self, optimizer: Optimizer) -> None:
        """Over all processes. What no process used stays without a gradient, as in one process: zeros would let weight decay and stale
        momentum move the parts of tasks that were not drawn."""
        if self.world.size == 1:
            return
        mine = torch.tensor([[p.grad is not None for p in optimizer.parameters]], device=self.world.device)
        used = self.world.gather(mine.to(torch.uint8))[0].any(0)
        self.world.sum_gradients(optimizer.parameters)
        for p, kept in zip(optimizer.parameters, used.tolist(), strict=True):
            if not kept:
                p.grad = None

    @torch.no_grad()
    def validate(self) -> Mapping[str, Mapping[str, float]] | None:
        """The mean loss of each task over validation examples, beside its chance value."""
        self.model.eval()
        sums: dict[str, list[float]] = {}
        chances: dict[str, list[float]] = {}
        counts: dict[str, list[int]] = {}
        for data in self.data.validation.values():
            rows = data.usable[
                np.arange(min(len(data.usable), VALIDATED)) * len(data.usable) // min(len(data.usable), VALIDATED)
            ]
            for start in range(0, len(rows), SPACE_SHOWN):
                batch = to_device(data.batch(rows[start : start + SPACE_SHOWN], None), self.device)
                made = self.model.losses(batch, self.dtype)
                for name, value in made.losses.items():
                    counts.setdefault(name, []).append(len(batch.ids))
                    sums.setdefault(name, []).append(value.item())
                    chances.setdefault(name, []).append(made.chance.get(name, float("nan")))
        return {
            name: {
                "loss": float(np.average(values, weights=counts[name])),
                "chance": float(np.average(chances[name], weights=counts[name])),
                "n": sum(counts[name]),
            }
            for name, values in sums.items()
        } or None

    def files(self, step: int, seconds: float, finished: bool) -> dict[str, str]:
        return {
            "config.yaml": dump_config(self.config),
            "tokenizer.json": self.data.tokenizer.to_json(),
            CONVERSION_FILE: describe_conversion(self.data.modalities, self.data.facts, self._sizes),
            "README.md": model_card(self.config, self.model, step, seconds, finished),
        }

    def state(self) -> dict[str, Any]:
        return {"modalities": list(self.data.modalities), "table": self.data.created}

    def tensors(self) -> dict[str, Tensor]:
        return self.model.state_dict()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.model.load_state_dict(dict(tensors))


HEADS = ("writers", "task_tokens", "languages", "makers", "mask", "boxes", "item", "space.heads")
"""Prefixes of what `tune: heads` and adapters leave trainable."""


def tune(model: Converter, config: RunConfig) -> None:
    """Freeze what the configuration does not train, and put in the adapters that it asks for."""
    settings = config.conversion
    if settings.tune == "adapters":
        adapt(model, "houlsby", settings.adapter_size, HEADS)
        model.quantizers.requires_grad_(False)
    elif settings.tune == "heads":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(HEADS))
