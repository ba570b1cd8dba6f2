"""Checkpoints: whole or absent, verified, and never a way to run code."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from train_cases import losses, run_config, weights

from chiasm.errors import CheckpointError, ConfigError, MachineError, ModelError
from chiasm.train import checkpoint
from chiasm.train.model import load
from chiasm.train.run import train


def save(folder: Path, step: int, value: float, keep: int = 2) -> Path:
    tensors = {"weight": torch.full((64, 8), value), "bias": torch.zeros(3)}
    return checkpoint.save(
        folder, step, tensors, {"weight/exp_avg": torch.ones(5)}, {"seconds": 1.0}, {"a.txt": "a"}, keep
    )


def value(folder: Path) -> float:
    found, _ = checkpoint.load_newest(folder)
    assert found is not None
    return float(found.model["weight"][0, 0])


def test_keeps_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step, step)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["step-00000002", "step-00000003"]
    assert value(tmp_path) == 3


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, nothing is cleaned up."""


@pytest.mark.parametrize(
    "function", ["chiasm.train.checkpoint._sync", "os.replace", "safetensors.torch.save_file", "shutil.rmtree"]
)
def test_killed_at_any_write_of_a_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    """T02: the old or the new one loads, at whichever call the process dies."""
    module, name = function.rsplit(".", 1)
    original = getattr(__import__(module, fromlist=[name]), name)
    for fatal in range(12):
        folder = tmp_path / str(fatal)
        save(folder, 1, 1.0, keep=1)
        calls = 0

        def dying(*args: object, fatal: int = fatal, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if calls == fatal + 1:
                raise Killed
            return original(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(function, dying)
            try:
                save(folder, 2, 2.0, keep=1)
                survived = True
            except Killed:
                survived = False
        assert value(folder) in ((2.0,) if survived else (1.0, 2.0))
        save(folder, 2, 2.0, keep=1)  # the same step again, as a resumed run would
        assert value(folder) == 2.0
        save(folder, 3, 3.0, keep=1)
        assert value(folder) == 3.0


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("model.safetensors", "'weight'"),
        ("optimizer.safetensors", "'weight/exp_avg'"),
        ("a.txt", "a.txt"),
        ("state.json", "state.json"),
    ],
)
def test_a_flipped_bit_is_named_and_the_previous_one_stands_in(tmp_path: Path, name: str, named: str) -> None:
    """T10, for every file of a checkpoint."""
    save(tmp_path, 1, 1.0)
    path = save(tmp_path, 2, 2.0) / name
    data = bytearray(path.read_bytes())
    data[-min(5, len(data))] ^= 0x01
    path.write_bytes(data)
    found, problems = checkpoint.load_newest(tmp_path)
    assert found is not None
    assert found.step == 1
    assert named in problems[0]
    assert "step-00000002" in problems[0]


def test_what_was_just_saved_is_never_deleted_for_a_damaged_later_one(tmp_path: Path) -> None:
    save(tmp_path, 400, 4.0)
    (tmp_path / "step-00000400" / "model.safetensors").write_bytes(b"")
    save(tmp_path, 395, 3.95, keep=1)
    assert value(tmp_path) == pytest.approx(3.95)
    found, _ = checkpoint.load_newest(tmp_path)
    (tmp_path / ".step-00000007.tmp").mkdir()
    checkpoint.tidy(tmp_path, found)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["damaged-step-00000400", "step-00000395"]


def test_truncated_at_any_length_is_refused(tmp_path: Path) -> None:
    """T11, T13: cut in header or body, or a header that lies about its size."""
    path = save(tmp_path, 1, 1.0) / "model.safetensors"
    data = path.read_bytes()
    for part in range(64):
        path.write_bytes(data[: len(data) * part // 64])
        with pytest.raises(CheckpointError):
            checkpoint.load(path.parent)
    for header in (b"\xff" * 8, (10**12).to_bytes(8, "little"), b"\0" * 8):
        path.write_bytes(header + data[8:])
        with pytest.raises(CheckpointError):
            checkpoint.load(path.parent)


def test_a_pickle_in_place_of_weights_is_refused_and_not_run(tmp_path: Path) -> None:
    """T12."""
    path = save(tmp_path, 1, 1.0) / "model.safetensors"
    canary = tmp_path / "canary"
    path.write_bytes(b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.")
    with pytest.raises(CheckpointError):
        checkpoint.load(path.parent)
    assert not canary.exists()


def test_a_later_format_is_refused_even_where_an_older_one_is_whole(tmp_path: Path) -> None:
    """T15."""
    save(tmp_path, 1, 1.0)
    path = save(tmp_path, 2, 2.0) / "state.json"
    state = json.loads(path.read_text())["state"]
    path.write_text(checkpoint._seal({**state, "format": 99}))
    with pytest.raises(CheckpointError, match="later chiasm"):
        checkpoint.load_newest(tmp_path)


def test_disk_full_leaves_the_previous_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T07."""
    save(tmp_path, 1, 1.0)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(MachineError, match="disk is full"):
        save(tmp_path, 2, 2.0)
    assert value(tmp_path) == 1.0
    assert not list(tmp_path.glob(".*"))


def test_what_was_trained_is_what_loads(finished: Path) -> None:
    model = load(finished)
    assert model.modalities == ("text", "image", "audio")
    vectors = model.embed(text=["a small red block", "a large blue block"])
    assert vectors.shape == (2, 8)
    assert abs((vectors**2).sum(1) - 1).max() < 1e-5
    assert load(finished).identity == model.identity
    assert (load(finished).embed(text=["a small red block", "a large blue block"]) == vectors).all()


def test_wrong_folders_say_what_is_wrong(finished: Path, tmp_path: Path, things: Path) -> None:
    with pytest.raises(ModelError, match="no such run"):
        load(tmp_path / "nothing")
    with pytest.raises(ModelError, match="no checkpoint"):
        load(tmp_path)
    with pytest.raises(ModelError, match="nothing to resume"):
        train(run_config(things), tmp_path / "new", resume=True)
    with pytest.raises(ConfigError, match="--resume"):
        train(run_config(things), finished)


def test_resuming_a_finished_run_changes_nothing(finished: Path, things: Path) -> None:
    before = weights(finished), losses(finished)
    result = train(run_config(things), finished, resume=True)
    assert result.steps == 12
    assert (weights(finished), losses(finished)) == before


def test_a_damaged_newest_is_passed_over_and_the_run_ends_the_same(
    finished: Path, things: Path, tmp_path: Path
) -> None:
    train(run_config(things, "train.keep=4"), tmp_path / "run")
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    (newest / "model.safetensors").write_bytes(b"")
    train(run_config(things), tmp_path / "run", resume=True)
    assert weights(tmp_path / "run") == weights(finished)
    shutil.rmtree(tmp_path / "run")
