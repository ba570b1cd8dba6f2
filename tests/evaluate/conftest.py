"""Tables for the tests of evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from evaluate_cases import save, shapes

from chiasm.dataset.table import Table


@pytest.fixture(scope="session")
def shapes_table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return save(
        tmp_path_factory.mktemp("tables") / "shapes.lance",
        shapes(),
        name="shapes",
        attribution="Drawn for the tests, CC0",
    )


@pytest.fixture
def make_table(tmp_path: Path) -> Callable[..., Table]:
    """make_table(records, **metadata) → Table."""
    return lambda records, **metadata: save(tmp_path / "made.lance", records, **metadata)
