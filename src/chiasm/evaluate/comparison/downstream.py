"""What a named system is worth on records that it was not trained on, beside chance: the measure that its Spec names, with an interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chiasm.batches.task import Corpus, Task, evaluation_batches
from chiasm.errors import DataError
from chiasm.evaluate.metrics.pictures import psnr, ssim
from chiasm.evaluate.metrics.reconstruction import code_use, mel_distance
from chiasm.evaluate.metrics.space import linear_probe, nearest
from chiasm.modalities.text import MASK, SPECIAL
from chiasm.objectives.detection import box_iou
from chiasm.systems.system import Measure, System
from chiasm.train.step import to_device
from chiasm.types import IGNORE, Batch

MOST = 1024
"""Held-out records that a measure looks at, at most."""
PROBED = 3000
"""Training records that a probe is fitted on, at most."""
BEGINNING = 3
"""Tokens by which questions are alike: <bos> and two words."""
BATCH = 64

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """value with its 95 % interval low … high, chance, and n: how many were asked. beside: other figures by name, to compare with."""

    name: str
    value: float
    low: float
    high: float
    chance: float
    n: int
    beside: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def beats_chance(self) -> bool:
        """Whether the whole interval lies above chance."""
        return self.low > self.chance


@dataclass(frozen=True, slots=True)
class Subject:
    """A system to be measured, on its device, and the type it computes in. untrained: the same with fresh weights, for probes."""

    system: System
    device: torch.device
    dtype: torch.dtype
    untrained: System | None = None


@torch.no_grad()
def measure(subject: Subject, what: Measure[Any], size: Any, train: Corpus, held_out: Corpus) -> Measured:
    """Measure the system as its Spec says; changes no state, and leaves the system in evaluation mode.

    Raises DataError where no held-out record can be used, or a probe would have nothing to tell apart.
    """
    task = what.task(size)
    subject.system.eval()
    if what.kind == "label":
        return _label(subject, what.key, task, train, held_out)
    if what.kind == "probe":
        return _probe(subject, what.key, task, train, held_out)
    if what.kind == "retrieval":
        return _retrieval(subject, what.key, task, held_out)
    if what.kind == "words":
        return _words(subject, what.key, task, train, held_out)
    if what.kind == "detection":
        return _detection(subject, task, held_out)
    if what.kind == "reconstruction":
        return _reconstruction(subject, what.key, task, train, held_out)
    return _generation(subject, task, held_out)


def _batches(corpus: Corpus, task: Task, most: int) -> Sequence[Batch]:
    found = evaluation_batches(corpus, task, BATCH, most)
    if not found:
        raise DataError(
            f"no record to measure on: the measure needs {task.needs}, which none of {len(corpus):,} records has"
        )
    return found


def _answers(
    subject: Subject, system: System, task: Task, corpus: Corpus, most: int
) -> Iterator[tuple[Batch, Mapping[str, Tensor]]]:
    for batch in _batches(corpus, task, most):
        given = system.predict(to_device(batch, subject.device), subject.dtype)
        yield batch, {name: value.float().cpu() for name, value in given.items()}


def _label(subject: Subject, key: str, task: Task, train: Corpus, held_out: Corpus) -> Measured:
    right: list[NDArray[np.bool_]] = []
    truths: list[NDArray[np.int64]] = []
    for batch, given in _answers(subject, subject.system, task, held_out, MOST):
        truth = batch.labels[key]
        known = truth != IGNORE
        right.append((given[key].argmax(-1) == truth)[known].numpy())
        truths.append(truth[known].numpy())
    learned = _batches(train, task, MOST)
    truth, seen = np.concatenate(truths), np.concatenate([b.labels[key].numpy() for b in learned])
    # Whoever knows nothing answers with what was most frequent in training.
    usual = int(np.bincount(seen[seen != IGNORE]).argmax())
    chance, beside = float((truth == usual).mean()), dict[str, float]()
    if key == "answer" and "text" in learned[0].items:
        # Who reads the question alone, and never looks, does better than that: it is the bar.
        beside["most frequent answer"] = chance
        guessed = _question_alone(learned, _batches(held_out, task, MOST), usual)
        chance = max(chance, float((truth == guessed).mean()))
    return binary(f"{_NAMES.get(key, key)} accuracy", np.concatenate(right), chance, beside)


def _question_alone(learned: Sequence[Batch], asked: Sequence[Batch], usual: int) -> NDArray[np.int64]:
    """The most frequent training answer to the same question; else to one that begins with the same words; else of all."""
    counts: dict[tuple[int, ...], Counter[int]] = {}
    for batch in learned:
        for question, answer in zip(_questions(batch), batch.labels["answer"].tolist(), strict=True):
            for key in (question, question[:BEGINNING]):
                counts.setdefault(key, Counter()).update([answer] if answer != IGNORE else [])
    guesses: list[int] = []
    for batch in asked:
        for question, answer in zip(_questions(batch), batch.labels["answer"].tolist(), strict=True):
            if answer != IGNORE:
                found = counts.get(question) or counts.get(question[:BEGINNING])
                guesses.append(found.most_common(1)[0][0] if found else usual)
    return np.array(guesses, np.int64)


def _questions(batch: Batch) -> list[tuple[int, ...]]:
    text = batch.items["text"]
    return [tuple(row[real].tolist()) for row, real in zip(text.value, text.valid, strict=True)]


def _words(subject: Subject, key: str, task: Task, train: Corpus, held_out: Corpus) -> Measured:
    right: list[NDArray[np.bool_]] = []
    truths: list[NDArray[np.int64]] = []
    seen: list[NDArray[np.int64]] = []
    for batch, given in _answers(subject, subject.system, task, held_out, MOST):
        shown, truth, counted = _asked_words(batch, key, held_out.tokenizer.size)
        right.append((given["words"].argmax(-1) == truth)[counted].numpy())
        truths.append(truth[counted].numpy())
        seen.append(shown[counted].numpy())
    if not any(map(len, truths)):
        raise DataError("no word to measure on: the held-out texts are nothing but what frames them")
    after: dict[int, Counter[int]] = {}
    every: Counter[int] = Counter()
    for batch in _batches(train, task, MOST):
        shown, truth, counted = _asked_words(batch, key, train.tokenizer.size)
        for one, two in zip(shown[counted].tolist(), truth[counted].tolist(), strict=True):
            after.setdefault(one, Counter()).update([two])
            every.update([two])
    # The bar: a table of what goes with the one token that stands there (the word before, for those that write; the mask, for those that fill in).
    usual = every.most_common(1)[0][0] if every else 0
    table = {one: counts.most_common(1)[0][0] for one, counts in after.items()}
    truth, shown = np.concatenate(truths), np.concatenate(seen)
    guessed = np.array([table.get(one, usual) for one in shown.tolist()])
    chance = float((guessed == truth).mean())
    return binary(
        "word accuracy", np.concatenate(right), chance, {"most frequent word": float((truth == usual).mean())}
    )


def _asked_words(batch: Batch, key: str, vocabulary: int) -> tuple[Tensor, Tensor, Tensor]:
    """The tokens that stand where a word is predicted, the words, and which of them count: int64, int64, bool [n]. What frames a text, marks
    its gaps, or was left standing to be seen, is no word to be found."""
    items = batch.items[key]
    assert items.target is not None
    chosen = items.target != IGNORE
    shown, truth = items.value[chosen], items.target[chosen]
    counted = (truth >= len(SPECIAL)) & (truth < vocabulary)
    if bool((shown == MASK).any()):
        counted &= shown == MASK
    return shown, truth, counted


def _probe(subject: Subject, key: str, task: Task, train: Corpus, held_out: Corpus) -> Measured:
    def features(system: System, corpus: Corpus, most: int) -> tuple[Floats, NDArray[np.int64]]:
        pairs = [
            (given["features"], batch.labels[key]) for batch, given in _answers(subject, system, task, corpus, most)
        ]
        return torch.cat([x for x, _ in pairs]).double().numpy(), torch.cat([y for _, y in pairs]).numpy()

    x, y = features(subject.system, train, PROBED)
    if len(np.unique(y)) < 2:
        raise DataError(
            f"a probe of {key!r} needs records of two classes at least; the train split shows {len(np.unique(y))}"
        )
    tx, ty = features(subject.system, held_out, MOST)
    right = linear_probe(x, y, tx) == ty
    beside = {"kNN": float((nearest(x, y, tx) == ty).mean())}
    if subject.untrained is not None:
        subject.untrained.eval()
        ux, utx = features(subject.untrained, train, PROBED)[0], features(subject.untrained, held_out, MOST)[0]
        beside["untrained"] = float((linear_probe(ux, y, utx) == ty).mean())
        beside["untrained kNN"] = float((nearest(ux, y, utx) == ty).mean())
    if "image" in _batches(held_out, task, 1)[0].items:
        px, ptx = _pixels(train, task, PROBED), _pixels(held_out, task, MOST)
        beside["raw pixels"] = float((linear_probe(px, y, ptx) == ty).mean())
        beside["raw pixels kNN"] = float((nearest(px, y, ptx) == ty).mean())
    usual = np.bincount(y).argmax()
    return binary(f"linear probe of {key}", right, float((ty == usual).mean()), beside)


def _pixels(corpus: Corpus, task: Task, most: int) -> Floats:
    batches = _batches(corpus, task, most)
    return np.concatenate([b.items["image"].value.flatten(1).double().numpy() / 255 for b in batches])


def _retrieval(subject: Subject, key: str, task: Task, held_out: Corpus) -> Measured:
    one, two = key.split("-")
    given = [values for _, values in _answers(subject, subject.system, task, held_out, MOST)]
    similarity = torch.cat([g[one] for g in given]) @ torch.cat([g[two] for g in given]).T
    right: list[NDArray[np.bool_]] = []
    ranks: dict[str, float] = {}
    for name, table in ((f"{one}→{two}", similarity), (f"{two}→{one}", similarity.T)):
        own = table.diagonal()[:, None]
        # A tie with the right one counts against: a model that calls everything equal finds nothing.
        above = (table >= own).sum(1) - 1
        right.append((above == 0).numpy())
        ranks[f"R@1 {name}"] = float((above == 0).float().mean())
        ranks[f"R@5 {name}"] = float((above < 5).float().mean())
    return binary(f"R@1 {one}↔{two} of {len(similarity)}", np.concatenate(right), 1 / len(similarity), ranks)


def _detection(subject: Subject, task: Task, held_out: Corpus) -> Measured:
    found: list[bool] = []
    shuffled: list[bool] = []
    for batch, given in _answers(subject, subject.system, task, held_out, MOST):
        objects = batch.items["objects"]
        assert objects.boxes is not None
        boxes, names = given["boxes"], given["objects"].argmax(-1)
        for row in range(len(batch.ids)):
            real = objects.valid[row]
            truth, classes = objects.boxes[row][real], objects.value[row][real]
            found += _hits(boxes[row], names[row], truth, classes)
            other = (row + 1) % len(batch.ids)
            shuffled += _hits(boxes[other], names[other], truth, classes)
    return binary("objects found (class, IoU ≥ 0.5)", np.array(found), float(np.mean(shuffled)))


def _hits(boxes: Tensor, names: Tensor, truth: Tensor, classes: Tensor) -> list[bool]:
    """Which of the true objects some prediction of their class overlaps; a prediction finds one object."""
    overlap = box_iou(truth, boxes) * (classes[:, None] == names[None])
    hits: list[bool] = []
    for row in overlap:
        best = int(row.argmax())
        hits.append(bool(row[best] >= 0.5))
        if hits[-1]:
            overlap[:, best] = 0
    return hits


def _generation(subject: Subject, task: Task, held_out: Corpus) -> Measured:
    scores: list[float] = []
    shuffled: list[float] = []
    for batch in _batches(held_out, task, MOST // 4):
        target = batch.items["target"].target
        assert target is not None
        moved = to_device(batch, subject.device)
        said = subject.system.translate(moved, subject.dtype, target.shape[1] + 8).cpu().tolist()
        truth = [[token for token in row if token != IGNORE] for row in target.tolist()]
        scores += [overlap(a, b) for a, b in zip(said, truth, strict=True)]
        shuffled += [overlap(a, b) for a, b in zip(said[1:] + said[:1], truth, strict=True)]
    exact = {"all tokens right": float((np.array(scores) == 1).mean())}
    return _mean_of("F1 of generated tokens", np.array(scores), float(np.mean(shuffled)), exact)


def _mean_of(name: str, values: Floats, chance: float, beside: Mapping[str, float]) -> Measured:
    """The mean of a score of each record, with the normal 95 % interval."""
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 1.0
    mean = float(values.mean())
    return Measured(name, mean, mean - half, mean + half, chance, len(values), beside)


def _reconstruction(subject: Subject, key: str, task: Task, train: Corpus, held_out: Corpus) -> Measured:
    mean = _mean(train, task, key)
    scores: list[Floats] = []
    blind: list[Floats] = []
    similar: list[Floats] = []
    codes: list[Tensor] = []
    sizes: list[int] = []
    for batch, given in _answers(subject, subject.system, task, held_out, MOST):
        items, found = batch.items[key], given[key].round().to(torch.uint8).numpy()
        truth, valid = items.value.numpy(), items.valid.numpy()
        guess = np.broadcast_to(mean, truth.shape)
        if key == "image":
            scores.append(psnr(found, truth))
            blind.append(psnr(guess, truth))
            similar.append(ssim(found, truth))
        else:
            scores.append(-mel_distance(found, truth, valid))
            blind.append(-mel_distance(guess, truth, valid))
        codes.append(given["codes"].long().flatten(0, 1))
        sizes = given["sizes"].long().tolist()
    beside = {"SSIM": float(np.concatenate(similar).mean())} if similar else {}
    used = torch.cat(codes)
    for group, size in enumerate(sizes):
        own = used[:, group]
        perplexity, share = code_use(own[own >= 0].numpy(), size)
        beside[f"perplexity of codes {group + 1} of {size}"] = perplexity
        beside[f"share of codes {group + 1} used"] = share
    name = "PSNR (dB)" if key == "image" else "log-mel distance, negated (dB)"
    return _mean_of(name, np.concatenate(scores), float(np.concatenate(blind).mean()), beside)


def _mean(corpus: Corpus, task: Task, key: str) -> NDArray[np.uint8]:
    """What a record looks like on average: the mean picture [S, S, 3], or the mean spectrum [M]."""
    total, count = np.zeros(()), 0
    for batch in _batches(corpus, task, MOST):
        items = batch.items[key]
        value = items.value.double()
        rows = (value if key == "image" else value[items.valid]).numpy()
        total, count = total + rows.sum(0), count + len(rows)
    return np.rint(total / count).astype(np.uint8)


def overlap(said: Sequence[int], truth: Sequence[int]) -> float:
    """F1 of two bags of tokens; what is said ends with the truth's last token (EOS) where it is said at all."""
    end = truth[-1]
    said = said[: said.index(end) + 1] if end in said else said
    left = list(truth)
    common = 0
    for token in said:
        if token in left:
            left.remove(token)
            common += 1
    return 2 * common / max(len(said) + len(truth), 1)


def binary(name: str, right: NDArray[np.bool_], chance: float, beside: Mapping[str, float] | None = None) -> Measured:
    """A share with Wilson's 95 % interval (1927)."""
    n, z = len(right), 1.959964
    p = float(right.mean())
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return Measured(name, p, centre - half, centre + half, chance, n, beside or {})


_NAMES = {"matched": "matching", "next": "next sentence", "class": "class", "answer": "answer"}
