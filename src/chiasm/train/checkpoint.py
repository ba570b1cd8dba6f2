"""Checkpoints: a folder without pickle, whole or absent, with a checksum for every tensor.

    step-00000120/
      config.yaml            the run's exact configuration
      model.safetensors      weights, float32
      tokenizer.json
      optimizer.safetensors  optimizer state
      state.json             step, time, format version, checksums
      README.md              model card

Written beside under a temporary name, synced, renamed: a kill at any moment leaves the previous checkpoints as they were.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from chiasm.errors import CheckpointError, MachineError, ModelError

FORMAT = 1
PREFIX = "step-"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and verified."""

    path: Path
    step: int
    state: Mapping[str, Any]
    model: Mapping[str, Tensor]


def save(
    folder: Path,
    step: int,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    state: Mapping[str, Any],
    texts: Mapping[str, str],
    keep: int,
) -> Path:
    """Write checkpoint `step` into `folder` and delete all but the newest `keep`.

    texts: further files by name (config.yaml, tokenizer.json, README.md). Raises MachineError where the disk is full; older
    checkpoints are then intact.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{PREFIX}{step:08d}"
    temporary = folder / f".{target.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        parts = {"model.safetensors": _plain(model), "optimizer.safetensors": _plain(optimizer)}
        checksums = {name: {key: _checksum(value) for key, value in tensors.items()} for name, tensors in parts.items()}
        for name, tensors in parts.items():
            safetensors.torch.save_file(tensors, temporary / name)
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf8")
        whole = {"format": FORMAT, "step": step, **state, "checksums": checksums}
        (temporary / "state.json").write_text(json.dumps(whole), encoding="utf8")
        for file in temporary.iterdir():
            _sync(file)
        _sync(temporary)
        replaced = folder / f".{target.name}.old"
        if target.exists():  # a damaged one that was passed over on resume
            os.replace(target, replaced)
        os.replace(temporary, target)
        _sync(folder)
        shutil.rmtree(replaced, ignore_errors=True)
    except (OSError, safetensors.SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        raise MachineError(
            f"{target}: {'the disk is full' if full else f'cannot be written: {error}'}; the previous checkpoints are intact"
        ) from None
    for old in _folders(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def load_newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint of `folder` that is whole, or None where there is none, and a line for every damaged one that was passed over.

    Raises CheckpointError where all are damaged, or where the newest is of a later chiasm (it is never passed over for an older one).
    """
    problems: list[str] = []
    for path in reversed(_folders(folder)):
        try:
            return load(path), problems
        except _Damaged as error:
            problems.append(str(error))
    if problems:
        raise CheckpointError("no checkpoint can be read: " + "; ".join(problems))
    return None, problems


def load(path: Path) -> Checkpoint:
    """Read and verify one checkpoint folder. Raises CheckpointError, naming the tensor where one differs from its checksum."""
    state = _read_state(path)
    model = load_tensors(path, "model.safetensors", state)
    return Checkpoint(path, int(state["step"]), state, model)


def load_tensors(path: Path, name: str, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of one file of a checkpoint, each held against its checksum."""
    try:
        tensors = safetensors.torch.load_file(path / name)
    except (OSError, safetensors.SafetensorError) as error:
        raise _Damaged(f"{path / name}: cannot be read: {error}") from None
    expected = state["checksums"].get(name, {})
    if set(expected) != set(tensors):
        raise _Damaged(f"{path / name}: its tensors are not those that were saved")
    for key, value in tensors.items():
        if _checksum(value) != expected[key]:
            raise _Damaged(f"{path / name}: tensor {key!r} differs from its checksum")
    return tensors


def newest(run: Path) -> Path:
    """The newest checkpoint's folder of a run. Raises ModelError where there is none."""
    if not run.is_dir():
        raise ModelError(f"{run}: no such run; train one with `chiasm train`")
    folders = _folders(run / "checkpoints")
    if not folders:
        raise ModelError(f"{run}: holds no checkpoint; is it a run folder, and did its training save one?")
    return folders[-1]


class _Damaged(CheckpointError):
    """A checkpoint that an older one can stand in for."""


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf8"))
        version = int(state["format"])
        int(state["step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _Damaged(f"{path / 'state.json'}: cannot be read: {error}") from None
    if version > FORMAT:
        raise CheckpointError(
            f"{path}: written by a later chiasm (format {version}, this one reads up to {FORMAT}); upgrade chiasm"
        )
    return state


def _folders(folder: Path) -> list[Path]:
    """Complete checkpoint folders, oldest first."""
    return sorted(p for p in folder.glob(f"{PREFIX}*") if p.is_dir() and p.name[len(PREFIX) :].isdigit())


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _checksum(tensor: Tensor) -> int:
    # Over the bytes themselves: a checksum of values would call a NaN unequal to itself.
    return zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(dtype=torch.uint8).numpy().data)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
