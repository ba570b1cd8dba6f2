"""What a converting checkpoint's shape depends on beside config.yaml, and the quantisers that travel with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from chiasm.batches.conversion import ConversionFacts
from chiasm.errors import ConfigError, ModelError
from chiasm.train import checkpoint
from chiasm.train.system_model import read_system

CONVERSION_FILE = "conversion.json"
"""Modalities, facts, sizes of the quantisers."""


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
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path / CONVERSION_FILE}: cannot be understood: {error}") from None
    return whole


def facts_of(shape: Mapping[str, Any]) -> ConversionFacts:
    facts = shape["facts"]
    names = {name: tuple(map(str, facts[name])) for name in ("languages", "makers", "objects")}
    choices = {str(name): tuple(map(str, values)) for name, values in facts["choices"].items()}
    items = {  # older ones did not count
        str(task): {str(name): int(count) for name, count in counts.items()}
        for task, counts in facts.get("items", {}).items()
    }
    if any(count < 1 for counts in items.values() for count in counts.values()):
        raise ValueError("facts.items: an item that is in no history is not counted")
    return ConversionFacts(vocabulary=int(facts["vocabulary"]), choices=choices, items=items, **names)


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


def read_quantizer(modality: str, run: Path) -> tuple[nn.Module, Mapping[str, Any]]:
    """The trained quantiser that a run is, or that a converting run has, and its size.

    Raises ModelError where there is no such run, ConfigError where it has no quantiser of this modality."""
    setting = f"conversion.quantizers.{modality}"
    try:
        path = checkpoint.find(run)
        if (path / CONVERSION_FILE).is_file():
            size = read_shape(path)["quantizers"].get(modality)
            if size is None:
                raise ConfigError(f"{setting}={run}: is a run that writes no {modality}, and has no quantiser of it")
            return made_of(modality, size, checkpoint.load(path).model), size
        found = read_system(path)
    except ModelError as error:
        raise ModelError(f"{setting}: {error}") from None
    if found.spec.name != f"{modality}_quantizer":
        raise ConfigError(f"{setting}={run}: is a run of {found.spec.name}, not of {modality}_quantizer")
    return found.model().eval(), found.size.model_dump(mode="json")


def made_of(modality: str, size: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
    """The quantiser of this size whose weights are among those of a converting checkpoint."""
    made = make_quantizer(modality, size)
    load_quantizers({modality: made}, tensors)
    return made
