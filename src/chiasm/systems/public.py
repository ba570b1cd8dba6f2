"""Public checkpoints (Hugging Face's format: config.json and safetensors) as our systems, without the library that wrote them.

systems/family.py says what a Family is; those of text are in public_text.py, those of pictures in public_vision.py,
those of both in public_dual.py.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from chiasm.batches.task import Facts
from chiasm.config import Section
from chiasm.errors import ModelError
from chiasm.systems.catalogue import find
from chiasm.systems.family import Family, Looked
from chiasm.systems.public_dual import DUAL_FAMILIES
from chiasm.systems.public_text import TEXT_FAMILIES
from chiasm.systems.public_vision import VISION_FAMILIES
from chiasm.systems.system import Spec

FAMILIES: dict[str, Family] = {
    family.model_type: family for family in (*TEXT_FAMILIES, *VISION_FAMILIES, *DUAL_FAMILIES)
}
"""By the `model_type` of config.json."""

MAX_JSON_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Public:
    """A public checkpoint as one of ours. tensors: the whole state_dict, float32, of spec.make(size, facts).

    fresh: parameters that the checkpoint does not bring, with random weights · left_over: its tensors that have no place here
    """

    spec: Spec[Any]
    size: Section
    facts: Facts
    tensors: Mapping[str, Tensor]
    fresh: tuple[str, ...]
    left_over: tuple[str, ...]


def read_public(folder: Path, seed: int = 0) -> Public:
    """Read a folder with config.json and model.safetensors (or its shards and their index). seed: of the fresh weights.

    Raises ModelError where a file is missing, damaged or of a kind that is not read, where the model type is not known, and where the
    tensors are not those that config.json promises, by name.
    """
    config = _json(folder / "config.json")
    model_type = str(config.get("model_type"))
    if model_type not in FAMILIES:
        near = difflib.get_close_matches(model_type, FAMILIES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ModelError(
            f"{folder / 'config.json'}: model_type {model_type!r} cannot be imported; {hint}there are {', '.join(sorted(FAMILIES))}"
        )
    family = FAMILIES[model_type]
    try:
        size, facts = family.size(config)
        tensors = Looked(_names(family, _tensors(folder)))
        made = {name: tensor.float() for name, tensor in family.convert(tensors).items()}
        spec = find(family.system)
        # On the meta device first: what config.json promises costs no memory before it was held against the tensors.
        with torch.device("meta"):
            wanted = {name: tensor.shape for name, tensor in spec.make(size, facts).state_dict().items()}
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    except (ValueError, IndexError, RuntimeError) as error:  # numbers or tensors that do not go together
        raise ModelError(f"{folder}: config.json and tensors cannot be made into {family.system}: {error}") from None
    fresh = _compare(folder, family, wanted, made)
    if fresh:
        torch.manual_seed(seed)
        made = {**spec.make(size, facts).state_dict(), **made}
    left = [name for name in tensors if name not in tensors.seen and not _passed_over(family, name)]
    return Public(spec, size, facts, {name: made[name] for name in wanted}, tuple(fresh), tuple(left))


def _compare(folder: Path, family: Family, wanted: Mapping[str, torch.Size], made: Mapping[str, Tensor]) -> list[str]:
    """The wanted names that may be missing and are. Raises ModelError for others, and for shapes that differ."""
    missing = [name for name in wanted if name not in made]
    if wrong := [name for name in missing if not name.startswith(family.fresh)]:
        raise ModelError(f"{folder}: lacks what {family.system} needs: {_some(wrong)}")
    if wrong := [
        f"{name} {list(t.shape)}" for name, t in made.items() if name not in wanted or wanted[name] != t.shape
    ]:
        raise ModelError(f"{folder}: its tensors are not of the sizes that config.json says: {_some(wrong)}")
    return missing


def _names(family: Family, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix of the trunk, and with today's names of the oldest checkpoints' norms."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        name = name.removeprefix(family.prefix)
        if name.endswith("LayerNorm.gamma"):
            name = name.removesuffix("gamma") + "weight"
        elif name.endswith("LayerNorm.beta"):
            name = name.removesuffix("beta") + "bias"
        found[name] = tensor
    return found


def _passed_over(family: Family, name: str) -> bool:
    return name.startswith(family.unused) or name.endswith(family.unused) if family.unused else False


def _tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of the folder. Raises ModelError."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return _load(whole)
    if index.is_file():
        found: dict[str, Tensor] = {}
        files = cast("Mapping[str, object]", _json(index).get("weight_map") or {}).values()
        for name in dict.fromkeys(map(str, files)):
            if Path(name).name != name or not name.endswith(".safetensors"):
                raise ModelError(f"{index}: names {name!r}, which is no safetensors file beside it")
            found.update(_load(folder / name))
        return found
    pickled = next((p.name for p in sorted(folder.glob("*.bin")) + sorted(folder.glob("*.pt*"))), None)
    if pickled is not None:
        raise ModelError(
            f"{folder / pickled}: pickled weights can run code and are not read; where you trust them, write safetensors from them with "
            "AutoModel.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER) of the transformers library, and import NEW_FOLDER"
        )
    raise ModelError(f"{folder}: holds no model.safetensors")


def _load(path: Path) -> dict[str, Tensor]:
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None


def _json(path: Path) -> Mapping[str, Any]:
    """A bounded JSON object. Raises ModelError."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ModelError(f"{path}: larger than {MAX_JSON_BYTES:,} bytes")
        value = json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError:
        raise ModelError(
            f"{path}: no such file; a public checkpoint is a folder with config.json and model.safetensors"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path}: holds no JSON object")
    return cast("dict[str, Any]", value)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
