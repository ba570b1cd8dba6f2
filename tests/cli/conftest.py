"""One table and one trained, indexed run, made by the commands and shared by tests that only read them."""

from __future__ import annotations

import pytest
from cli_cases import TINY, Made, make_folder, ok


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("cli")
    here = Made(make_folder(root / "shapes"), root / "shapes.lance", root / "run")
    ok("build", here.folder, here.table, "test=0.25", "validation=0")
    ok("train", here.table, *TINY, "--steps", 4, "--out", here.run)
    ok("index", here.run, here.table)
    return here
