"""The converting chiasm model as a job: every part of a step is a batch of one of its tasks."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chiasm.batches.conversion import ConversionFacts
from chiasm.config import RunConfig, dump_config, load_kept
from chiasm.errors import ConfigError, ModelError
from chiasm.modalities.modality import word_scale
from chiasm.modalities.text import Tokenizer
from chiasm.nn.adapters import adapt
from chiasm.systems.converter import Converter, check_converts, make_converter
from chiasm.train import checkpoint
from chiasm.train.card import model_card
from chiasm.train.conversion_data import VALIDATED, JointMaker, prepare_conversion
from chiasm.train.distributed import World
from chiasm.train.media import Progress
from chiasm.train.optimizer import Optimizer
from chiasm.train.step import StepResult, guarded_step, to_device
from chiasm.train.system_model import read_system
from chiasm.types import Batch

CONVERSION_FILE = "conversion.json"
"""What a converting checkpoint's shape depends on beside config.yaml: modalities, facts, quantisers."""
CALIBRATED = 512
"""Records by which the inputs are standardised, over all tasks."""
LEAST_GIVEN = 0.05
"""The share of a model's numbers that `init` must bring."""
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
        given = None if config.conversion.init is None or resumed else _given(config.conversion.init, config)
        sizes: Mapping[str, Mapping[str, Any]] = {} if self._kept is None else self._kept["quantizers"]
        quantizers: dict[str, nn.Module] = {m: make_quantizer(m, size) for m, size in sizes.items()}
        self._sizes: dict[str, Mapping[str, Any]] = {m: dict(size) for m, size in sizes.items()}
        check_converts(config, config.conversion.quantizers if self._kept is None else sizes)  # before any data is read
        if self._kept is None:
            for modality, run in config.conversion.quantizers.items():
                quantizers[modality], self._sizes[modality] = _quantizer(modality, Path(run))
        else:
            # Codes are made before the model is restored: with the weights that it will have.
            load_quantizers(quantizers, checkpoint.load(checkpoint.newest(out)).model)
        if given is not None:
            tokenizer = given.tokenizer
        facts = None if self._kept is None else facts_of(self._kept)
        self.data = prepare_conversion(config, out, world, tokenizer, quantizers, progress, facts)
        torch.manual_seed(config.train.seed)
        self.model: Converter = make_converter(config, self.data.modalities, self.data.facts, quantizers)
        self._fresh = set(self.model.state_dict())
        if given is not None:
            self._fresh = _give(given, self.model, world.leads)
        tune(self.model, config)
        self.model.to(device)
        self.maker = JointMaker(self.data.train, config)

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


def describe_conversion(
    modalities: Sequence[str], facts: ConversionFacts, quantizers: Mapping[str, Mapping[str, Any]]
) -> str:
    """The contents of CONVERSION_FILE."""
    whole = {"modalities": list(modalities), "facts": asdict(facts), "quantizers": quantizers}
    return json.dumps(whole, ensure_ascii=False, indent=1)


def read_shape(path: Path) -> dict[str, Any]:
    """CONVERSION_FILE of a checkpoint. Raises ModelError where it is not there or cannot be understood."""
    try:
        whole = json.loads((path / CONVERSION_FILE).read_text(encoding="utf8"))
        facts_of(whole)
    except FileNotFoundError:
        raise ModelError(f"{path}: holds no {CONVERSION_FILE}: it is no converting model's checkpoint") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path / CONVERSION_FILE}: cannot be understood: {error}") from None
    return whole


def facts_of(shape: Mapping[str, Any]) -> ConversionFacts:
    facts = shape["facts"]
    names = {name: tuple(map(str, facts[name])) for name in ("languages", "makers", "objects")}
    choices = {str(name): tuple(map(str, values)) for name, values in facts["choices"].items()}
    return ConversionFacts(vocabulary=int(facts["vocabulary"]), choices=choices, **names)


def make_quantizer(modality: str, size: Mapping[str, Any]) -> nn.Module:
    """A quantiser of fresh weights and of this size."""
    from chiasm.batches.task import Facts
    from chiasm.config import validate
    from chiasm.systems.catalogue import find

    spec = find(f"{modality}_quantizer")
    return spec.make(validate(type(spec.tiny), size, f"{modality} quantizer"), Facts(vocabulary=0)).eval()


def load_quantizers(quantizers: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> None:
    for modality, quantizer in quantizers.items():
        prefix = f"quantizers.{modality}."
        quantizer.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})


def _quantizer(modality: str, run: Path) -> tuple[nn.Module, Mapping[str, Any]]:
    """The trained quantiser of a run and its size."""
    try:
        found = read_system(run)
    except ModelError as error:
        raise ModelError(f"conversion.quantizers.{modality}: {error}") from None
    if found.spec.name != f"{modality}_quantizer":
        raise ConfigError(
            f"conversion.quantizers.{modality}={run}: is a run of {found.spec.name}, not of {modality}_quantizer"
        )
    return found.model().eval(), found.size.model_dump(mode="json")


class _Given:
    """The weights and the tokenizer that `init` brings."""

    def __init__(self, path: Path, tensors: Mapping[str, Tensor], tokenizer: Tokenizer) -> None:
        self.path, self.tensors, self.tokenizer = path, tensors, tokenizer


def _given(run: str, mine: RunConfig) -> _Given:
    path = checkpoint.find(Path(run))
    file = path / "config.yaml"
    theirs = load_kept(file) if file.is_file() else None  # imported weights have none
    # Another width is refused for its size.
    if isinstance(theirs, RunConfig) and theirs.model.width == mine.model.width:
        scale, codes = word_scale(theirs.model), theirs.conversion.code_scale
        if not math.isclose(scale, word_scale(mine.model)):
            raise ConfigError(f"conversion.init={run}: it reads words {scale:g}-fold: set model.text.scale={scale:g}")
        if _writes_codes(theirs) and _writes_codes(mine) and not math.isclose(codes, mine.conversion.code_scale):
            raise ConfigError(
                f"conversion.init={run}: it reads codes {codes:g}-fold: set conversion.code_scale={codes:g}"
            )
    tensors = checkpoint.load(path).model
    if not (path / CONVERSION_FILE).is_file():  # an embedding run: its whole model is our space
        tensors = {f"space.{name}": tensor for name, tensor in tensors.items()}
    return _Given(path, tensors, Tokenizer.load(path / "tokenizer.json"))


def _writes_codes(config: RunConfig) -> bool:
    return any(task.writer in ("image", "audio", "boxes") for task in config.tasks.values())


def _give(given: _Given, model: Converter, tell: bool) -> set[str]:
    """Copy what fits by name and shape; the names of what found nothing."""
    mine = model.state_dict()
    # The quantisers are those of the configuration: codes were made with them.
    fitting = {
        n: t
        for n, t in given.tensors.items()
        if n in mine and mine[n].shape == t.shape and not n.startswith("quantizers.")
    }
    share = sum(t.numel() for t in fitting.values()) / sum(t.numel() for t in mine.values())
    if share < LEAST_GIVEN:
        raise ModelError(
            f"conversion.init: only {share:.0%} of this model's numbers fit those of {given.path}: it is of another size"
        )
    model.load_state_dict({**mine, **fitting})
    if tell:
        print(  # noqa: T201
            f"init: {len(fitting)} of {len(mine)} tensors come from {given.path} ({share:.0%} of the numbers); the rest begins fresh",
            file=sys.stderr,
        )
    return set(mine) - set(fitting)


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
