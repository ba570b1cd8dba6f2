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
from importlib.resources import files
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
    optimizer: Mapping[str, Tensor]


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
            checksums[name] = {"": zlib.crc32(text.encode("utf8"))}
        whole = {"format": FORMAT, "step": step, **state, "checksums": checksums}
        (temporary / "state.json").write_text(_seal(whole), encoding="utf8")
        for file in temporary.iterdir():
            _sync(file)
        _sync(temporary)
        if target.exists():
            # This very step, saved before or loaded from here: its tensors are the same, only what is said of them may be new.
            os.replace(temporary / "state.json", target / "state.json")
            _sync(target)
            shutil.rmtree(temporary)
        else:
            os.replace(temporary, target)
        _sync(folder)
    except (OSError, safetensors.SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        raise MachineError(
            f"{target}: {'the disk is full' if full else f'cannot be written: {error}'}; the previous checkpoints are intact"
        ) from None
    # Only what is older than this one goes: a later folder is not ours to judge here.
    older = [path for path in _folders(folder) if path.name < target.name]
    for old in older[: max(len(older) - keep + 1, 0)]:
        shutil.rmtree(old, ignore_errors=True)
    return target


STARTER = "starter"
"""In place of a run's folder: the checkpoint that is shipped with chiasm. A run folder of that name in the working directory comes first."""


def find(run: Path) -> Path:
    """The checkpoint folder that a run's name means: itself, or the newest of a run folder, or the one that is shipped (STARTER).

    Raises ModelError where there is none."""
    if (run / "state.json").is_file():
        return run
    return shipped() if means_shipped(run) else newest(run)


def means_shipped(run: Path) -> bool:
    return run == Path(STARTER) and not run.exists()


def shipped() -> Path:
    """The folder of the checkpoint that is shipped with chiasm. Raises ModelError where this installation has none."""
    path = Path(str(files("chiasm") / STARTER))
    if not (path / "state.json").is_file():
        raise ModelError("this installation of chiasm has no starter checkpoint: name the folder of a run of your own")
    return path


def tidy(folder: Path, found: Checkpoint | None) -> None:
    """Before a run goes on from `found`: sweep what killed saves left, and set damaged later checkpoints aside, so that they are neither
    counted among those to keep nor in the way of the steps to come."""
    for path in folder.glob(f".{PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in _folders(folder):
        if found is not None and path.name > found.path.name:
            shutil.rmtree(folder / f"damaged-{path.name}", ignore_errors=True)
            os.replace(path, folder / f"damaged-{path.name}")


def load_newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint of `folder` that is whole, or None where there is none, and a line for every damaged one that was passed over.

    Raises CheckpointError where all are damaged, or where the newest is of a later chiasm (it is never passed over for an older one).
    """
    problems: list[str] = []
    for path in reversed(_folders(folder)):
        try:
            return load(path, everything=True), problems
        except _Damaged as error:
            problems.append(str(error))
    if problems:
        raise CheckpointError("no checkpoint can be read: " + "; ".join(problems))
    return None, problems


def load(path: Path, everything: bool = False) -> Checkpoint:
    """Read and verify one checkpoint folder; its optimizer's state only with `everything`.

    Raises CheckpointError, naming the file or tensor that differs from its checksum.
    """
    state = _read_state(path)
    for name, expected in state["checksums"].items():
        if not name.endswith(".safetensors"):
            _check_text(path / name, expected.get(""))
    model = _load_tensors(path, "model.safetensors", state)
    optimizer = _load_tensors(path, "optimizer.safetensors", state) if everything else {}
    return Checkpoint(path, int(state["step"]), state, model, optimizer)


def _check_text(path: Path, expected: int | None) -> None:
    try:
        found = zlib.crc32(path.read_bytes())
    except OSError as error:
        raise _Damaged(f"{path}: cannot be read: {error}") from None
    if found != expected:
        raise _Damaged(f"{path}: differs from its checksum")


def _load_tensors(path: Path, name: str, state: Mapping[str, Any]) -> dict[str, Tensor]:
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
    if not folders and (run / "_versions").is_dir():
        raise ModelError(f"{run} is a table, where a run is wanted; what takes both takes the run first")
    if not folders:
        raise ModelError(f"{run}: holds no checkpoint; is it a run folder, and did its training save one?")
    return folders[-1]


class _Damaged(CheckpointError):
    """A checkpoint that an older one can stand in for."""


def _seal(state: Mapping[str, Any]) -> str:
    """state.json: the state and the checksum of the state."""
    text = json.dumps(state, sort_keys=True)
    return json.dumps({"crc32": zlib.crc32(text.encode()), "state": state}, sort_keys=True)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        whole = json.loads((path / "state.json").read_text(encoding="utf8"))
        state: dict[str, Any] = whole["state"]
        version = int(state["format"])
        intact = zlib.crc32(json.dumps(state, sort_keys=True).encode()) == whole["crc32"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _Damaged(f"{path / 'state.json'}: cannot be read: {error}") from None
    if not intact:
        raise _Damaged(f"{path / 'state.json'}: differs from its checksum")
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
