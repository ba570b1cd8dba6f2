"""The table that the vision-language systems' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from pair_cases import make_scenes


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("scenes"))
