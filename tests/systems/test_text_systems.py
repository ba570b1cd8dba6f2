"""Transformer, BERT, RoBERTa, GPT-2, T5 and ERNIE-M: published counts, losses that fall, who sees whom, decoding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from chiasm.batches.task import assemble_first, evaluation_batches
from chiasm.config import BuildConfig, SystemRunConfig, load_config
from chiasm.dataset.build import build
from chiasm.modalities.text import BOS, EOS, MASK
from chiasm.systems.catalogue import find
from chiasm.systems.ernie_m import ErnieM
from chiasm.systems.parallel import across
from chiasm.systems.system import System
from chiasm.systems.transformer import EncoderDecoder
from chiasm.train.distributed import World
from chiasm.train.named import SystemJob, weighted
from chiasm.train.optimizer import Optimizer
from chiasm.types import IGNORE, Batch, Features, Record, Text

NAMES = ("transformer", "bert", "roberta", "gpt", "t5", "ernie_m")
COUNTED = {"bert": 109_482_240, "roberta": 124_645_632, "gpt": 124_439_808, "t5": 60_506_624}
ENGLISH = ("red", "green", "blue", "apple", "boat", "drum")
GERMAN = ("rot", "grün", "blau", "Apfel", "Boot", "Trommel")
FRENCH = ("rouge", "vert", "bleu", "pomme", "bateau", "tambour")


class Told:
    """Things of a colour, told of in three languages, in two sentences."""

    name, attribution, found, root, total, rule, checked = "told", "", "", None, 48, "groups", frozenset[str]()

    def prepare(self, progress: object = None) -> None: ...

    def records(self) -> Iterator[Record]:
        for number in range(self.total):
            random = np.random.default_rng(number)
            a, b, one, two = *random.integers(3, size=2), *random.integers(3, 6, size=2)
            texts = (
                Text(f"Here is a {ENGLISH[a]} {ENGLISH[one]}. Number {number} is a {ENGLISH[b]} {ENGLISH[two]}.", "en"),
                Text(f"Hier: {GERMAN[one]} in {GERMAN[a]}. Nummer {number} ist {GERMAN[two]} in {GERMAN[b]}.", "de"),
                Text(f"Voici {FRENCH[one]} {FRENCH[a]}. Numéro {number} est {FRENCH[two]} {FRENCH[b]}.", "fr"),
            )
            yield Record(f"told-{number}", texts, group=f"told-{number}")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told")
    return build(Told(), folder / "told.lance", BuildConfig(validation=0.2, test=0.05, workers=1)).path


def make_job(name: str, table: Path, folder: Path, **more: Any) -> SystemJob:
    change = {"width": 32, "heads": 2, "layers": 1, "hidden": 64, "length": 48, **more}
    base: dict[str, Any] = {
        "system": name, "change": change, "data": {"table": str(table), "vocabulary": 400},
        "train": {"batch": 16, "steps": 100, "precision": "fp32", "threads": 1},
    }  # fmt: skip
    config = load_config(SystemRunConfig, base=base)
    return SystemJob(config, folder, World(), torch.device("cpu"), torch.float32, None, None)


def published(name: str) -> System:
    spec = find(name)
    with torch.device("meta"):
        return spec.make(spec.published.size, spec.published.facts)


@pytest.mark.parametrize("name", COUNTED)
def test_the_published_size_has_the_public_models_parameters(name: str) -> None:
    prefixes = find(name).published.counted or ("",)
    found = sum(p.numel() for n, p in published(name).named_parameters() if n.startswith(prefixes))
    assert found == find(name).published.parameters == COUNTED[name]


def test_what_the_transformers_note_says_of_its_count() -> None:
    found = sum(p.numel() for p in published("transformer").parameters())
    assert found == 63_082_496
    assert f"{found:,}" in find("transformer").published.note


@pytest.mark.parametrize("name", NAMES)
def test_losses_begin_at_chance_and_fall(name: str, told: Path, tmp_path: Path) -> None:
    """30 steps on one fixed batch of each task bring every loss below 70 % of its first value."""
    job = make_job(name, told, tmp_path)
    batches = [assemble_first(job.corpora.train, task, 16) for task in job.tasks]
    optimizer = Optimizer(job.model, job.config.optimizer)
    first = {k: v.item() for b in batches for k, v in job.model.losses(b, torch.float32).losses.items()}
    chance = {k: v for b in batches for k, v in job.model.losses(b, torch.float32).chance.items()}
    assert first.keys() == chance.keys()
    assert all(abs(first[key] / chance[key] - 1) < 0.35 for key in first), (first, chance)
    for _ in range(30):
        for batch in batches:
            optimizer.clear()
            weighted(job.model.losses(batch, torch.float32), job.model).backward()
            optimizer.step()
    last = {k: v.item() for b in batches for k, v in job.model.losses(b, torch.float32).losses.items()}
    assert all(last[key] < 0.7 * first[key] for key in first), (first, last)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_says_of_the_batches_that_measure_it(name: str, told: Path, tmp_path: Path) -> None:
    job = make_job(name, told, tmp_path)
    assert job.corpora.validation is not None
    measure = job.spec.measure
    (batch,) = evaluation_batches(job.corpora.validation, measure.task(job.size), 16, 16)
    with torch.no_grad():
        found = job.model.predict(batch, torch.float32)
        if measure.kind == "words":
            target = batch.items[measure.key].target
            assert target is not None
            assert len(found["words"]) == (target != IGNORE).sum()
        else:
            assert job.model.translate(batch, torch.float32, 7).shape == (len(batch.ids), 7)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"attention": "additive", "positions": "learned"},
        {"attention": "dot", "positions": "relative", "norm": "rms_norm"},
        {"positions": "rotary", "norm_first": True},
    ],
    ids=str,
)
def test_translations_are_those_of_a_decoder_that_reads_all_again(
    change: dict[str, Any], told: Path, tmp_path: Path
) -> None:
    job = make_job("transformer", told, tmp_path, **change)
    model = job.model
    assert isinstance(model, EncoderDecoder)
    batch = assemble_first(job.corpora.train, job.tasks[0], 6)
    optimizer = Optimizer(model, job.config.optimizer)
    for _ in range(80):
        optimizer.clear()
        weighted(model.losses(batch, torch.float32), model).backward()
        optimizer.step()
    free = model.translate(batch, torch.float32, 12)
    # A token that some rows come to before others becomes the one that they end with.
    first = {int(token): (free == token).long().argmax(1).unique() for token in free.unique()}
    with torch.no_grad():
        model.embed.table[EOS] = model.embed.table[next(token for token, places in first.items() if len(places) > 1)]
    found = model.translate(batch, torch.float32, 12)
    ends = (found == EOS).long().argmax(1)
    assert len(set(ends.tolist())) > 1
    for row in range(6):
        item = {
            name: replace(part, value=part.value[row : row + 1], valid=part.valid[row : row + 1], owner=part.owner[:1])
            for name, part in batch.items.items()
        }
        written: list[int] = []
        while len(written) < found.shape[1] and EOS not in written:
            value = torch.tensor([[BOS, *written]])
            target = torch.full_like(value, IGNORE)
            target[0, -1] = 0
            part = replace(item["target"], value=value, valid=torch.ones_like(value, dtype=torch.bool), target=target)
            one = Batch(("x",), torch.zeros(1), {**item, "target": part})
            written.append(int(model.predict(one, torch.float32)["words"].argmax()))
        assert found[row].tolist() == written + [0] * (found.shape[1] - len(written))


def test_captions_are_learned_from_pictures(scenes: Path, tmp_path: Path) -> None:
    job = make_job("transformer", scenes, tmp_path, source="image", side=32)
    batch = assemble_first(job.corpora.train, job.tasks[0], 8)
    job.model.calibrate(batch)
    optimizer = Optimizer(job.model, job.config.optimizer)
    first = job.model.losses(batch, torch.float32).losses["caption_words"].item()
    for _ in range(60):
        optimizer.clear()
        weighted(job.model.losses(batch, torch.float32), job.model).backward()
        optimizer.step()
    target = batch.items["target"].target
    assert target is not None
    assert job.model.losses(batch, torch.float32).losses["caption_words"].item() < 0.5 * first
    assert job.model.translate(batch, torch.float32, 9).shape == (8, 9)


def test_who_sees_whom_across_languages() -> None:
    side = torch.tensor([[0, 0, 0, 1, 1]])
    target = torch.tensor([[IGNORE, 7, IGNORE, IGNORE, 9]])
    expected = [
        [1, 0, 1, 0, 0],
        [0, 1, 0, 1, 0],  # predicted: itself and the other side's, less what is predicted there
        [1, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [1, 0, 1, 0, 1],
    ]
    assert across(side, target)[0].long().tolist() == expected


def ernie(told: Path, folder: Path, task: str) -> tuple[ErnieM, Batch, SystemJob]:
    job = make_job("ernie_m", told, folder)
    assert isinstance(job.model, ErnieM)
    (chosen,) = [one for one in job.tasks if one.name == task]
    return job.model.eval(), assemble_first(job.corpora.train, chosen, 8), job


@pytest.mark.parametrize("task", ["tlm", "camlm"])
@torch.no_grad()
def test_a_masked_word_learns_nothing_of_its_own_language_in_camlm(told: Path, tmp_path: Path, task: str) -> None:
    model, batch, _ = ernie(told, tmp_path, task)
    text = batch.items["text"]
    assert text.target is not None and text.segment is not None
    before = model.predict(batch, torch.float32)["words"]
    side = text.segment[text.target != IGNORE]
    for changed in (0, 1):
        value = torch.where((text.segment == changed) & (text.target == IGNORE) & (text.value > MASK), 50, text.value)
        after = model.predict(replace(batch, items={"text": replace(text, value=value)}), torch.float32)["words"]
        same = (after - before).abs().amax(1) < 1e-6
        assert torch.equal(same, (side == changed) if task == "camlm" else torch.zeros_like(same))


def test_pseudo_words_stand_in_another_language_beside_the_text(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch, job = ernie(told, tmp_path, "btmlm")
    seen: list[tuple[Any, Tensor, Tensor | None]] = []
    features = model._features

    def watch(text: Any, language: Tensor, dtype: torch.dtype, allowed: Tensor | None) -> Features:
        seen.append((text, language, allowed))
        return features(text, language, dtype, allowed)

    monkeypatch.setattr(model, "_features", watch)
    loss = model.losses(batch, torch.float32).losses["btmlm_words"]
    (draft, spoken, allowed), (pair, language, everything) = seen
    text = batch.items["text"]
    assert text.target is not None
    N = text.value.shape[1]
    assert everything is None and allowed is not None
    assert pair.value.shape == (8, 2 * N - 1) and job.size.model_dump()["length"] >= 2 * N - 1
    assert torch.equal(
        pair.value[:, :N], text.value
    )  # masked as the batch says; while the draft is made from the whole text
    assert torch.equal(draft.value[:, :N], torch.where(text.target == IGNORE, text.value, text.target))
    assert (draft.value[:, N:] == MASK).any() and not (pair.value[:, N:] == draft.value[:, N:]).all()
    assert torch.equal(pair.valid.sum(1), 2 * text.valid.sum(1) - 1)
    assert ((pair.value == EOS) & pair.valid).sum(1).eq(2).all()
    assert torch.equal(pair.target[:, :N], text.target) and (pair.target[:, N:] == IGNORE).all()
    assert torch.equal(spoken, language) and (language[:, 0] != language[:, N]).all()
    assert {0, 1, 2} == set(language.unique().tolist())
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
