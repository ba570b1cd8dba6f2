"""A named system as a job: its views make the batches, its losses are summed, its state moves after each update."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chiasm.batches.task import TaskMaker, assemble_first, evaluation_batches
from chiasm.config import Section, SystemRunConfig, dump_config, validate
from chiasm.errors import ConfigError, ModelError
from chiasm.modalities.text import Tokenizer
from chiasm.nn.adapters import adapt
from chiasm.objectives.balance import UncertaintyWeights
from chiasm.state.teacher import Teacher
from chiasm.systems.catalogue import find
from chiasm.systems.system import Spec, System
from chiasm.train.card import system_card
from chiasm.train.corpus import prepare_corpora
from chiasm.train.distributed import World
from chiasm.train.media import Progress
from chiasm.train.optimizer import Optimizer
from chiasm.train.step import StepResult, guarded_step, to_device
from chiasm.train.system_model import REGIONS, SYSTEM_FILE, SystemCheckpoint, describe, read_system
from chiasm.types import Batch, Losses

VALIDATED = 512
"""Validation records that a learning curve is measured on, at most."""
LEAST_GIVEN = 0.05
"""The share of a model's numbers that `init` must bring: less is a mistake, and would train from nothing in silence."""
CALIBRATED = 512
"""Records by which inputs are standardised."""


STANDARDS = ("mean", "deviation", "running_mean")
"""Last parts of the names of tensors that `calibrate` sets."""


class SystemJob:
    """See train/job.py."""

    def __init__(
        self,
        config: SystemRunConfig,
        out: Path,
        world: World,
        device: torch.device,
        dtype: torch.dtype,
        tokenizer: Tokenizer | None,
        progress: Progress | None,
    ) -> None:
        self.config, self.world, self.device, self.dtype = config, world, device, dtype
        resumed = tokenizer is not None
        started = None if config.init is None or resumed else _start(config.init)
        self.spec, self.size = resolve(
            config, read_system(out).size if resumed else started and started.of(config.system)
        )
        check(self.spec, self.size)
        if self.spec.in_batch and config.train.batch < 2:
            raise ConfigError(
                f"{config.system} compares the records of a batch with each other: set train.batch to 2 or more"
            )
        if self.spec.in_batch and config.train.accumulate * world.size > 1:
            raise ConfigError(
                f"{config.system} compares the records of a batch with each other: a batch in chunks would be another loss; "
                "set train.accumulate=1 and train.processes=1"
            )
        self.tasks = self.spec.tasks(self.size)
        if started is not None:
            tokenizer = started.tokenizer
        asked = (*self.tasks, self.spec.measure.task(self.size))
        self.corpora = prepare_corpora(config, asked, out, world, tokenizer, progress, self.spec.regions(self.size))
        self.facts = self.corpora.train.facts
        self.maker = TaskMaker(self.corpora.train, self.tasks, config.train.batch, config.train.seed)
        torch.manual_seed(config.train.seed)
        self.model: System = self.spec.make(self.size, self.facts)
        self._fresh = list(self.model.state_dict())
        if started is not None:
            self._fresh = started.give(self.model)
            if world.leads:
                _tell(started.path, self.model, self._fresh)
        self._adapters = None if config.adapters is None else (config.adapters.kind, config.adapters.size)
        if self._adapters is not None:
            if config.init is None and world.leads:
                _say("warning: adapters beside a frozen trunk that knows nothing yet; give it weights with init=RUN")
            try:
                adapt(self.model, *self._adapters, self.spec.heads)
            except ValueError as error:  # a system without blocks, or with adapters of its own
                raise ConfigError(f"adapters: {config.system}: {error}") from None
            for module in self.model.modules():
                if isinstance(module, Teacher):
                    module.requires_grad_(False)
        if config.weights == "uncertainty":
            self.model.uncertainty = UncertaintyWeights(self._loss_names())
        self.model.to(device)

    def _loss_names(self) -> list[str]:
        """The names of all losses, from a look at one record of each task."""
        names: dict[str, None] = {}
        with torch.no_grad():
            for task in self.tasks:
                names.update(
                    dict.fromkeys(self.model.losses(assemble_first(self.corpora.train, task, 4), torch.float32).losses)
                )
        return list(names)

    def make(self, step: int, part: int, parts: int) -> Batch:
        return self.maker.make(step, part, parts)

    def calibrate(self, device: torch.device) -> None:
        # What brings its own standards of the inputs keeps them.
        if any(name.rpartition(".")[2] in STANDARDS for name in self._fresh):
            for task in self.tasks:
                self.model.calibrate(to_device(assemble_first(self.corpora.train, task, CALIBRATED), device))
        self.model.begin()

    def update(self, optimizer: Optimizer, chunks: Sequence[Batch], step: int, progress: float) -> StepResult:
        self.model.train()
        optimizer.clear()
        parts = len(chunks) * self.world.size
        shown: dict[str, float] = {}
        total = 0.0
        made = Losses({})
        for chunk in chunks:
            made = self.model.losses(chunk, self.dtype)
            loss = weighted(made, self.model)
            (loss / parts).backward()
            total += loss.item() / len(chunks)
            for name, value in made.losses.items():
                shown[name] = shown.get(name, 0.0) + value.item() / len(chunks)
        self.world.sum_gradients(optimizer.parameters)
        made = replace(made, keys={name: self.world.gather(rows)[0] for name, rows in made.keys.items()})
        self.model.modulate(made, self.config.train.seed, step)
        norm = guarded_step(optimizer, total, self.config.optimizer.clip, step, chunks)
        self.model.advance(made, progress)
        return StepResult(total, shown, made.chance, 1.0, norm)

    @torch.no_grad()
    def validate(self) -> Mapping[str, Mapping[str, float]] | None:
        """The mean of each loss over validation records, in evaluation mode, and of its chance value."""
        if self.corpora.validation is None:
            return None
        self.model.eval()
        sums: dict[str, list[float]] = {}
        chances: dict[str, list[float]] = {}
        for task in self.tasks:
            for batch in evaluation_batches(self.corpora.validation, task, self.config.train.batch, VALIDATED):
                made = self.model.losses(to_device(batch, self.device), self.dtype)
                for name, value in made.losses.items():
                    sums.setdefault(name, []).append(value.item())
                    chances.setdefault(name, []).extend([made.chance[name]] if name in made.chance else [])
        return {
            name: {"loss": float(np.mean(values)), "n": len(values)}
            | ({"chance": float(np.mean(chances[name]))} if chances[name] else {})
            for name, values in sums.items()
        }

    def files(self, step: int, seconds: float, finished: bool) -> dict[str, str]:
        return {
            "config.yaml": dump_config(self.config),
            "tokenizer.json": self.corpora.train.tokenizer.to_json(),
            SYSTEM_FILE: describe(self.spec.name, self.size, self.facts, self._adapters),
            "README.md": system_card(
                self.config, self.spec.title, self.spec.paper, self.model, step, seconds, finished
            ),
        }

    def state(self) -> dict[str, Any]:
        return {"table": self.corpora.created}

    def tensors(self) -> dict[str, Tensor]:
        provider = self.corpora.train.regions
        arrays = {} if provider is None else provider.arrays()
        return {**self.model.state_dict(), **{REGIONS + name: torch.from_numpy(a) for name, a in arrays.items()}}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.model.load_state_dict({name: t for name, t in tensors.items() if not name.startswith(REGIONS)})


def weighted(made: Losses, model: System) -> Tensor:
    """The sum that is differentiated: weighted as the system says, or as it learns to. A loss with a published weight keeps it: it may be
    signed, as UNITER's alignment is, and a weight learned for what goes below 0 has no bound."""
    fixed = [made.weights.get(name, 1.0) * loss for name, loss in made.losses.items()]
    if model.uncertainty is None:
        return torch.stack(fixed).sum()
    own = {name: loss for name, loss in made.losses.items() if name not in made.weights}
    kept = [loss for name, loss in zip(made.losses, fixed, strict=True) if name in made.weights]
    return torch.stack([*([model.uncertainty(own)] if own else []), *kept]).sum()


def resolve(config: SystemRunConfig, inherited: Section | None = None) -> tuple[Spec[Any], Section]:
    """The spec and the size that a configuration asks for. inherited: a size to change instead of the spec's own, that of given weights.

    Raises ConfigError for a change that the size does not know."""
    spec = find(config.system)
    base: Section = inherited or (spec.tiny if config.size == "tiny" else spec.published.size)
    return spec, validate(type(base), {**base.model_dump(), **config.change}, "change")


def check(spec: Spec[Any], size: Section) -> None:
    """Make the system without weights, before any data is read. Raises ConfigError where its dimensions do not fit each other."""
    try:
        with torch.device("meta"):
            spec.make(size, spec.published.facts)
    except ConfigError:  # of the facts, which are not this table's: judged again with those that are
        return
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        raise ConfigError(f"change: {spec.name} cannot be made: {error}") from None


def _start(init: str) -> SystemCheckpoint:
    try:
        return read_system(Path(init))
    except ModelError as error:
        raise ModelError(f"init: {error}") from None


def _tell(path: Path, model: System, fresh: Sequence[str]) -> None:
    """How much of the model the given weights are. Raises ModelError where it is next to nothing."""
    sizes = {name: tensor.numel() for name, tensor in model.state_dict().items()}
    share = 1 - sum(sizes[name] for name in fresh) / sum(sizes.values())
    if share < LEAST_GIVEN:
        raise ModelError(
            f"init: only {len(sizes) - len(fresh)} of {len(sizes)} tensors ({share:.0%} of the numbers) of {path} have the name and shape that "
            "this system wants: it is of another system or size"
        )
    _say(
        f"init: {len(sizes) - len(fresh)} of {len(sizes)} tensors come from {path} ({share:.0%} of the numbers); the rest begins fresh"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201
