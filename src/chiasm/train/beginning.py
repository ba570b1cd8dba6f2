"""What a run takes from the run that `conversion.init` names: its sizes, its tokenizer and its weights, each where it means the same in both."""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from chiasm.batches.conversion import ConversionFacts
from chiasm.config import AnyRunConfig, RunConfig, load_kept
from chiasm.declare import ConversionConfig
from chiasm.errors import ConfigError, ModelError
from chiasm.modalities.modality import word_scale
from chiasm.modalities.text import Tokenizer
from chiasm.sections import Section
from chiasm.systems.converter import Converter
from chiasm.train import checkpoint
from chiasm.train.shape import CONVERSION_FILE, facts_of, read_shape

S = TypeVar("S", bound=Section)

LEAST_GIVEN = 0.05
"""The share of a model's numbers that `init` must bring."""
ALIKE = (
    "model.width", "model.heads", "model.layers", "model.ratio", "model.activation", "model.norm", "model.embedding",
    "model.image.size", "model.image.patch", "model.audio.patch",
    "model.video.frames", "model.video.size", "model.video.patch", "model.video.tubelet",
)  # fmt: skip
"""What weights are of no use without: they would fit, or fit in part, and mean something else."""
LENGTHS = ("model.text.length", "model.audio.seconds")
WRITTEN = ("text_length", "audio_length", "boxes", "bins", "cells")
"""Settings of `conversion`. Of another length or number, what the runs have in common is taken."""
PLACED = ("space.embedders.text.", "space.embedders.audio.", "writers.")
"""Whose positions are numbered from the beginning."""


def as_begun(config: AnyRunConfig, tell: bool = True) -> AnyRunConfig:
    """The configuration with the sizes of the run that `conversion.init` names, where it says nothing of them itself.

    Before the run folder is opened: what is kept there is what the run has. Raises ModelError where there is no such run."""
    if not isinstance(config, RunConfig) or not config.tasks or config.conversion.init is None:
        return config
    theirs = _kept(checkpoint.find(Path(config.conversion.init)))
    if theirs is None:
        return config
    keys = [*ALIKE, *LENGTHS, *(f"conversion.{name}" for name in WRITTEN if theirs.tasks)]
    if _writes_codes(theirs) and _writes_codes(config):
        keys.append("conversion.code_scale")
    if all(any(task.wanted.of == "item" for task in run.tasks.values()) for run in (theirs, config)):
        keys.append("conversion.history_mean")
    taken = {
        key: _at(theirs, key) for key in keys if not _is_said(config, key) and _at(theirs, key) != _at(config, key)
    }
    begun = _with(config, taken)
    if config.model.text.scale is None and not _close(word_scale(begun.model), word_scale(theirs.model)):
        taken["model.text.scale"] = word_scale(theirs.model)
        begun = _with(begun, {"model.text.scale": word_scale(theirs.model)})
    if taken and tell:
        said = " ".join(f"{key}={_shown(value)}" for key, value in taken.items())
        print(f"init: as in {config.conversion.init}: {said}", file=sys.stderr)  # noqa: T201
    return begun


@dataclass(frozen=True)
class Beginning:
    """What `init` brings. config: None for weights that were imported. quantizers: the sizes of those that come along. facts: of a converting run."""

    path: Path
    tensors: Mapping[str, Tensor]
    tokenizer: Tokenizer
    config: RunConfig | None = None
    facts: ConversionFacts | None = None
    quantizers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])

    def rows(self, name: str, tensor: Tensor, model: Converter, settings: ConversionConfig) -> Tensor | None:
        """The model's tensor of this name with all that this run has of it; None where it has nothing."""
        given = self.tensors.get(name)
        if given is None or given.shape[1:] != tensor.shape[1:]:
            return None
        theirs = ours = None
        if self.config is not None and given.ndim:
            theirs = _rows(name, len(given), self.facts or ConversionFacts(0), self.config.conversion)
            ours = _rows(name, len(tensor), model.facts, settings)
        if theirs is None or ours is None or list(theirs) == list(ours):
            return given if given.shape == tensor.shape else None
        place = {row: number for number, row in enumerate(theirs)}
        both = [(number, place[row]) for number, row in enumerate(ours) if row in place]
        if not both:
            return None
        made = tensor.clone()
        made[[number for number, _ in both]] = given[[number for _, number in both]].to(made.dtype)
        return made


def read_beginning(run: str, mine: RunConfig) -> Beginning:
    """The run that `init` names. Raises ConfigError where it is of another make than this one, ModelError where it cannot be read."""
    path = checkpoint.find(Path(run))
    theirs = _kept(path)
    tensors = checkpoint.load(path).model
    if theirs is not None:
        prefix = "space.embedders." if theirs.tasks else "embedders."
        modalities = {name.removeprefix(prefix).split(".")[0] for name in tensors if name.startswith(prefix)}
        _check_alike(run, theirs, mine, modalities)
    tokenizer = Tokenizer.load(path / "tokenizer.json")
    if not (path / CONVERSION_FILE).is_file():  # an embedding run: its whole model is our space
        return Beginning(path, {f"space.{name}": tensor for name, tensor in tensors.items()}, tokenizer, theirs)
    if theirs is not None:  # a part of a task has learned what the whole has
        parts = {name: task.part_of for name, task in theirs.tasks.items() if task.part_of is not None}
        tensors = {
            **tensors,
            **{f"task_tokens.{name}": tensors[f"task_tokens.{whole}"] for name, whole in parts.items()},
        }
    shape = read_shape(path)
    return Beginning(path, tensors, tokenizer, theirs, facts_of(shape), shape["quantizers"])


def give(given: Beginning, model: Converter, settings: ConversionConfig, tell: bool) -> set[str]:
    """Copy what means the same in both runs, by name, shape and the names of rows; the names of what found nothing."""
    whole = model.state_dict()
    # The quantisers are there already, for codes were made with them; a writer that learned the codes of others knows nothing of these.
    mine = {name: tensor for name, tensor in whole.items() if not name.startswith("quantizers.")}
    other = [
        m for m in model.quantizers if f"writers.{m}.positions" in given.tensors and not _same_codes(given, whole, m)
    ]
    left = tuple(f"writers.{modality}." for modality in other)
    taken: dict[str, Tensor] = {}
    for name, tensor in mine.items():
        found = None if name.startswith(left) else given.rows(name, tensor, model, settings)
        if found is not None:
            taken[name] = found
    in_part = [name for name, tensor in taken.items() if tensor is not given.tensors[name]]
    share = sum(t.numel() for t in taken.values()) / sum(t.numel() for t in mine.values())
    if share < LEAST_GIVEN:
        raise ModelError(
            f"conversion.init: only {share:.0%} of this model's numbers fit those of {given.path}: it is of another size"
        )
    model.load_state_dict({**whole, **taken})
    if tell:
        fresh = [f"what writes {modality} begins fresh, for its codes are another quantiser's" for modality in other]
        rows = [f"by the names of their rows: {', '.join(in_part)}"] if in_part else []
        said = "; ".join([*rows, *fresh, "the rest begins fresh"])
        print(  # noqa: T201
            f"init: {len(taken)} of {len(mine)} tensors come from {given.path} ({share:.0%} of the numbers); {said}",
            file=sys.stderr,
        )
    return set(mine) - set(taken)


def _kept(path: Path) -> RunConfig | None:
    """The configuration of a checkpoint of the chiasm model; None for others."""
    file = path / "config.yaml"
    found = load_kept(file) if file.is_file() else None  # imported weights have none
    return found if isinstance(found, RunConfig) else None


def _check_alike(run: str, theirs: RunConfig, mine: RunConfig, modalities: Iterable[str]) -> None:
    where = f"conversion.init={run}"
    if theirs.model.trunk != "multiway":
        raise ConfigError(f"{where}: its model.trunk is {theirs.model.trunk}: begin with a run whose trunk is multiway")
    skipped = tuple(f"model.{m}." for m in ("text", "image", "audio", "video") if m not in modalities)
    pairs = {key: (_at(theirs, key), _at(mine, key)) for key in ALIKE if not key.startswith(skipped)}
    if theirs.model.width == mine.model.width:
        pairs["model.text.scale"] = (word_scale(theirs.model), word_scale(mine.model))
    if _writes_codes(theirs) and _writes_codes(mine):
        pairs["conversion.code_scale"] = (theirs.conversion.code_scale, mine.conversion.code_scale)
    if theirs.conversion.tune == "adapters":  # else they would be lost
        for key in ("conversion.tune", "conversion.adapter_size"):
            pairs[key] = (_at(theirs, key), _at(mine, key))
    other = {key: pair for key, pair in pairs.items() if not _close(*pair)}
    if other:
        named = ", ".join(f"{key} {_shown(a)} (here {_shown(b)})" for key, (a, b) in other.items())
        wanted = " ".join(f"{key}={_shown(a)}" for key, (a, _) in other.items())
        raise ConfigError(f"{where}: it is of another make: {named}; set {wanted}")


def _writes_codes(config: RunConfig) -> bool:
    return any(task.writer in ("image", "audio", "boxes") for task in config.tasks.values())


def _close(one: Any, two: Any) -> bool:
    """Equal, or a number that was written down in six figures."""
    return one == two or (isinstance(one, float) and isinstance(two, float) and math.isclose(one, two, rel_tol=1e-4))


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _at(config: Section, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _is_said(config: Section, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    section: Section = _at(config, parent)
    return name in section.model_fields_set


def _with(config: S, values: Mapping[str, Any]) -> S:
    """The configuration with these values at their keys. They were checked together, in the run that they come from."""
    for key, value in values.items():
        name, _, rest = key.partition(".")
        made = _with(getattr(config, name), {rest: value}) if rest else value
        config = config.model_copy(update={name: made})
    return config


def _rows(name: str, count: int, facts: ConversionFacts, settings: ConversionConfig) -> Sequence[Hashable] | None:
    """What each row of a tensor is of, where runs differ in that; None: rows are what their number says."""
    if name == "languages":
        return (None, *facts.languages)
    if name == "makers":
        return (None, *facts.makers)
    if name == "writers.boxes.tables.0":  # systems/converter.py: places, classes, the end
        return (*((settings.bins, place) for place in range(settings.bins)), *facts.objects, None)
    head = name.split(".outer.")[0]
    if (
        head in ("mask", "boxes") and ".outer." in name
    ):  # heads/cells.py: the values of a patch's cells, one cell after the other
        values = (*range(4 if head == "boxes" else 0), None, *facts.objects)
        return [(settings.cells, cell, value) for cell in range(settings.cells**2) for value in values]
    return range(count) if name.startswith(PLACED) and name.endswith(".positions") else None


def _same_codes(given: Beginning, mine: Mapping[str, Tensor], modality: str) -> bool:
    """Whether both runs have the same quantiser, if rounded by an export."""
    prefix = f"quantizers.{modality}."
    names = {name for name in mine if name.startswith(prefix)}
    return names == {name for name in given.tensors if name.startswith(prefix)} and all(
        _is_of(given.tensors[name], mine[name]) for name in names
    )


def _is_of(given: Tensor, tensor: Tensor) -> bool:
    return given.shape == tensor.shape and torch.equal(given.half(), tensor.to(given.device).half())
