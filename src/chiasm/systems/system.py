"""What a named system is to the rest: a module with losses, and a Spec that says what it is, takes in and is measured by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from chiasm.batches.task import Facts, Task
from chiasm.config import Section
from chiasm.objectives.balance import UncertaintyWeights
from chiasm.types import Batch, Losses

S = TypeVar("S", bound=Section)


class System(nn.Module):
    """A named system as the training loop and the evaluation see it."""

    def __init__(self) -> None:
        super().__init__()
        self.uncertainty: UncertaintyWeights | None = None
        """Learned weights of the losses, where a run asks for them."""

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        """The named losses of a training batch; changes no state."""
        raise NotImplementedError

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        """What the system says of a batch, by name; changes no state. float32:

        a label's name ("matched", "class", "answer" …): logits [B, C] · "features": [B, D] · "text", "image" …: unit-length embeddings
        [B, E] · "words": logits [n, V] of the n tokens of items["text"] (or items["target"]) whose target is not IGNORE, in order ·
        "boxes": [B, Q, 4] as x0 y0 x1 y1 with "objects": logits [B, Q, C+1], the last for nothing ·
        of what reconstructs: the input's own key, in 0 … 255, with "codes": [B, steps, G], −1 where there is none, and "sizes": [G]
        """
        raise NotImplementedError

    def calibrate(self, batch: Batch) -> None:
        """Standardise inputs by these samples, once before the first step."""

    def begin(self) -> None:
        """Bring teachers to where their students are: once before the first step of a new run, when weights are given and inputs standardised."""

    def advance(self, made: Losses, progress: float) -> None:
        """Move the teacher and the queues after an update; only the training loop calls it. `progress`: 0 … 1 through the run."""

    def modulate(self, made: Losses, seed: int, step: int) -> None:
        """Change the gradients before the update, to hold back a dominant modality (OGM-GE); the noise is drawn from (seed, step)."""

    def translate(self, batch: Batch, dtype: torch.dtype, length: int) -> Tensor:
        """Greedy output tokens int64 [B, ≤ length] for items["source"], EOS included; for measures of kind "generation"."""
        raise NotImplementedError


@dataclass(frozen=True)
class Measure(Generic[S]):
    """How a system is measured on records that it was not trained on (evaluate/comparison/downstream.py does it).

    label       predict()[key] against batch.labels[key]: accuracy; chance = share of the most frequent class, or, of answers, what the
                question alone tells
    probe       logistic regression on frozen predict()["features"] for labels[key]; beside it the same system untrained
    retrieval   predict()[a] against predict()[b] where key = "a-b": R@1 both ways; chance = 1/n
    words       predict()["words"] against the words of items[key] that it cannot see: accuracy; chance = a table of what goes with the
                one token that stands there
    detection   share of the objects that are found (class and IoU ≥ 0.5); chance = with pictures shuffled
    generation  translate() against the target tokens: F1 of tokens; chance = with sources shuffled
    reconstruction  predict()[key] ("image", "audio") against items[key]: PSNR in dB, or the log-mel distance in dB, negated, so that more is
                better; chance = the training records' mean picture or mean spectrum; beside it the use of predict()["codes"]
    """

    kind: Literal["label", "probe", "retrieval", "words", "detection", "generation", "reconstruction"]
    key: str
    task: Callable[[S], Task]


@dataclass(frozen=True)
class Published(Generic[S]):
    """The published size: its facts, and the parameters that the paper or the public model has.

    parameters: of `make(size, facts)` under `counted` prefixes (all where empty) · note: where the count differs from the paper's, and why
    """

    size: S
    facts: Facts
    parameters: int | None = None
    counted: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Spec(Generic[S]):
    """One named system. `tasks(size)`: what its batches hold. `attends`: the diagram of what attends to what, a line a row.

    heads: prefixes of parameters that stay trainable beside adapters · in_batch: its losses compare the records of a batch with each other ·
    info_nce: names of its losses that are InfoNCE with one positive, and so bound the mutual information of two views from below ·
    regions: (numbers that describe a region, side of its crop in pixels) where it looks at regions ·
    training: changes to the default optimizer and train sections
    """

    name: str
    title: str
    paper: str
    inputs: tuple[str, ...]
    fusion: str
    objectives: tuple[str, ...]
    differs: str
    attends: str
    tiny: S
    published: Published[S]
    tasks: Callable[[S], tuple[Task, ...]]
    make: Callable[[S, Facts], System]
    measure: Measure[S]
    heads: tuple[str, ...] = ("head",)
    in_batch: bool = False
    info_nce: Callable[[S], tuple[str, ...]] = lambda _: ()
    regions: Callable[[S], tuple[int, int] | None] = lambda _: None
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
