"""Public weights as a checkpoint of ours: from a folder or the Hugging Face hub into a run folder that `init`, `read_system` and the verbs take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from chiasm.errors import ConfigError, MachineError, ModelError
from chiasm.modalities.text import Tokenizer
from chiasm.systems.public import Public, read_public
from chiasm.train import checkpoint
from chiasm.train.system_model import SYSTEM_FILE, describe

FILES = ("config.json", "model*.safetensors", "model.safetensors.index.json", "tokenizer.json")
"""What is fetched of a repository on the hub."""


@dataclass(frozen=True)
class Imported:
    """path: the checkpoint's folder · tokenizer: whether one came along that chiasm can read."""

    path: Path
    public: Public
    tokenizer: bool


def import_public(source: str, out: Path) -> Imported:
    """Write the weights of `source`, a folder or a hub's "owner/name", into OUT/checkpoints/step-00000000.

    Raises ConfigError where OUT holds a run, ModelError where the weights cannot be used, MachineError where the hub cannot be reached.
    """
    if any(out.glob("checkpoints/step-*")):
        raise ConfigError(f"{out}: already holds a run; choose another folder")
    folder = Path(source) if Path(source).exists() else _fetch(source)
    if not folder.is_dir():
        raise ModelError(f"{folder}: a file, where a folder with config.json and model.safetensors is wanted")
    public = read_public(folder)
    texts = {SYSTEM_FILE: describe(public.spec.name, public.size, public.facts), "README.md": _card(source, public)}
    tokenizer = _tokenizer(folder / "tokenizer.json")
    if tokenizer is not None:
        texts["tokenizer.json"] = tokenizer
    state = {"seconds": 0.0, "finished": True, "torch": torch.__version__, "imported": source}
    path = checkpoint.save(out / "checkpoints", 0, public.tensors, {}, state, texts, keep=1)
    return Imported(path, public, tokenizer is not None)


def _fetch(name: str) -> Path:
    """The hub's files in its own cache."""
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name, re.ASCII):
        raise ModelError(f"{name}: no such folder (and no name of a repository on the Hugging Face hub)")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import RepositoryNotFoundError
    except ImportError:
        raise MachineError(
            f"{name}: no such folder; to fetch it from the Hugging Face hub, install huggingface_hub"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except RepositoryNotFoundError:
        raise ModelError(f"{name}: no such folder, and no such public repository on the Hugging Face hub") from None
    except Exception as error:  # whatever its HTTP library raises
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise MachineError(
            f"{name}: no such folder, and the Hugging Face hub gave nothing ({said[0]}); fetch it where there is a network, and import its folder"
        ) from None


def _tokenizer(path: Path) -> str | None:
    """The tokenizer, where it is one of chiasm's (its special tokens have chiasm's numbers)."""
    try:
        return Tokenizer.load(path).to_json() if path.is_file() else None
    except ModelError:
        return None


def _card(source: str, public: Public) -> str:
    parameters = sum(tensor.numel() for tensor in public.tensors.values())
    fresh = ", ".join(public.fresh) or "none"
    return f"""# {public.spec.title}, imported from {source}

- Paper: {public.spec.paper}
- {parameters:,} numbers, float32; with random weights, for the source has none: {fresh}
- What its shape depends on: `system.json`

## Limits
Its licence, training data and limits are those of its source.
"""
