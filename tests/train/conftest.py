"""The table and the reference run that the training tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from train_cases import make_table, run_config

from chiasm.train.run import train


@pytest.fixture(scope="session")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_table(tmp_path_factory.mktemp("things"))


@pytest.fixture(scope="session")
def finished(things: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 steps that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(run_config(things), out)
    return out
