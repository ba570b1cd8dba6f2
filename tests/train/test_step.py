"""One update: chunks, processes and the guard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from train_cases import COLOURS, SIZES, losses, picture, run_config, sound, weights

from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.errors import ConfigError, NonFiniteError
from chiasm.objectives.contrastive import Contrastive
from chiasm.systems.chiasm import Chiasm, make_chiasm
from chiasm.train.data import TrainingData, prepare
from chiasm.train.distributed import World
from chiasm.train.model import load
from chiasm.train.optimizer import Optimizer
from chiasm.train.run import train, train_as
from chiasm.train.step import train_step
from chiasm.train.validate import recall_at_1
from chiasm.types import Batch, Text


def set_up(things: Path, folder: Path, *overrides: str) -> tuple[Chiasm, TrainingData, Optimizer]:
    config = run_config(things, *overrides)
    data = prepare(config, folder, World(), None, None)
    torch.manual_seed(0)
    model = make_chiasm(config.model, config.objective, data.modalities, data.tokenizer.size)
    return model, data, Optimizer(model, config.optimizer)


@pytest.mark.parametrize("trunk", ["multiway", "separate"])
def test_chunks_give_the_gradient_of_the_whole_batch(things: Path, tmp_path: Path, trunk: str) -> None:
    gradients = []
    for parts in (1, 2, 4):
        model, data, optimizer = set_up(things, tmp_path, f"model.trunk={trunk}")
        chunks = [data.train.make(0, part, parts) for part in range(parts)]
        train_step(model, Contrastive(), optimizer, chunks, torch.float32, World(), 1e9, 0)
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    for other in gradients[1:]:
        assert other.keys() == gradients[0].keys()
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(other[name], gradient, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("objective", ["info_nce", "sigmoid"])
@pytest.mark.slow
def test_two_processes_train_what_one_does(things: Path, tmp_path: Path, objective: str) -> None:
    """The same batches, the same global loss; sums in another order, so equal to rounding and not bitwise."""
    common = (f"objective.contrastive={objective}", "train.steps=4", "optimizer.learning_rate=0.0005")
    one = train(run_config(things, *common), tmp_path / "one").losses
    two = train(run_config(things, *common, "train.processes=2"), tmp_path / "two").losses
    assert two == pytest.approx(one, rel=5e-4)  # sums in another order, four steps long


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_value_that_is_not_finite_stops_before_the_update(things: Path, tmp_path: Path, where: str) -> None:
    model, data, optimizer = set_up(things, tmp_path)
    with torch.no_grad():
        if where == "loss":
            model.log_scale.fill_(torch.nan)
    if where == "gradient":
        model.log_scale.register_hook(lambda gradient: gradient * torch.inf)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = data.train.make(0)
    with pytest.raises(NonFiniteError, match=r"step 7.*" + where + r".*" + batch.ids[0]):
        train_step(model, Contrastive(), optimizer, [batch], torch.float32, World(), 1.0, 7)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) or name == "log_scale"


def test_it_learns(things: Path, tmp_path: Path) -> None:
    """200 steps take the loss far below chance, with AdamW and with Muon."""
    for kind in ("adamw", "muon"):
        config = run_config(
            things, "train.steps=200", "train.checkpoint_steps=null", f"optimizer.kind={kind}", "model.image.drop=0.0",
            "model.image.augment=0.0", "model.audio.augment=0.0",
        )  # fmt: skip
        found = train(config, tmp_path / kind).losses
        assert sum(found[-10:]) < 0.6 * sum(found[:10]), kind


def test_a_run_ends_in_time_and_says_so(things: Path, tmp_path: Path) -> None:
    result = train(run_config(things, "train.steps=null", "train.minutes=0.02"), tmp_path / "timed")
    assert result.steps > 1
    assert 1.2 <= result.seconds < 10
    assert len(losses(tmp_path / "timed")) == result.steps
    assert weights(tmp_path / "timed")


def test_a_batch_that_does_not_divide_among_processes_is_refused(things: Path, tmp_path: Path) -> None:
    """torchrun may bring any number of processes; records must not be lost to rounding."""
    with pytest.raises(ConfigError, match="does not divide"):
        train_as(World(rank=0, size=3), run_config(things), tmp_path, None)


def test_remembered_embeddings_equal_fresh_ones(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembering = load(finished, remember=True)
    texts = [Text("a small red block"), Text("a large blue block"), Text("a small red block")]
    expected = load(finished).embed_items("text", texts)
    assert abs(remembering.embed_items("text", texts) - expected).max() < 1e-6
    monkeypatch.setattr(remembering.model, "embed", None)  # any further computation fails
    assert abs(remembering.embed_items("text", texts[::-1]) - expected[::-1]).max() < 1e-6


def test_a_modality_without_a_pair_in_the_batch_gets_no_gradient_and_does_no_harm(things: Path, tmp_path: Path) -> None:
    model, data, optimizer = set_up(things, tmp_path)
    batch = data.train.make(0)
    alone = replace(batch.items["audio"], owner=torch.zeros_like(batch.items["audio"].owner))
    lone = Batch(
        batch.ids, batch.identity, {"text": batch.items["text"], "image": batch.items["image"], "audio": alone}
    )
    # Sounds that belong to no record of the batch's texts and pictures: another identity altogether.
    identity = torch.cat([batch.identity, batch.identity.new_tensor([10**6])])
    lone = Batch(
        batch.ids, identity, {**lone.items, "audio": replace(alone, owner=torch.full_like(alone.owner, len(batch.ids)))}
    )
    result = train_step(model, Contrastive(), optimizer, [lone], torch.float32, World(), 1.0, 0)
    assert list(result.losses) == ["text-image"]


def test_records_of_one_modality_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "mixed"
    source.mkdir()
    for c, colour in enumerate(COLOURS):
        for size in SIZES:
            (source / f"{size}-{colour}.png").write_bytes(picture(colour, size))
            if c < 2:
                (source / f"{size}-{colour}.txt").write_text(f"a {size} {colour} block", encoding="utf8")
        (source / f"tone-{colour}.flac").write_bytes(sound(colour, "small"))
    table = build(str(source), tmp_path / "mixed.lance", BuildConfig(validation=0.1, test=0.1, workers=1)).path
    result = train(run_config(table), tmp_path / "run")
    assert result.steps == 12
    assert "have one modality or none" in capsys.readouterr().err


def test_the_curve_of_a_collapsed_model_is_chance() -> None:
    same = torch.ones(10, 4)
    index = torch.arange(10)
    assert recall_at_1(same, same, index, index, block=3) == {"r1": pytest.approx(0.1), "n": 10}
    assert recall_at_1(torch.eye(10), torch.eye(10), index, index + 5)["r1"] == 0.0
    assert recall_at_1(torch.eye(10), torch.eye(10), index, index)["r1"] == 1.0
