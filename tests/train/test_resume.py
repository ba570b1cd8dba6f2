"""Killed at any step, resumed: the same losses and the same weights, bit for bit."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from train_cases import go_on, losses, run_config, weights

from chiasm.config import dump_config
from chiasm.errors import CheckpointError
from chiasm.train.run import train


def start(config: Path, out: Path, resume: bool) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "chiasm",
        "train",
        str(config),
        "--out",
        str(out),
        *(["--resume"] if resume else []),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def steps_done(out: Path) -> int:
    log = out / "log.jsonl"
    return log.read_text(encoding="utf8").count('"loss"') if log.exists() else 0


def wait_for(out: Path, step: int, alive: Callable[[], bool]) -> None:
    """Until `step` steps are logged, or the process has ended."""
    deadline = time.monotonic() + 120
    while alive() and steps_done(out) < step:
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.slow
def test_killed_at_20_random_steps(things: Path, tmp_path: Path, forkserver: ForkServerContext) -> None:
    """T01, T03, T05: one run killed 20 times, over several epochs, against one that nothing disturbed."""
    config = run_config(things, "train.steps=200", "train.checkpoint_steps=7", "train.validate_every=0.5")
    train(config, tmp_path / "whole")
    file = tmp_path / "run.yaml"
    file.write_text(dump_config(config), encoding="utf8")
    kills = sorted(random.Random(0).sample(range(1, 181), 20))
    for number, step in enumerate(kills):
        run = forkserver.Process(target=go_on, args=(file, tmp_path / "killed", bool(number)))
        run.start()
        wait_for(tmp_path / "killed", step, run.is_alive)
        run.kill()
        run.join()
        assert run.exitcode == -signal.SIGKILL
    process = start(file, tmp_path / "killed", True)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


@pytest.mark.slow
def test_sigterm_saves_and_says_how_to_go_on(things: Path, tmp_path: Path, finished: Path) -> None:
    """T06."""
    file = tmp_path / "run.yaml"
    file.write_text(dump_config(run_config(things, "train.steps=2000", "train.checkpoint_steps=null")), encoding="utf8")
    process = start(file, tmp_path / "run", False)
    wait_for(tmp_path / "run", 5, lambda: process.poll() is None)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 5, said
    assert "--resume" in said
    assert "Traceback" not in said
    assert list((tmp_path / "run" / "checkpoints").glob("step-*"))


def test_a_batch_does_not_depend_on_the_number_of_parts(things: Path, tmp_path: Path) -> None:
    """T04: every part draws its slice of the same numbers."""
    from chiasm.train.data import prepare
    from chiasm.train.distributed import World

    maker = prepare(run_config(things), tmp_path, World(), None, None).train
    for step in (0, 3, 11):
        whole = maker.make(step)
        halves = [maker.make(step, part, 2) for part in range(2)]
        assert whole.ids == halves[0].ids + halves[1].ids
        for m, items in whole.items.items():
            assert len(items.value) == sum(len(half.items[m].value) for half in halves)
            for index, (one, owner) in enumerate(zip(items.value, items.owner.tolist(), strict=True)):
                half = halves[owner // 4].items[m]
                row = (half.owner == owner % 4).nonzero()[0, 0]
                n = half.value.shape[1]
                assert (one[:n] == half.value[row]).all()
                if items.keep is not None and half.keep is not None:
                    assert (items.keep[index] == half.keep[row]).all()


def test_a_second_trainer_is_refused(things: Path, tmp_path: Path) -> None:
    """T16: while one holds the folder; a lock left by a dead process does not count."""
    import fcntl

    out = tmp_path / "run"
    out.mkdir()
    with (out / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(CheckpointError, match="another process"):
            train(run_config(things), out)
    train(run_config(things, "train.steps=1"), out)


def test_word_dropout_keeps_both_ends_and_is_only_for_training(things: Path, tmp_path: Path) -> None:
    from chiasm.train.data import prepare
    from chiasm.train.distributed import World

    maker = prepare(run_config(things, "model.text.drop=0.5"), tmp_path, World(), None, None).train
    whole = maker.plain(range(8)).items["text"]
    assert whole.valid[:, 0].all()
    kept = [maker.make(step).items["text"] for step in range(30)]
    for items in kept:
        lengths = (items.value != 0).sum(1)
        assert items.valid[:, 0].all()
        assert items.valid[range(len(lengths)), lengths - 1].all()
    inner = [
        (items.valid[:, 1:].sum() - len(items.valid), (items.value[:, 1:] != 0).sum() - len(items.valid))
        for items in kept
    ]
    share = float(sum(a for a, _ in inner)) / float(sum(b for _, b in inner))
    assert 0.4 < share < 0.6
