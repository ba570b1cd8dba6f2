"""What is asked of a model's tasks beyond what they can do: an error, where it would otherwise be passed over in silence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chiasm.batches.conversion import ConversionFacts
from chiasm.config import DecodingConfig, RunConfig, load_kept
from chiasm.declare import TaskConfig
from chiasm.errors import ChiasmError, ConfigError
from chiasm.train import checkpoint

SCORED = 256
"""Choices up to which each one's probability is computed; of more, the decoder is only kept to them."""


def check_asked(
    name: str, task: TaskConfig, facts: ConversionFacts, language: str | None, by: str | None, chosen: bool
) -> None:
    """Languages and voices that it does not know, and choices (chosen) where nothing is chosen from. Raises ConfigError."""
    for what, value, known in (("language", language, facts.languages), ("voice", by, facts.makers)):
        if value is not None and value not in known:
            raise ConfigError(f"this model writes no {what} {value!r}; it knows {', '.join(known) or 'none'}")
    if by is not None and task.writer != "audio":
        raise ConfigError(f"by: only sounds are made in somebody's voice; the task {name!r} wants {task.wanted}")
    if chosen and task.writer != "text":
        raise ConfigError(f"choices are words to choose from; the task {name!r} wants {task.wanted}")


def check_decoding(
    name: str, task: TaskConfig, options: DecodingConfig, choices: Sequence[str] | None, config: RunConfig
) -> None:
    """Settings of decoding that would have no effect on this task, or cannot be had. Raises ConfigError."""
    if options.kind != "greedy" and options.candidates == 1 and task.writer in ("mask", "cells"):
        raise ConfigError(
            f"kind {options.kind} and its options: of no effect: the task {name!r} finds all cells at once, and nothing is drawn"
        )
    if task.order == "parallel" and task.writer in ("image", "audio"):
        if options.kind == "beam":
            raise ConfigError(
                f"kind beam: the task {name!r} fills its codes in in parallel, with no beams; take greedy or sample"
            )
        if options.candidates > 1:
            raise ConfigError(
                f"candidates: the task {name!r} fills its codes in in parallel, one result at a time; for others convert again with "
                "kind sample and another seed (--kind sample --seed N)"
            )
    if options.candidates > 1:
        if task.writer not in ("text", "image"):
            raise ConfigError(
                f"candidates: only words and pictures are compared; the task {name!r} wants {task.wanted}"
            )
        if not has_space(config):
            raise ConfigError(
                "candidates are compared in the model's own space, and this one learned none: give it a task that wants space"
            )
    elif choices and len(choices) <= SCORED:
        idle = [f"kind={options.kind}"] if options.kind != "greedy" else []
        idle += [f"guidance={options.guidance:g}"] if options.guidance != 1 else []
        if idle:
            raise ConfigError(
                f"{', '.join(idle)}: of no effect: the task {name!r} scores each of its {len(choices)} choices and "
                "takes the likeliest, so nothing is drawn or searched; leave out kind, its options and guidance"
            )


def has_space(config: RunConfig) -> bool:
    """Whether a run learned to embed: by a task of its own, or before, as the run that `conversion.init` names; one that
    is gone is taken to have."""
    seen: set[str] = set()
    while True:
        # A run without tasks is one space by contrast.
        if not config.tasks or any(task.wanted.of == "space" for task in config.tasks.values()):
            return True
        init = config.conversion.init
        if init is None or init in seen:
            return False
        seen.add(init)
        try:
            file = checkpoint.find(Path(init)) / "config.yaml"
            if not file.is_file():
                return True  # imported weights: a model that embeds
            found = load_kept(file)
        except (ChiasmError, OSError):
            return True  # what that run learned is not known, and it is in these weights
        if not isinstance(found, RunConfig):
            return False
        config = found
