"""What a named system is made of, counted without a byte of weights: parts, parameters, and the dimensions that can be changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from chiasm.batches.task import Facts
from chiasm.config import Section
from chiasm.systems.system import Spec


@dataclass(frozen=True, slots=True)
class Dimension:
    """A field of the size: what `change` takes."""

    value: Any
    meaning: str


@dataclass(frozen=True, slots=True)
class Anatomy:
    """parameters: at the published size those that the paper or the public model counts (Published.counted), else all, teachers included ·
    parts: parameters of each top-level part · published, note: see Published; of the published size only"""

    size: Section
    facts: Facts
    parameters: int
    parts: Mapping[str, int]
    dimensions: Mapping[str, Dimension]
    published: int | None = None
    note: str = ""


def anatomy(spec: Spec[Any], which: Literal["tiny", "base"]) -> Anatomy:
    """The system at one of its sizes, on the meta device; a tiny one as it is for a small table (see `small_facts`)."""
    published = which == "base"
    size: Section = spec.published.size if published else spec.tiny
    facts = spec.published.facts if published else small_facts(spec)
    with torch.device("meta"):
        made = spec.make(size, facts)
    parts: dict[str, int] = {}
    counted = 0
    for name, parameter in made.named_parameters():
        part = name.partition(".")[0]
        parts[part] = parts.get(part, 0) + parameter.numel()
        if not published or not spec.published.counted or name.startswith(spec.published.counted):
            counted += parameter.numel()
    values = size.model_dump()
    dimensions = {
        name: Dimension(values[name], field.description or "") for name, field in type(size).model_fields.items()
    }
    if not published:
        return Anatomy(size, facts, counted, parts, dimensions)
    return Anatomy(size, facts, counted, parts, dimensions, spec.published.parameters, spec.published.note)


def small_facts(spec: Spec[Any]) -> Facts:
    """Facts like those of a small table: a vocabulary of 4,096, ten classes, 64 answers, 64 kinds of object, two languages."""
    looked_at = spec.regions(spec.tiny)
    return Facts(
        vocabulary=4096,
        classes=_numbered("class", 10),
        answers=_numbered("answer", 64),
        objects=_numbered("object", 64),
        region_width=0 if looked_at is None else looked_at[0],
        languages=("en", "de"),
    )


def _numbered(word: str, count: int) -> tuple[str, ...]:
    return tuple(f"{word} {number}" for number in range(count))
