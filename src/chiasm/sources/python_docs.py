"""`python-docs`: functions of the installed Python's standard library, each with the first line of its docstring.

Text to text: what code does, in words. The files are parsed and never imported or run.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal

from chiasm.config import BuildConfig
from chiasm.errors import MachineError
from chiasm.sources.source import Progress
from chiasm.types import Label, Record, Rejected, Text

CODE = 200
"""Characters of code kept, cut at the end of a line: the signature and the first lines."""
SUMMARY = (12, 160)
"""Characters of a summary: from, to."""
LIMIT = 2**20
"""Bytes of a file that is parsed; the library's largest has a fifth of it."""

LEFT_OUT = frozenset(
    {"site-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__", "ensurepip", "pydoc_data", "turtledemo"}
)
"""Folders that hold other packages, tests and data."""


class DocsSource:
    """texts: the code (kind "code", without its docstring) and the summary (kind "summary", English). labels: module. group: the top-level
    module or package, so that none is in two splits. What there is depends on the Python that builds: some 4,000 functions in 3.11.
    """

    name = "python-docs"
    root = None
    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset[str]()
    found = ""
    attribution = f"Python {sys.version_info.major}.{sys.version_info.minor} standard library, © Python Software Foundation, PSF Licence."

    def __init__(self, config: BuildConfig) -> None:
        folder = Path(sysconfig.get_path("stdlib"))
        if not (folder / "ast.py").is_file():
            raise MachineError(f"{folder}: this Python comes without the source of its standard library")
        self._folder = folder

    @cached_property
    def _found(self) -> list[Record]:
        seen: set[tuple[str, str]] = set()
        records: list[Record] = []
        for path in _files(self._folder):
            module = ".".join(path.relative_to(self._folder).with_suffix("").parts)
            for name, code, summary in functions(path):
                if (code, summary) in seen:
                    continue
                seen.add((code, summary))
                records.append(
                    Record(
                        id=f"{module}.{name}:{len(records)}",
                        texts=(Text(code, "python", "code"), Text(summary, "en", "summary")),
                        labels=(Label("module", module),),
                        group=module.partition(".")[0],
                        source=self.name,
                        licence="PSF-2.0",
                    )
                )
        return records

    @property
    def total(self) -> int:
        return len(self._found)

    def prepare(self, progress: Progress | None = None) -> None:
        """Parse the library."""
        if progress is not None:
            progress("parse", len(self._found), None)

    def records(self) -> Iterator[Record | Rejected]:
        yield from self._found


def functions(path: Path) -> Iterator[tuple[str, str, str]]:
    """(name, code, summary) of each function and method in a file that has a docstring worth learning from.

    A file that is too large, not UTF-8 or of another Python's syntax gives nothing.
    """
    try:
        data = path.read_bytes() if path.stat().st_size <= LIMIT else b""
        text = data.decode("utf8")
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = text.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (doc := ast.get_docstring(node)) is not None:
            summary, code = _summary(doc), _code(node, lines)
            if code is not None and SUMMARY[0] <= len(summary) <= SUMMARY[1] and " " in summary:
                yield node.name, code, summary


def _summary(doc: str) -> str:
    """The first paragraph's first sentence or line, as PEP 257 wants it."""
    first = doc.strip().partition("\n\n")[0]
    whole = " ".join(first.split())
    return whole if len(whole) <= SUMMARY[1] else " ".join(first.partition("\n")[0].split())


def _code(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str | None:
    """The function from `def` on, without its docstring and outer indent; None where nothing but the docstring is in it."""
    if len(node.body) < 2:
        return None
    doc = node.body[0]
    head = lines[node.lineno - 1 : doc.lineno - 1]
    body = lines[(doc.end_lineno or doc.lineno) : node.end_lineno]
    kept: list[str] = []
    for line in (*head, *body):
        line = line.rstrip()[node.col_offset :]
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if sum(len(part) + 1 for part in kept) + len(line) > CODE:
            break
        kept.append(line)
    return "\n".join(kept) if len(kept) > len(head) else None


def _files(folder: Path) -> Iterator[Path]:
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith(("config-", ".")))
        for name in sorted(names):
            if name.endswith(".py"):
                yield Path(base) / name
