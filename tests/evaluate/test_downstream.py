"""The downstream measures against answers that are known beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from chiasm.batches.task import Corpus, Draft, Facts, Task
from chiasm.errors import DataError
from chiasm.evaluate.comparison.downstream import Subject, binary, measure, overlap
from chiasm.evaluate.metrics.space import linear_probe, nearest
from chiasm.modalities.text import EOS, MASK, Tokenizer
from chiasm.systems.system import Measure, System
from chiasm.types import IGNORE, Batch, Items, Label, Losses, Record

CLASSES = ("cat", "dog", "owl")
WORDS = 7
FIRST = 10


@dataclass(frozen=True)
class Truths:
    """labels["class"], three words a record as items["text"], a box as items["objects"], and a target sequence: all told by the record."""

    picture: int | None = None
    needs: str = "a label"

    def usable(self, corpus: Corpus, position: int) -> bool:
        return bool(corpus.records[position].labels)

    def add(self, draft: Draft) -> None:
        numbers = [CLASSES.index(draft.corpus.records[row].labels[0].value) for row in draft.rows]
        label = torch.tensor(numbers)
        place = torch.from_numpy(draft.rows)
        draft.labels["class"] = label
        # Two hidden words with one that is not asked for between them; a third that stands to be seen and an end, neither of which counts.
        shown, end = torch.full_like(place, FIRST), torch.full_like(place, EOS)
        hidden = [place % WORDS + FIRST, torch.full_like(place, IGNORE), (place + 1) % WORDS + FIRST]
        words = torch.stack([*hidden, shown, end], 1)
        value = torch.stack([torch.full_like(place, MASK)] * 3 + [shown, end], 1)
        valid = torch.ones_like(words, dtype=torch.bool)
        draft.items["text"] = Items(value, valid, draft.owner, target=words)
        corner = (place % 5).float()[:, None, None] / 10
        boxes = torch.cat([corner, corner, corner + 0.4, corner + 0.4], 2)
        draft.items["objects"] = Items(label[:, None], valid[:, :1], draft.owner, boxes=boxes)
        target = torch.stack([place + 10, place + 11, torch.full_like(place, EOS)], 1)
        draft.items["source"] = Items(place[:, None], valid[:, :1], draft.owner)
        draft.items["target"] = Items(target, valid, draft.owner, target=target)


class Says(System):
    """A system that says what a function makes of the batch."""

    def __init__(self, says: Callable[[Batch], Mapping[str, Tensor]]) -> None:
        super().__init__()
        self._says = says

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        return Losses({})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        return self._says(batch)

    def translate(self, batch: Batch, dtype: torch.dtype, length: int) -> Tensor:
        return self._says(batch)["translation"]


def corpus_of(n: int, labelled: bool = True) -> Corpus:
    """Twice as many cats as dogs and owls."""
    names = ["cat", "cat", "dog", "owl"]
    labels = [(Label("animal", names[i % 4]),) if labelled else () for i in range(n)]
    return Corpus(
        ids=[str(i) for i in range(n)],
        row=list(range(n)),
        records=[Record(str(i), labels=labels[i]) for i in range(n)],
        pictured=[False] * n,
        pictures=None,
        tokenizer=Tokenizer.train(["a cat", "a dog"], 300),
        facts=Facts(300, CLASSES),
        label="animal",
    )


def measured(
    says: Callable[[Batch], Mapping[str, Tensor]], kind: Any, key: str, n: int = 100, untrained: Any = None
) -> Any:
    fresh = None if untrained is None else Says(untrained)
    subject = Subject(Says(says), torch.device("cpu"), torch.float32, fresh)
    task = Task("truth", (Truths(),))
    return measure(subject, Measure(kind, key, lambda _: task), None, corpus_of(200), corpus_of(n))


def one_hot(numbers: Tensor, width: int) -> Tensor:
    return torch.nn.functional.one_hot(numbers, width).float()


def features(batch: Batch, spread: float, rows: int = 4) -> Tensor:
    """A vector by class, blurred by the record."""
    drawn = torch.stack([torch.randn(rows, generator=torch.Generator().manual_seed(int(i))) for i in batch.ids])
    return one_hot(batch.labels["class"], rows) + spread * drawn


def test_labels() -> None:
    right = measured(lambda batch: {"class": one_hot(batch.labels["class"], 3)}, "label", "class")
    assert right.value == 1.0
    assert right.n == 100
    assert right.chance == 0.5, "cats are half of all, and whoever says cat is right half of the time"
    assert right.beats_chance
    guessing = measured(lambda batch: {"class": torch.zeros(len(batch.ids), 3)}, "label", "class")
    assert guessing.value == guessing.chance == 0.5
    assert not guessing.beats_chance


def test_words() -> None:
    def knows(batch: Batch) -> Mapping[str, Tensor]:
        target = batch.items["text"].target
        assert target is not None
        return {"words": one_hot(target[target != IGNORE], FIRST + WORDS)}

    right = measured(knows, "words", "text", n=70)
    assert (right.value, right.n) == (1.0, 140)
    assert right.chance == pytest.approx(1 / 7)
    one = measured(
        lambda batch: {"words": one_hot(torch.full((4 * len(batch.ids),), FIRST), FIRST + WORDS)},
        "words",
        "text",
        n=70,
    )
    assert one.value == pytest.approx(1 / 7)


def test_retrieval_and_ties() -> None:
    def both(batch: Batch, blank: bool = False) -> Mapping[str, Tensor]:
        found = one_hot(torch.tensor([int(i) for i in batch.ids]), 100) * (0.0 if blank else 1.0)
        return {"text": found, "image": found}

    right = measured(both, "retrieval", "text-image")
    assert (right.value, right.n, right.chance) == (1.0, 200, 0.01)
    equal = measured(lambda batch: both(batch, blank=True), "retrieval", "text-image")
    assert equal.value == 0.0, "who calls everything equal finds nothing"
    assert equal.beside["R@5 text→image"] == 0.0


def test_probe_beside_the_untrained_one() -> None:
    found = measured(
        lambda batch: {"features": features(batch, 0.1)},
        "probe",
        "class",
        untrained=lambda batch: {"features": features(batch, 3.0)},
    )
    assert found.value == found.beside["kNN"] == 1.0
    assert found.chance == 0.5
    assert found.beside["untrained"] < 0.8
    assert "raw pixels" not in found.beside, "there are no pictures"


def test_detection() -> None:
    def sees(batch: Batch, off: float = 0.0) -> Mapping[str, Tensor]:
        objects = batch.items["objects"]
        assert objects.boxes is not None
        nothing = torch.zeros(len(batch.ids), 1, 4)
        boxes = torch.cat([nothing, objects.boxes + off], 1)
        names = torch.stack([torch.full_like(objects.value[:, 0], 3), objects.value[:, 0]], 1)
        return {"boxes": boxes, "objects": one_hot(names, 4)}

    found = measured(sees, "detection", "objects")
    assert found.value == 1.0
    assert found.chance < 0.5, "another picture's objects are seldom here"
    assert measured(lambda batch: sees(batch, off=0.3), "detection", "objects").value == 0.0


def test_generation() -> None:
    def says(batch: Batch) -> Mapping[str, Tensor]:
        target = batch.items["target"].target
        assert target is not None
        return {"translation": torch.cat([target, torch.zeros(len(target), 2, dtype=torch.int64)], 1)}

    found = measured(says, "generation", "target")
    assert found.value == 1.0, "what stands behind EOS does not count"
    assert found.beside["all tokens right"] == 1.0
    assert found.chance < 0.75
    assert overlap([5, 6, EOS], [5, 7, EOS]) == pytest.approx(2 / 3)
    assert overlap([5, 5, 5], [5, EOS]) == pytest.approx(2 / 5), "a token counts as often as the truth has it"


def test_what_cannot_be_measured_says_so() -> None:
    subject = Subject(Says(lambda _: {}), torch.device("cpu"), torch.float32)
    task = Task("truth", (Truths(),))
    with pytest.raises(DataError, match="needs a label, which"):
        measure(subject, Measure("label", "class", lambda _: task), None, corpus_of(8), corpus_of(8, labelled=False))


def test_wilson_interval() -> None:
    found = binary("share", np.array([True] * 30 + [False] * 70), 0.2)
    assert (found.low, found.high) == (
        pytest.approx(0.2189, abs=1e-4),
        pytest.approx(0.3958, abs=1e-4),
    )  # Wilson 1927, by hand
    assert found.beats_chance
    assert binary("all", np.ones(10, np.bool_), 0.5).high == pytest.approx(1.0)
    assert math.isclose(binary("none", np.zeros(10, np.bool_), 0.5).low, 0.0, abs_tol=1e-12)


def test_probe_and_neighbours_tell_apart_what_can_be_told_apart() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    centres = rng.normal(size=(3, 20)) * 3
    x, test = (centres[y] + rng.normal(size=(300, 20)) for _ in range(2))
    assert (linear_probe(x, y, test) == y).mean() > 0.97
    assert (nearest(x, y, test) == y).mean() > 0.97
    noise = rng.normal(size=(300, 20))
    assert (nearest(noise, y, rng.normal(size=(300, 20))) == y).mean() < 0.5
    assert nearest(x[:5], y[:5], test[:2], k=20).shape == (2,), "fewer records than neighbours"
