"""Data flows one way: a room imports the frame and the rooms before it, never one after it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "chiasm"

FRAME = ("errors", "types", "sections", "building", "declare", "config")
ROOMS = (
    "modalities", "sources", "dataset", "batches", "nn", "fusion", "heads", "objectives", "state", "systems",
    "train", "evaluate", "search", "api", "cli",
)  # fmt: skip
FREE = ("__init__", "__main__")  # the package's door: imports lazily from any room
HEAVY = ("torch", "numpy", "lance", "lancedb", "pyarrow", "pydantic", "sklearn", "rich", "yaml")
FILES = sorted(SOURCE.rglob("*.py"))


def imports(path: Path, *, with_types: bool = True) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import in the file, wherever it stands; `from a import b` is a.b."""
    package = path.relative_to(SOURCE.parent).with_suffix("").parts
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and not with_types and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            named = [node.module] if node.module else []
            base = [*package[: len(package) - node.level], *named] if node.level else named
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)
        pending.extend(ast.iter_child_nodes(node))


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def allowed(room: str) -> set[str]:
    if room in FREE:
        return {*FRAME, *ROOMS}
    if room in FRAME:
        return set(FRAME)
    return {*FRAME, *ROOMS[: ROOMS.index(room) + 1]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_from_earlier_stages(path: Path) -> None:
    room = room_of(path)
    assert room in {*FREE, *FRAME, *ROOMS}, f"{room} is no stage yet: give it its place in ROOMS"
    wrong = [
        f"{path.name}:{line} imports {module}"
        for line, module in imports(path)
        if module.startswith("chiasm.") and module.split(".")[1] not in allowed(room)
    ]
    assert not wrong


@pytest.mark.parametrize("name", ["media", "image", "audio", "text"])
def test_readers_of_media_need_no_torch(name: str) -> None:
    path = SOURCE / "modalities" / f"{name}.py"
    assert not [module for _, module in imports(path, with_types=False) if module.split(".")[0] == "torch"]


def test_the_rule_sees_a_wrong_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "chiasm"
    (source / "nn").mkdir(parents=True)
    file = source / "nn" / "bad.py"
    file.write_text("def f():\n from ..train import run\n import chiasm.cli.main\n from chiasm import search\n")
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", source)
    found = {module for _, module in imports(file)}
    assert found == {"chiasm.train.run", "chiasm.cli.main", "chiasm.search"}
    assert not {module.split(".")[1] for module in found} & allowed("nn")


@pytest.mark.parametrize("statement", ["import chiasm", "import chiasm.cli.main"])
def test_the_door_is_light(statement: str) -> None:
    code = f"import sys; {statement}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
