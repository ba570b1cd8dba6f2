"""The steps over the whole data set: where each is, and how one after the other is run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.building import STEPS, SplitConfig
from chiasm.config import BuildConfig
from chiasm.dataset.idle import idle
from chiasm.dataset.sheet import ShardSheet
from chiasm.dataset.step import Embedder, Outcome
from chiasm.errors import MediaError
from chiasm.sources import Progress
from chiasm.types import Embedder as Model
from chiasm.types import Media, Text

MODULES = {
    "clean": "cleaning",
    "align": "align",
    "extract": "extract",
    "dedup": "dedup",
    "label": "label",
    "reduce": "reduce",
    "split": "splitting",
    "augment": "augmenting",
}
"""The module of dataset/ whose `run` a step is."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step did. given: rows before · kept: of these, after · added: new rows · reasons: ledger rows by reason · facts: what it found."""

    step: str
    given: int
    kept: int
    added: int
    seconds: float
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Lenient:
    """A trained model as steps need it (step.Embedder): what cannot be read is a row of NaN."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def modalities(self) -> tuple[str, ...]:
        return self._model.modalities

    def embed_items(self, modality: str, items: Sequence[Media] | Sequence[Text]) -> NDArray[np.float32]:
        try:
            return self._model.embed_items(modality, items)
        except MediaError:
            if len(items) == 1:
                return np.full((1, self._model.dimension), np.nan, np.float32)
        half = len(items) // 2
        return np.concatenate([self.embed_items(modality, items[:half]), self.embed_items(modality, items[half:])])


def decide(
    sheet: ShardSheet,
    config: BuildConfig,
    rule: Literal["groups", "forms"],
    model: Embedder | None,
    progress: Progress | None,
) -> tuple[list[StepReport], Outcome]:
    """Run the steps that are asked for, in their order, and let the sheet's decisions take what they say.

    Every row has a split and a group afterwards. Returns what each step did, and the last outcome, of *augment*: its `added` is still to be drawn.
    """
    reports: list[StepReport] = []
    outcome = Outcome()
    for name in STEPS:
        wanted = config.steps is None or name in config.steps
        if not wanted and name != "split":
            continue
        started, given = time.monotonic(), len(sheet.rows)
        note = idle(name, config) if wanted else None
        outcome = _run(name, sheet, config if wanted else _as_prescribed(config), rule, model, progress)
        refused = sheet.decisions.apply(name, outcome)
        report = StepReport(
            name,
            given,
            len(sheet.rows),
            0,
            time.monotonic() - started,
            dict(Counter(row.reason for row in refused)),
            outcome.facts if note is None else {"note": note},
        )
        if note is not None or name == "split" or _did(outcome) or config.steps is not None:
            reports.append(report)
    return reports, outcome


def _run(
    name: str,
    sheet: ShardSheet,
    config: BuildConfig,
    rule: Literal["groups", "forms"],
    model: Embedder | None,
    progress: Progress | None,
) -> Outcome:
    run = import_module(f"chiasm.dataset.{MODULES[name]}").run
    if name == "split":
        return run(sheet, config, rule=rule, tied=sheet.decisions.tied, model=model, progress=progress)
    if name == "augment":
        return run(sheet, config, model=model, progress=progress, root=sheet.root)
    return run(sheet, config, model=model, progress=progress)


def _as_prescribed(config: BuildConfig) -> BuildConfig:
    """Where *split* is not asked for: the source's splits stay as they are, and rows without one train."""
    return config.model_copy(update={"validation": 0.0, "test": 0.0, "split": SplitConfig()})


def _did(outcome: Outcome) -> bool:
    said: Sequence[Any] = [getattr(outcome, name) for name in outcome.__slots__ if name != "added"]
    return outcome.added is not None or any(len(what) for what in said)
