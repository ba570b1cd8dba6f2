"""ALBEF's state: what a forward pass leaves alone, what an update moves, and the losses against the paper's equations."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pair_cases import make_job

from chiasm.systems.albef import Albef
from chiasm.systems.aligned import with_mismatches
from chiasm.train.named import SystemJob
from chiasm.train.optimizer import Optimizer
from chiasm.types import IGNORE, Batch, Features


@pytest.fixture
def job(scenes: Path, tmp_path: Path) -> SystemJob:
    return make_job("albef", scenes, tmp_path)


def run(job: SystemJob, steps: int, validated_after: int | None = None) -> list[dict[str, float]]:
    optimizer = Optimizer(job.model, job.config.optimizer)
    seen: list[dict[str, float]] = []
    for step in range(steps):
        optimizer.set_progress(0.5)
        seen.append(dict(job.update(optimizer, [job.make(step, 0, 1)], step, step / steps).losses))
        if step == validated_after:
            before = {name: tensor.clone() for name, tensor in job.model.state_dict().items()}
            assert job.validate() is not None
            assert all(torch.equal(before[name], tensor) for name, tensor in job.model.state_dict().items())
    return seen


def test_an_evaluation_pass_between_two_updates_changes_nothing(scenes: Path, tmp_path: Path) -> None:
    plain = run(make_job("albef", scenes, tmp_path / "a"), 4)
    watched = run(make_job("albef", scenes, tmp_path / "b"), 4, validated_after=1)
    assert plain == watched, "bitwise"


def test_each_is_embedded_alone_as_beside_the_other(job: SystemJob) -> None:
    model, batch = job.model.eval(), job.make(0, 0, 1)
    with torch.no_grad():
        both = model.predict(batch, torch.float32)
        for name in ("image", "text"):
            alone = model.predict(replace(batch, items={name: batch.items[name]}), torch.float32)
            assert alone.keys() == {name}
            torch.testing.assert_close(alone[name], both[name])
    assert both.keys() == {"image", "text", "matched"}


def test_an_update_moves_teacher_queues_and_alpha(job: SystemJob) -> None:
    model = job.model
    assert isinstance(model, Albef)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batch = job.make(0, 0, 1)
    made = model.losses(batch, torch.float32)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    with torch.no_grad():
        model.trunk.head_image.weight.add_(1.0)
    model.advance(made, 1 / 60)
    taught, first = model.teacher.module.head_image.weight, before["teacher.module.head_image.weight"]
    torch.testing.assert_close(taught, 0.995 * first + 0.005 * model.trunk.head_image.weight)
    assert torch.equal(model.images.keys[:16], made.keys["image"]) and torch.equal(
        model.texts.keys[:16], made.keys["text"]
    )
    assert torch.equal(model.images.keys[16:], before["images.keys"][16:])
    torch.testing.assert_close(float(model.alpha), 0.2)
    model.advance(made, 0.5)
    torch.testing.assert_close(float(model.alpha), 0.4)


@torch.no_grad()
def test_contrast_and_words_are_the_papers(job: SystemJob) -> None:
    model = job.model
    assert isinstance(model, Albef)
    model.alpha.fill_(0.4)
    batch = job.make(0, 0, 1)
    for p in model.teacher.module.parameters():  # another teacher than the student
        p.mul_(1.1)
    items, target = batch.items["text"], batch.items["text"].target
    assert target is not None
    plain = replace(items, value=torch.where(target == IGNORE, items.value, target))
    a, b = model.trunk.see(batch.items["image"], torch.float32)[1], model.trunk.read(plain, torch.float32)[1]
    ka, kb = (
        model.teacher.module.see(batch.items["image"], torch.float32)[1],
        model.teacher.module.read(plain, torch.float32)[1],
    )
    wanted = 0.0
    for mine, taught, keys in ((a, ka, torch.cat([kb, model.texts.keys])), (b, kb, torch.cat([ka, model.images.keys]))):
        soft = 0.4 * (taught @ keys.T / 0.07).softmax(1)
        soft[range(16), range(16)] += 0.6
        wanted += float(-(soft * (mine @ keys.T / 0.07).log_softmax(1)).sum(1).mean()) / 2
    made = model.losses(batch, torch.float32)
    assert float(made.losses["contrastive"]) == pytest.approx(wanted, rel=1e-5)
    assert made.chance["contrastive"] == pytest.approx(math.log(16 + 24))
    image, seen = (
        model.trunk.see(batch.items["image"], torch.float32)[0],
        model.teacher.module.see(batch.items["image"], torch.float32)[0],
    )
    words, words_target = model.trunk.fill_in(image, items, torch.float32)
    soft = model.teacher.module.fill_in(seen, items, torch.float32)[0].softmax(-1)
    hard = F.cross_entropy(words, words_target)
    wanted = 0.6 * hard - 0.4 * (soft * words.log_softmax(-1)).sum(-1).mean()
    torch.testing.assert_close(made.losses["masked_words"], wanted)


def test_matching_is_against_what_reads_otherwise() -> None:
    torch.manual_seed(0)
    words = torch.tensor([[1, 2], [1, 3], [1, 2], [1, 4]])  # the third text reads like the first
    image, text = (Features(torch.randn(4, 2, 8), torch.ones(4, 2, dtype=torch.bool), ((name, 0, 2),)) for name in "ab")
    for seed in range(20):
        u = torch.rand(4, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        images, texts, matched = with_mismatches(image, text, torch.zeros(4, 4), words, u)
        assert matched.tolist() == [1] * 4 + [0] * 8
        which_image = [int((image.x == row).all((1, 2)).nonzero()) for row in images.x]
        which_text = [int((text.x == row).all((1, 2)).nonzero()) for row in texts.x]
        assert which_image[:8] == [0, 1, 2, 3] * 2 and which_text[:4] == which_text[8:] == [0, 1, 2, 3]
        assert all(words[i].tolist() != words[t].tolist() for i, t in zip(which_image[4:], which_text[4:], strict=True))


def test_one_pair_alone_has_no_mismatch(job: SystemJob) -> None:
    batch = job.make(0, 0, 16)
    assert isinstance(batch, Batch) and len(batch.ids) == 1
    made = job.model.losses(batch, torch.float32)
    assert all(bool(torch.isfinite(loss)) for loss in made.losses.values())
    assert made.chance["matched"] == 0
