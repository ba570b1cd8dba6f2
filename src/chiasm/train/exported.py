"""A run as weights to hand on: one folder, without the optimizer, in half precision, without the paths of the machine it was trained on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from chiasm.config import RunConfig, SystemRunConfig, dump_config, load_kept
from chiasm.errors import ConfigError
from chiasm.train import checkpoint

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
NAMES = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}
LARGEST = 65504.0
"""What float16 can hold: larger numbers, such as a running variance, stay float32."""


@dataclass(frozen=True)
class Exported:
    """numbers: in all tensors · bytes: of the weights' file."""

    path: Path
    step: int
    numbers: int
    bytes: int


def export(run: Path, out: Path, precision: str = "fp16", mean: Sequence[Path] = ()) -> Exported:
    """The newest checkpoint of a run as a folder that loads like a run, but cannot be trained on by resuming it.

    mean: other runs, whose weights the run's are averaged with: of runs that went on from one another the mean is often better than each
    (model soups, Wortsman et al. 2022, arXiv 2203.05482).
    Paths of tables and runs in its configuration are reduced to their last part. Raises ModelError where there is no checkpoint,
    ConfigError where `out` exists or the runs' weights do not mean the same, CheckpointError for a damaged checkpoint.
    """
    if out.exists():
        raise ConfigError(f"{out}: exists already; name a folder that does not")
    path = checkpoint.find(run)
    found = checkpoint.load(path)
    texts = {name: (path / name).read_text(encoding="utf8") for name in _texts(found)}
    texts = _without_paths(texts, path)
    if "README.md" in texts:
        texts["README.md"] = texts["README.md"].replace(" float32", f" {NAMES[precision]}", 1)
    state = {k: v for k, v in found.state.items() if k not in ("checksums", "format", "step")}
    if mean and "README.md" in texts:
        texts["README.md"] += f"\nIts weights are the mean of those of {', '.join(p.name for p in (run, *mean))}.\n"
    model = _mean(path, found.model, mean)
    weights = {name: _in(tensor, PRECISIONS[precision]) for name, tensor in model.items()}
    beside = out.parent / f".{out.name}.part"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        saved = checkpoint.save(beside, found.step, weights, {}, {**state, "finished": True}, texts, keep=1)
        for file in saved.iterdir():  # to hand on: safetensors are written for their owner alone
            file.chmod(0o644)
        os.replace(saved, out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    numbers = sum(tensor.numel() for tensor in weights.values())
    return Exported(out, found.step, numbers, (out / "model.safetensors").stat().st_size)


def _texts(found: checkpoint.Checkpoint) -> list[str]:
    return [name for name in found.state["checksums"] if not name.endswith(".safetensors")]


def _mean(path: Path, model: Mapping[str, Tensor], others: Sequence[Path]) -> Mapping[str, Tensor]:
    """The mean of the runs' weights, tensor by tensor; what is equal in all, quantisers and counts, stays as it is."""
    models = [model]
    for run in others:
        other = checkpoint.find(run)
        models.append(checkpoint.load(other).model)
        if {n: t.shape for n, t in models[-1].items()} != {n: t.shape for n, t in model.items()}:
            raise ConfigError(f"--mean {run}: has other tensors than {path}: only runs of one make have a mean")
        for name in ("tokenizer.json", "conversion.json"):
            if _text(path / name) != _text(other / name):
                raise ConfigError(f"--mean {run}: has another {name} than {path}: its weights mean something else")
    made: dict[str, Tensor] = {}
    for name, tensor in model.items():
        all_of = [m[name] for m in models]
        alike = all(torch.equal(tensor, one) for one in all_of)
        if not alike and not tensor.is_floating_point():
            raise ConfigError(f"--mean: {name} is counted, and differs: it has no mean")
        made[name] = tensor if alike else torch.stack([one.float() for one in all_of]).mean(0).to(tensor.dtype)
    return made


def _text(file: Path) -> str | None:
    return file.read_text(encoding="utf8") if file.is_file() else None


def _in(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not tensor.is_floating_point() or (dtype == torch.float16 and bool(tensor.abs().max() > LARGEST)):
        return tensor
    return tensor.to(dtype)


def _without_paths(texts: dict[str, str], path: Path) -> dict[str, str]:
    if "config.yaml" not in texts:  # imported weights have none
        return texts
    config = load_kept(path / "config.yaml")
    names = {str(p): Path(p).name for p in _paths(config)}
    changed = dict(texts)
    tree = config.model_dump(mode="json")
    changed["config.yaml"] = dump_config(type(config).model_validate(_replaced(tree, names)))
    for long, short in names.items():
        changed["README.md"] = changed["README.md"].replace(long, short)
    return changed


def _paths(config: RunConfig | SystemRunConfig) -> list[str]:
    paths: list[str | None] = [config.data.table]
    if isinstance(config, RunConfig):
        paths += [config.conversion.init, *config.conversion.quantizers.values()]
        paths += [task.table for task in config.tasks.values()]
    else:
        paths.append(config.init)
    return [p for p in paths if p is not None]


def _replaced(value: object, names: dict[str, str]) -> object:
    """Every text of a tree that is one of the paths, by its name."""
    if isinstance(value, dict):
        return {key: _replaced(part, names) for key, part in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return [_replaced(part, names) for part in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return names.get(value, value) if isinstance(value, str) else value
