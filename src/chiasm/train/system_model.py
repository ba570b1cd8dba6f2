"""A named system read back from a checkpoint: of a run, or of public weights that were imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from chiasm.batches.task import Facts
from chiasm.config import Section, validate
from chiasm.errors import ModelError
from chiasm.modalities.regions import RegionProvider
from chiasm.modalities.text import Tokenizer
from chiasm.nn.adapters import adapt
from chiasm.systems.catalogue import find
from chiasm.systems.system import Spec, System
from chiasm.train import checkpoint

SYSTEM_FILE = "system.json"
"""What a checkpoint's shape depends on: the system, its complete size, the facts of its data, its adapters."""
REGIONS = "regions."
"""Prefix of the region provider's arrays among a checkpoint's tensors."""
BESIDE = (REGIONS, "uncertainty.")
"""Prefixes of tensors that are no part of the system itself: the provider, and what weighs the losses in training."""


@dataclass(frozen=True)
class SystemCheckpoint:
    """A checkpoint of a named system, verified."""

    path: Path
    spec: Spec[Any]
    size: Section
    facts: Facts
    adapters: tuple[str, int] | None
    tensors: Mapping[str, Tensor]
    tokenizer: Tokenizer | None
    """None for imported weights whose tokenizer is not chiasm's."""

    def model(self) -> System:
        """The system with these weights. Raises ModelError where they do not fit."""
        made = self.spec.make(self.size, self.facts)
        if self.adapters is not None:
            adapt(made, *self.adapters, self.spec.heads)
        try:
            made.load_state_dict({n: t for n, t in self.tensors.items() if not n.startswith(BESIDE)})
        except RuntimeError as error:
            raise ModelError(
                f"{self.path}: weights and {SYSTEM_FILE} do not fit: {str(error).splitlines()[0]}"
            ) from None
        return made

    def regions(self) -> RegionProvider | None:
        arrays = {n.removeprefix(REGIONS): t.numpy() for n, t in self.tensors.items() if n.startswith(REGIONS)}
        return RegionProvider.from_arrays(arrays) if arrays else None

    def of(self, system: str) -> Section | None:
        """Its size, for a run of the same system to begin with; None for one of another."""
        return self.size if self.spec.name == system else None

    def give(self, model: System) -> list[str]:
        """Copy into `model` every tensor of the same name and shape; the names of its parameters that found none.

        Raises ModelError where nothing fits: these weights are of another system or size.
        """
        mine = model.state_dict()
        fitting = {n: t for n, t in self.tensors.items() if n in mine and mine[n].shape == t.shape}
        if not fitting:
            raise ModelError(
                f"init: {self.path}: no tensor of this {self.spec.name} fits; was another system or size wanted?"
            )
        model.load_state_dict({**mine, **fitting})
        return [name for name in mine if name not in fitting]


def holds_system(run: Path) -> bool:
    """Whether a run folder's newest checkpoint, or a checkpoint folder, is a named system's. Raises ModelError where there is none."""
    path = checkpoint.find(run)
    return (path / SYSTEM_FILE).is_file()


def describe(name: str, size: Section, facts: Facts, adapters: tuple[str, int] | None = None) -> str:
    """The contents of SYSTEM_FILE."""
    whole = {"system": name, "size": size.model_dump(mode="json"), "facts": asdict(facts), "adapters": adapters}
    return json.dumps(whole, ensure_ascii=False, indent=2)


def _facts(tree: Mapping[str, Any]) -> Facts:
    names = {name: tuple(map(str, tree[name])) for name in ("classes", "answers", "objects", "languages")}
    return Facts(vocabulary=int(tree["vocabulary"]), region_width=int(tree["region_width"]), **names)


def read_system(run: Path) -> SystemCheckpoint:
    """The newest checkpoint of a run folder, or a checkpoint folder itself, verified against its checksums.

    Raises ModelError where there is none or where it is no named system's, CheckpointError where it is damaged or of a later version.
    """
    path = checkpoint.find(run)
    found = checkpoint.load(path)
    if not (path / SYSTEM_FILE).is_file():
        raise ModelError(f"{path}: holds no {SYSTEM_FILE}: it is no named system's checkpoint")
    try:
        whole = json.loads((path / SYSTEM_FILE).read_text(encoding="utf8"))
        spec = find(whole["system"])
        size = validate(type(spec.tiny), whole["size"], f"{path / SYSTEM_FILE}: size")
        facts = _facts(whole["facts"])
        adapters = None if whole["adapters"] is None else (str(whole["adapters"][0]), int(whole["adapters"][1]))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path / SYSTEM_FILE}: cannot be understood: {error}") from None
    tokenizer = Tokenizer.load(path / "tokenizer.json") if (path / "tokenizer.json").is_file() else None
    return SystemCheckpoint(path, spec, size, facts, adapters, found.model, tokenizer)
