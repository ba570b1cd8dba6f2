"""A named system under the one loop: exact resume, adapters, learned weights, an earlier run to begin with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from train_cases import losses, weights

from chiasm.config import SystemRunConfig, load_config
from chiasm.errors import ConfigError, ModelError
from chiasm.train.distributed import World
from chiasm.train.log import ChanceWarning
from chiasm.train.named import SystemJob, weighted
from chiasm.train.run import train
from chiasm.train.step import StepResult
from chiasm.train.system_model import read_system
from chiasm.types import Losses


def system_config(table: Path, system: str, *overrides: str) -> SystemRunConfig:
    base: dict[str, Any] = {
        "system": system,
        "data": {"table": str(table), "vocabulary": 300},
        "optimizer": {"kind": "adamw"},
        "train": {"batch": 4, "steps": 6, "checkpoint_steps": 3, "threads": 1, "precision": "fp32"},
    }
    return load_config(SystemRunConfig, base=base, overrides=overrides)


def small(*more: str) -> tuple[str, ...]:
    return ("change.width=16", "change.heads=2", "change.layers=1", "change.hidden=32", *more)


def job(config: SystemRunConfig, folder: Path) -> SystemJob:
    return SystemJob(config, folder, World(), torch.device("cpu"), torch.float32, None, None)


def test_resumed_it_is_the_run_that_nothing_disturbed(things: Path, tmp_path: Path) -> None:
    config = system_config(things, "roberta", *small())
    train(config, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop_after_four(stage: str, done: int, total: int, info: dict[str, object]) -> None:
        if info.get("step") == 4:
            raise Stop

    with pytest.raises(Stop):
        train(config, tmp_path / "cut", progress=stop_after_four)
    assert train(config, tmp_path / "cut", resume=True).steps == 6
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_losses_are_logged_beside_their_chance_and_validated(things: Path, tmp_path: Path) -> None:
    train(system_config(things, "roberta", *small()), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    step = next(line for line in lines if "losses" in line)
    assert set(step["losses"]) == set(step["chance"])
    assert any(line.get("validation") for line in lines)


def test_a_checkpoint_is_read_back_whole(things: Path, tmp_path: Path) -> None:
    train(system_config(things, "roberta", *small()), tmp_path / "run")
    found = read_system(tmp_path / "run")
    assert found.spec.name == "roberta" and found.tokenizer is not None
    model = found.model()
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in found.tensors.items())


def test_a_run_begins_with_another_runs_weights(things: Path, tmp_path: Path) -> None:
    train(system_config(things, "roberta", *small()), tmp_path / "first")
    second = job(system_config(things, "roberta", *small(f"init={tmp_path / 'first'}")), tmp_path / "second")
    first = read_system(tmp_path / "first")
    assert all(torch.equal(second.model.state_dict()[name], tensor) for name, tensor in first.tensors.items())
    with pytest.raises(ModelError, match="no tensor"):
        job(system_config(things, "simclr", f"init={tmp_path / 'first'}"), tmp_path / "third")


def test_adapters_leave_the_trunk_as_it_was(things: Path, tmp_path: Path) -> None:
    config = system_config(things, "roberta", *small("adapters={kind: lora, size: 2}"))
    run = train(config, tmp_path / "run").run
    fresh = job(config, tmp_path / "fresh").model.state_dict()
    for name, tensor in read_system(run).tensors.items():
        moved = not torch.equal(fresh[name], tensor)
        assert moved == ("lora_b" in name or name.startswith("head")) or "lora_a" in name, name
    assert read_system(run).model() is not None


def test_weights_of_the_losses_can_be_learned(things: Path, tmp_path: Path) -> None:
    config = system_config(things, "t5", "change.width=16", "change.heads=2", "change.layers=1", "weights=uncertainty")
    run = train(config, tmp_path / "run").run
    assert any(name.startswith("uncertainty") for name in read_system(run).tensors)
    read_system(run).model()


def test_what_would_be_another_loss_is_refused(things: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="another loss"):
        job(system_config(things, "clip", "train.accumulate=2"), tmp_path / "run")


def test_a_misspelt_dimension_is_named(things: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        job(system_config(things, "roberta", "change.widht=3"), tmp_path / "run")


def test_a_loss_stuck_at_chance_is_told_at_a_step_of_another_task() -> None:
    warning = ChanceWarning()
    for _ in range(25):
        assert warning.check(0.1, StepResult(0.7, {"matched": 0.69}, {"matched": 0.69}, 1.0, 1.0)) is None
    other = StepResult(1.0, {"masked_words": 1.0}, {"masked_words": 8.0}, 1.0, 1.0)
    said = warning.check(0.3, other)
    assert said is not None and "matched" in said and "0.69" in said
    assert warning.check(0.4, other) is None


@pytest.mark.parametrize(
    ("system", "change", "says"),
    [
        ("bert", "heads=3", "multiple of heads"),
        ("vit", "patch=7", "patches of 7"),
        ("simclr", "temperature=0", "greater than 0"),
    ],
)
def test_dimensions_that_do_not_fit_are_refused_before_any_data_is_read(
    system: str, change: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=says):
        job(system_config(tmp_path / "no.lance", system, f"change.{change}"), tmp_path / "run")


def test_a_run_of_the_same_system_takes_over_the_size_and_of_another_what_fits(
    things: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(system_config(things, "roberta", *small()), tmp_path / "first")
    again = job(system_config(things, "roberta", f"init={tmp_path / 'first'}"), tmp_path / "second")
    assert again.size.model_dump()["width"] == 16
    assert "init:" in capsys.readouterr().err
    with pytest.raises(ModelError, match="of another system or size"):
        job(system_config(things, "roberta", "change.width=32", f"init={tmp_path / 'first'}"), tmp_path / "third")


def test_signed_losses_keep_their_weight_where_weights_are_learned(things: Path, tmp_path: Path) -> None:
    model = job(system_config(things, "roberta", *small("weights=uncertainty")), tmp_path / "run").model
    made = Losses({"masked_words": torch.tensor(2.0), "signed": torch.tensor(-3.0)}, weights={"signed": 0.1})
    assert weighted(made, model).item() == pytest.approx(2.0 - 0.3)


def test_a_teacher_begins_where_its_student_is_and_is_never_trained(things: Path, tmp_path: Path) -> None:
    one = job(system_config(things, "albef", "adapters={kind: lora, size: 2}"), tmp_path / "run")
    one.calibrate(torch.device("cpu"))
    teacher = dict(one.model.named_parameters())
    mine = {name: p for name, p in teacher.items() if name.startswith("teacher.module.")}
    assert mine and not any(p.requires_grad for p in mine.values())
    assert all(torch.equal(p, teacher["trunk." + name.removeprefix("teacher.module.")]) for name, p in mine.items())
