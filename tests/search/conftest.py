"""The table that every search test starts from."""

from __future__ import annotations

from pathlib import Path

import pytest
from search_cases import records, write_table

from chiasm.dataset.table import Table


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return write_table(tmp_path / "words.lance", records())
