"""What steps need that are asked for something, known from the settings alone: before anything is read, and before a table is found in the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from chiasm.config import BuildConfig
from chiasm.dataset.idle import asked
from chiasm.errors import ConfigError, DataError


def looks_at_measures(config: BuildConfig) -> bool:
    """Whether *clean* or *dedup* does something: every record is then measured, also where its source vouches for its media."""
    return asked("clean", config) or asked("dedup", config)


def check_needs(config: BuildConfig, model: bool) -> None:
    """model: whether a trained one was given. Raises ConfigError where a step needs one that was not, and DataError for a file that is named
    and not there."""
    for step, what in _comparisons(config):
        if not model and asked(step, config):
            raise ConfigError(f"{what} needs a trained model: give model=RUN, the folder of a run")
    files = [("label", "label.manual", config.label.manual), ("augment", "augment.words", config.augment.words)]
    files += [("extract", f"extract.gazetteers.{name}", path) for name, path in config.extract.gazetteers.items()]
    for step, name, path in files:
        if path is not None and asked(step, config) and (not Path(path).exists() or Path(path).is_dir()):
            raise DataError(f"{name}: {path}: no such file")


def _comparisons(config: BuildConfig) -> Iterator[tuple[str, str]]:
    """(step, what of its settings compares by a trained model)."""
    if "model" in config.align.by or config.align.mismatch is not None:
        yield "align", "align.by=[model] or align.mismatch"
    if config.extract.action_names:
        yield "extract", "extract.action_names"
    if config.extract.regions and config.extract.region_names:
        yield "extract", "extract.region_names"
    if config.dedup.near != "keep" and config.dedup.embedding is not None:
        yield "dedup", "dedup.embedding"
    for name, weak in config.label.weak.items():
        if any(function.similar is not None for function in weak.functions.values()):
            yield "label", f"label.weak.{name}: similar"
    for name, teacher in config.label.teacher.items():
        if teacher.method == "zero_shot":
            yield "label", f"label.teacher.{name}: zero_shot"
