"""ResNet, ViT, DETR, SimCLR, MoCo, CLIP, SigLIP: published counts, losses that fall, state that moves only when it is told to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from vision_cases import make_job, make_labelled

from chiasm.batches.task import assemble_first, evaluation_batches
from chiasm.objectives.detection import box_iou
from chiasm.systems.catalogue import find
from chiasm.systems.encoders import ViTEncoder
from chiasm.systems.moco import MoCo
from chiasm.train.named import SystemJob, weighted
from chiasm.train.optimizer import Optimizer
from chiasm.types import Batch

CASES: list[tuple[str, dict[str, Any]]] = [
    ("resnet", {}), ("vit", {}), ("detr", {}), ("simclr", {}), ("moco", {"version": 1}), ("moco", {"version": 2}),
    ("moco", {"version": 3}), ("clip", {}), ("siglip", {}),
]  # fmt: skip


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_labelled(tmp_path_factory.mktemp("labelled"))


@pytest.mark.parametrize("name", ["resnet", "vit", "clip", "siglip"])
def test_the_published_size_has_the_public_models_parameters(name: str) -> None:
    published = find(name).published
    with torch.device("meta"):
        model = find(name).make(published.size, published.facts)
    assert sum(p.numel() for p in model.parameters()) == published.parameters


def test_what_the_notes_of_the_others_say_of_their_counts() -> None:
    found: dict[str, int] = {}
    frozen = 0
    for name in ("detr", "simclr", "moco"):
        published = find(name).published
        with torch.device("meta"):
            model = find(name).make(published.size, published.facts)
        of = dict(model.named_parameters())
        found[name] = sum(p.numel() for n, p in of.items() if n.startswith(published.counted or ("",)))
        if name == "detr":
            frozen = sum(p.numel() for n, p in of.items() if n.startswith("embed.") and ".norm." in n)
    assert found["detr"] - frozen == find("detr").published.parameters and frozen == 53_120
    assert found["simclr"] == found["moco"] == 23_508_032


@pytest.mark.parametrize(("name", "change"), CASES)
def test_losses_fall_on_one_batch(name: str, change: dict[str, Any], labelled: Path, tmp_path: Path) -> None:
    """25 steps on a fixed batch (and a fixed queue) bring the sum below three quarters of what it was at first."""
    job = make_job(name, labelled, tmp_path, **change)
    batch = job.make(0, 0, 1)
    job.model.train()
    optimizer = Optimizer(job.model, job.config.optimizer.model_copy(update={"learning_rate": 5e-3}))
    sums: list[float] = []
    for step in range(25):
        optimizer.set_progress(0.2 + step / 50)
        optimizer.clear()
        made = job.model.losses(batch, torch.float32)
        assert set(made.losses) == set(made.chance) and all(math.isfinite(c) for c in made.chance.values())
        assert set(made.weights) <= set(made.losses)
        loss = weighted(made, job.model)
        loss.backward()
        optimizer.step()
        sums.append(loss.item())
    assert sums[-1] < 0.75 * sums[0], sums


@pytest.mark.parametrize(("name", "change"), CASES)
def test_losses_and_predictions_change_no_state(
    name: str, change: dict[str, Any], labelled: Path, tmp_path: Path
) -> None:
    job = make_job(name, labelled, tmp_path, **change)
    job.model.eval()
    before = state(job)
    batch = assemble_first(job.corpora.train, job.tasks[0], 6)
    job.model.losses(batch, torch.float32)
    first, second = (job.model.predict(batch, torch.float32) for _ in range(2))
    assert all(torch.equal(first[key], second[key]) and first[key].dtype == torch.float32 for key in first)
    assert all(torch.equal(before[key], value) for key, value in job.model.state_dict().items())


@pytest.mark.parametrize(("name", "change"), [c for c in CASES if c[0] in ("simclr", "moco")])
def test_an_evaluation_pass_between_two_steps_leaves_the_next_loss_bitwise_the_same(
    name: str, change: dict[str, Any], labelled: Path, tmp_path: Path
) -> None:
    def run(folder: str, evaluate: bool) -> list[float]:
        job = make_job(name, labelled, tmp_path / folder, **change)
        optimizer, found = Optimizer(job.model, job.config.optimizer), []
        for step in range(4):
            optimizer.set_progress(0.5)
            found.append(job.update(optimizer, [job.make(step, 0, 1)], step, step / 4).loss)
            if evaluate:
                before = state(job)
                assert job.validate() is not None
                assert all(torch.equal(before[key], value) for key, value in job.model.state_dict().items())
        return found

    plain, evaluated = run("plain", False), run("evaluated", True)
    assert plain == evaluated and len(set(plain)) == 4


@pytest.mark.parametrize("version", [1, 2])
def test_moco_moves_teacher_and_queue_after_an_update_only(version: int, labelled: Path, tmp_path: Path) -> None:
    job = make_job("moco", labelled, tmp_path, version=version)
    model = job.model
    assert isinstance(model, MoCo)
    model.train()
    old = state(job)
    made = model.losses(job.make(0, 0, 1), torch.float32)
    taught = {key: value for key, value in state(job).items() if key.startswith(("teacher", "queue"))}
    assert all(torch.equal(old[key], value) for key, value in taught.items()), "the forward pass moves neither"
    with torch.no_grad():
        model.head.layers[0].weight.add_(1.0)
    model.advance(made, 0.5)
    torch.testing.assert_close(
        model.get_parameter("teacher_head.module.layers.0.weight"),
        0.99 * old["teacher_head.module.layers.0.weight"] + 0.01 * model.head.layers[0].weight,
    )
    assert torch.equal(model.queue.keys[:16], made.keys["queue"]) and torch.equal(
        model.queue.keys[16:], old["queue.keys"][16:]
    )
    assert not any(p.requires_grad for n, p in model.named_parameters() if n.startswith("teacher"))


def test_moco_v1_is_query_key_and_queue_by_hand(labelled: Path, tmp_path: Path) -> None:
    job = make_job("moco", labelled, tmp_path, version=1)
    model, batch = job.model.eval(), job.make(0, 0, 1)
    assert isinstance(model, MoCo)
    with torch.no_grad():
        q = unit(model.head(model.trunk(batch.items["image"], torch.float32)))
        k = unit(model.teacher_head(model.teacher_trunk(batch.items["image2"], torch.float32)))
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ model.queue.keys.T], 1) / 0.07
        expected = -logits.log_softmax(1)[:, 0].mean()
        made = model.losses(batch, torch.float32)
    torch.testing.assert_close(made.losses["contrast"], expected)
    torch.testing.assert_close(made.chance["contrast"], math.log(41))


def test_moco_v3_freezes_the_patch_projection_and_its_momentum_rises(labelled: Path, tmp_path: Path) -> None:
    job = make_job("moco", labelled, tmp_path, version=3)
    model = job.model
    assert isinstance(model, MoCo) and isinstance(model.trunk, ViTEncoder) and not hasattr(model, "queue")
    before = state(job)
    optimizer = Optimizer(model, job.config.optimizer)
    optimizer.set_progress(0.5)
    job.update(optimizer, [job.make(0, 0, 1)], 0, 0.5)
    after = model.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    front = "trunk.embed.embed."
    assert not moved & {f"{front}projection", f"{front}bias", f"{front}positions"}
    assert {f"{front}class_token", "head_predict.layers.0.weight", "teacher_head.module.layers.0.weight"} <= moved
    name = "head.layers.0.weight"
    share = 0.01 * 0.5 * (1 + math.cos(math.pi * 0.5))
    torch.testing.assert_close(
        after[f"teacher_{name[:4]}.module{name[4:]}"], torch.lerp(before[name], after[name], share)
    )


def test_simclr_reads_two_views_and_is_used_without_its_head(labelled: Path, tmp_path: Path) -> None:
    job = make_job("simclr", labelled, tmp_path)
    batch = job.make(0, 0, 1)
    assert not torch.equal(batch.items["image"].value, batch.items["image2"].value)
    job.model.eval()
    probe = assemble_first(job.corpora.train, job.spec.measure.task(job.size), 4)
    assert set(probe.items) == {"image"} and probe.labels["class"].shape == (4,)
    assert job.model.predict(probe, torch.float32)["features"].shape == (4, 16)


def test_clip_reads_the_last_token_whatever_the_padding(labelled: Path, tmp_path: Path) -> None:
    job = make_job("clip", labelled, tmp_path)
    job.model.eval()
    batch = assemble_first(job.corpora.train, job.tasks[0], 8)
    lengths = batch.items["text"].valid.sum(1)
    assert len(lengths.unique()) > 1
    one = int(lengths.argmin())
    together = job.model.predict(batch, torch.float32)["text"][one]
    alone = job.model.predict(part(batch, one, int(lengths[one])), torch.float32)["text"][0]
    torch.testing.assert_close(together, alone)


def test_siglip_starts_near_ten_nats_and_its_chance_is_that_of_the_best_constant(
    labelled: Path, tmp_path: Path
) -> None:
    job = make_job("siglip", labelled, tmp_path)
    made = job.model.losses(job.make(0, 0, 1), torch.float32)
    assert 5 < made.losses["text_image"].item() < 15
    bias = torch.linspace(-6, 2, 4001, dtype=torch.float64)
    constant = F.softplus(-bias) + 15 * F.softplus(bias)  # 16 records: one partner, 15 others
    assert made.chance["text_image"] == pytest.approx(constant.min().item(), abs=1e-4)


def test_detr_finds_squares_that_it_has_learned(labelled: Path, tmp_path: Path) -> None:
    """After 100 steps it places training squares better than a model of shuffled pictures would."""
    job = make_job("detr", labelled, tmp_path)
    optimizer = Optimizer(job.model, job.config.optimizer)
    for step in range(100):
        optimizer.set_progress(step / 100)
        result = job.update(optimizer, [job.make(step, 0, 1)], step, step / 100)
    assert all(value < result.chance[name] for name, value in result.losses.items()), result
    job.model.eval()
    (batch,) = evaluation_batches(job.corpora.train, job.tasks[0], 64, 64)
    with torch.no_grad():
        made = job.model.predict(batch, torch.float32)
    assert found(batch, made["boxes"], made["objects"]) > 0.2 + found(
        batch, made["boxes"].roll(1, 0), made["objects"].roll(1, 0)
    )
    sides = made["boxes"][..., 2:] - made["boxes"][..., :2]
    assert (sides > 0).all()


def found(batch: Batch, boxes: Tensor, logits: Tensor) -> float:
    """Share of the objects that some query names and covers by half."""
    wanted = batch.items["objects"]
    assert wanted.boxes is not None
    right = (logits.argmax(-1)[:, None] == wanted.value[..., None]) & (box_iou(wanted.boxes, boxes) >= 0.5)
    return float(right.any(-1)[wanted.valid].float().mean())


def part(batch: Batch, row: int, length: int) -> Batch:
    """One record, its text without padding."""
    from dataclasses import replace

    items = {
        role: replace(
            one,
            value=one.value[row : row + 1, :length] if role == "text" else one.value[row : row + 1],
            valid=one.valid[row : row + 1, :length],
            owner=torch.zeros(1, dtype=torch.int64),
        )
        for role, one in batch.items.items()
    }
    return Batch(batch.ids[row : row + 1], torch.zeros(1, dtype=torch.int64), items)


def unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1)


def state(job: SystemJob) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in job.model.state_dict().items()}
