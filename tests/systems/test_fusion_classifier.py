"""The fusion classifiers: one switch, the balance of modalities, the adversary, on a small table of drawn scenes."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chiasm.config import SystemRunConfig, load_config
from chiasm.errors import ConfigError
from chiasm.fusion.make import KINDS
from chiasm.objectives.adversarial import reversal_strength
from chiasm.systems.early_late import EARLY_FUSION, LATE_FUSION
from chiasm.systems.fusion_classifier import FusionClassifier
from chiasm.train.distributed import World
from chiasm.train.named import SystemJob, weighted
from chiasm.train.optimizer import Optimizer
from chiasm.types import Batch

SMALL = {"width": 32, "heads": 2, "side": 24, "patch": 8}


def make(table: Path, folder: Path, change: dict[str, Any], system: str = "early_fusion", **data: Any) -> Any:
    base = {
        "system": system,
        "change": {**SMALL, **change},
        "data": {"table": str(table), "vocabulary": 300, **data},
        "train": {"batch": 16, "steps": 40, "precision": "fp32"},
    }
    config = load_config(SystemRunConfig, base=base)
    job = SystemJob(config, folder, World(), torch.device("cpu"), torch.float32, None, None)
    job.calibrate(torch.device("cpu"))
    return job


def blind(batch: Batch) -> Batch:
    picture = batch.items["image"]
    return replace(batch, items={**batch.items, "image": replace(picture, valid=torch.zeros_like(picture.valid))})


@pytest.mark.parametrize("kind", KINDS)
def test_every_fusion_learns_a_batch(kind: str, scenes: Path, tmp_path: Path) -> None:
    job = make(scenes, tmp_path, {"fusion": kind})
    model: FusionClassifier = job.model
    batch = job.make(0, 0, 1)
    assert model.predict(batch, torch.float32)["answer"].shape == (16, len(job.facts.answers))
    assert torch.isfinite(model.predict(blind(batch), torch.float32)["answer"]).all()
    optimizer = Optimizer(model, job.config.optimizer)
    optimizer.set_progress(0.5)
    first, chance = 0.0, 0.0
    for step in range(30):
        result = job.update(optimizer, [batch], step, step / 30)
        first, chance = first or result.losses["answer"], result.chance["answer"]
    assert chance == pytest.approx(math.log(len(job.facts.answers)))
    assert first > 0.5 * chance
    assert model.losses(batch, torch.float32).losses["answer"].item() < 0.5 * first
    if kind == "progressive":
        assert int(model.fusion.stage) == 2


def test_the_switch_is_in_both_systems(scenes: Path, tmp_path: Path) -> None:
    assert (EARLY_FUSION.tiny.fusion, LATE_FUSION.tiny.fusion) == ("early", "late_concat")
    a = make(scenes, tmp_path, {"fusion": "bottleneck"}, "early_fusion").model
    b = make(scenes, tmp_path, {"fusion": "bottleneck"}, "late_fusion").model
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    with pytest.raises(ConfigError, match="fusion"):
        make(scenes, tmp_path, {"fusion": "lately"})


def test_the_same_encoders_whatever_the_fusion(scenes: Path, tmp_path: Path) -> None:
    a, b = (make(scenes, tmp_path, {"fusion": kind}).model for kind in ("early", "co_attention"))
    names = {name for name in a.state_dict() if name.startswith(("embed", "trunk"))}
    assert names == {name for name in b.state_dict() if name.startswith(("embed", "trunk"))}
    assert names and all(torch.equal(a.state_dict()[name], b.state_dict()[name]) for name in names)


def test_classes_instead_of_answers(scenes: Path, tmp_path: Path, labelled: Path) -> None:
    job = make(labelled, tmp_path, {"task": "class"}, label="first")
    batch = job.make(0, 0, 1)
    assert job.model.predict(batch, torch.float32)["answer"].shape == (16, len(job.facts.classes))
    names = [job.corpora.train.records[row].labels[0].value for row in batch.identity.tolist()]
    assert [job.facts.classes[k] for k in batch.labels["answer"].tolist()] == names
    with pytest.raises(ConfigError, match="0 kinds of class"):
        EARLY_FUSION.make(EARLY_FUSION.tiny.model_copy(update={"task": "class"}), make(scenes, tmp_path, {}).facts)


@pytest.mark.parametrize("kind", ["late_concat", "late_sum"])
def test_ogm_ge_scales_the_leader_s_gradients(kind: str, scenes: Path, tmp_path: Path) -> None:
    job = make(scenes, tmp_path, {"fusion": kind, "balance": "ogm_ge", "alpha": 0.7})
    model, batch = job.model, job.make(0, 0, 1)
    made = model.losses(batch, torch.float32)
    assert set(made.keys) == {"text", "image"}
    weighted(made, model).backward()
    before = {name: p.grad.clone() for name, p in model.named_parameters()}

    # By hand, from what the head says of each modality while the other is absent.
    other = {"text": "image", "image": "text"}
    scores: dict[str, float] = {}
    for name in other:
        hidden = replace(batch.items[other[name]], valid=torch.zeros_like(batch.items[other[name]].valid))
        alone = replace(batch, items={**batch.items, other[name]: hidden})
        said = model.predict(alone, torch.float32)["answer"].softmax(-1)
        scores[name] = said.gather(1, batch.labels["answer"][:, None]).sum().item()
        assert made.keys[name].sum().item() == pytest.approx(scores[name], rel=1e-5)
    leader = max(scores, key=lambda name: scores[name])
    kept = {leader: 1 - math.tanh(0.7 * scores[leader] / scores[other[leader]]), other[leader]: 1.0}

    model.modulate(made, 5, 9)
    noise = np.random.default_rng((5, 9, zlib.crc32(b"ogm_ge")))
    changed: set[str] = set()
    for name in ("text", "image"):
        for stack in ("embed", "trunk", "fusion.streams"):
            for inner, p in model.get_submodule(f"{stack}.{name}").named_parameters():
                full = f"{stack}.{name}.{inner}"
                drawn = torch.from_numpy(noise.standard_normal(p.shape, dtype=np.float32))
                expected = kept[name] * before[full] + drawn * before[full].std(correction=0)
                torch.testing.assert_close(p.grad, expected, atol=1e-6, rtol=1e-4)
                changed.add(full)
    rest = {name: p for name, p in model.named_parameters() if name not in changed}
    assert rest and all(torch.equal(p.grad, before[name]) for name, p in rest.items())
    assert all(name.startswith("head") for name in rest)


def test_balance_is_for_late_fusions(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="use a late fusion, not early"):
        make(scenes, tmp_path, {"fusion": "early", "balance": "ogm_ge"})
    plain = make(scenes, tmp_path, {"fusion": "late_sum"})
    made = plain.model.losses(plain.make(0, 0, 1), torch.float32)
    weighted(made, plain.model).backward()
    before = [p.grad.clone() for p in plain.model.parameters()]
    plain.model.modulate(made, 0, 0)
    assert not made.keys
    assert all(torch.equal(p.grad, g) for p, g in zip(plain.model.parameters(), before, strict=True))


def test_the_adversary_turns_the_encoders_gradient(scenes: Path, tmp_path: Path) -> None:
    job = make(scenes, tmp_path, {"adversarial": True})
    model, batch = job.model, job.make(0, 0, 1)

    def pull() -> tuple[torch.Tensor, torch.Tensor]:
        model.zero_grad()
        made = model.losses(batch, torch.float32)
        assert made.chance["modality"] == pytest.approx(math.log(2))
        made.losses["modality"].backward()
        return model.trunk["image"].blocks[0].attention.qkv.weight.grad, model.head_modality.out.weight.grad

    encoder, head = pull()
    assert not encoder.any() and head.any()  # the reversal begins at 0
    before = {name: t.clone() for name, t in model.state_dict().items()}
    model.advance(model.losses(batch, torch.float32), 0.3)
    half, _ = pull()
    assert [name for name, t in model.state_dict().items() if not torch.equal(t, before[name])] == ["strength"]
    model.advance(model.losses(batch, torch.float32), 1.0)
    whole, _ = pull()
    torch.testing.assert_close(half / reversal_strength(0.3), whole / reversal_strength(1.0), atol=1e-6, rtol=1e-3)
    assert half.any()


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn scenes with the first square's colour as their label."""
    from pair_cases import Scenes

    from chiasm.config import BuildConfig
    from chiasm.dataset.build import build
    from chiasm.types import Label

    class Labelled(Scenes):
        def records(self):  # type: ignore[no-untyped-def]
            for record in super().records():
                yield replace(record, labels=(Label("first", record.boxes[0].label),))

    folder = tmp_path_factory.mktemp("labelled")
    return build(Labelled(), folder / "scenes.lance", BuildConfig(validation=0.2, test=0.05, workers=1)).path
