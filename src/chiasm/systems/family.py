"""What turns a public checkpoint of one model type into one of our systems: its shape from config.json, its tensors by our names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chiasm.batches.task import Facts
from chiasm.config import Section
from chiasm.errors import ModelError

MOST_LAYERS = 512
MOST_WIDTH = 65_536
MOST_TOKENS = 4_000_000
"""Bounds of what a config.json may ask for, before anything is made of it."""


@dataclass(frozen=True)
class Family:
    """The public checkpoints of one `model_type`.

    system: the name of ours · size(config): our size and the facts that config.json tells; raises ModelError for what ours cannot do ·
    convert(tensors): our System's state_dict from theirs. What it does not look up is reported as left over, what ours needs beyond it as missing ·
    prefix: what a model with a head puts before its trunk's names; convert sees them without ·
    fresh: prefixes of ours that a checkpoint need not bring (heads): they begin with random weights ·
    unused: prefixes (after `prefix` is taken away) or ends of theirs that have no place in ours and are passed over in silence
    """

    model_type: str
    system: str
    size: Callable[[Mapping[str, Any]], tuple[Section, Facts]]
    convert: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    prefix: str = ""
    fresh: tuple[str, ...] = ("head",)
    unused: tuple[str, ...] = ()


class Looked(Mapping[str, Tensor]):
    """Tensors that remember which of them were looked up."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        try:
            found = self._tensors[name]
        except KeyError:
            raise ModelError(
                f"the checkpoint has no tensor {name!r}; is it of the type that its config.json says?"
            ) from None
        self.seen.add(name)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def whole(config: Mapping[str, Any], name: str, most: int = MOST_WIDTH, default: int | None = None) -> int:
    """A whole number 1 … most of config.json. Raises ModelError."""
    value = config.get(name, default)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ModelError(f"config.json: {name} is {value!r}; expected a whole number from 1 to {most:,}")
    return value


def only(config: Mapping[str, Any], name: str, allowed: tuple[Any, ...], default: Any = None) -> Any:
    """A setting of config.json that ours has in these ways only. Raises ModelError for any other."""
    value = config.get(name, default)
    if value not in allowed:
        raise ModelError(
            f"config.json: {name} is {value!r}, which this system cannot do; it can do {', '.join(map(repr, allowed))}"
        )
    return value


def affine(
    tensors: Mapping[str, Tensor], to: str, *names: str, transpose: bool = False, bias: bool = True
) -> dict[str, Tensor]:
    """{to}.weight and {to}.bias: the rows of the named layers' one below the other. transpose: of weights stored input first (GPT-2's)."""
    weights = [tensors[f"{name}.weight"] for name in names]
    made = {f"{to}.weight": torch.cat([weight.T if transpose else weight for weight in weights])}
    if bias:
        made[f"{to}.bias"] = torch.cat([tensors[f"{name}.bias"] for name in names])
    return made


def layers(tensors: Mapping[str, Tensor], before: str) -> range:
    """The numbers of the layers whose names begin with `before`, e.g. "encoder.layer."."""
    numbers = {name[len(before) :].split(".")[0] for name in tensors if name.startswith(before)}
    return range(sum(number.isdigit() for number in numbers))
