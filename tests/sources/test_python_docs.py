"""Functions and their summaries: parsed, cut, without the docstring in the code."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from chiasm.config import BuildConfig
from chiasm.sources import open_source, python_docs
from chiasm.sources.python_docs import CODE, SUMMARY, functions
from chiasm.types import Record

SAMPLE = (
    '''
raise SystemExit("never run")

class Box:
    async def open(self, key: str = "a",
                   times=1) -> None:
        """Open the box with a key.

        More about it.
        """
        # a comment
        for _ in range(times):

            await self.turn(key)

    def empty(self):
        """Say nothing more than this."""

    def terse(self):
        """Short."""
        return 1

def plain(x): return x

def long():
    """A summary of a function
    over two lines."""
    a = 1
'''
    + "    a = a + 1000000000\n" * 40
)


def test_functions(tmp_path: Path) -> None:
    path = tmp_path / "box.py"
    path.write_text(SAMPLE)
    found = {name: (code, summary) for name, code, summary in functions(path)}
    assert set(found) == {"open", "long"}
    code, summary = found["open"]
    assert summary == "Open the box with a key."
    assert code.splitlines() == [
        'async def open(self, key: str = "a",',
        "               times=1) -> None:",
        "    for _ in range(times):",
        "        await self.turn(key)",
    ]
    code, summary = found["long"]
    assert summary == "A summary of a function over two lines."
    assert len(code) <= CODE
    assert code.startswith("def long():\n    a = 1\n    a = a + ")


@pytest.mark.parametrize("data", [b"def f(:", b"\xff\xfe", b"x = 1\0", b"(" * 5000])
def test_files_that_cannot_be_parsed_give_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.py"
    path.write_bytes(data)
    assert list(functions(path)) == []


def test_files_beyond_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.py"
    path.write_text(SAMPLE)
    monkeypatch.setattr(python_docs, "LIMIT", 100)
    assert list(functions(path)) == []
    assert list(functions(tmp_path / "none.py")) == []


def test_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    every = list(python_docs._files(Path(sysconfig.get_path("stdlib"))))
    monkeypatch.setattr(python_docs, "_files", lambda folder: every[::6])
    source = open_source("python-docs", BuildConfig())
    records = [item for item in source.records() if isinstance(item, Record)]
    assert source.total == len(records) > 300
    assert len({record.id for record in records}) == len(records)
    for record in records:
        code, summary = record.texts
        assert (code.kind, summary.kind, summary.language) == ("code", "summary", "en")
        assert code.text.startswith(("def ", "async def ")) or code.text.startswith("@")
        assert len(code.text) <= CODE
        assert SUMMARY[0] <= len(summary.text) <= SUMMARY[1]
    assert len({record.group for record in records}) > 20
    assert not {"test", "site-packages", "idlelib"} & {record.group for record in records}
