"""What a verb writes: results to stdout (a table, or one JSON object), everything else to stderr."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from chiasm.errors import MachineError

_NUMBERS = re.compile(r"\[\n\s+(-?\d+(?:,\n\s+-?\d+)*)\n\s+\]")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


class Device(StrEnum):
    """Where a model computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON object (or one list) on stdout. JSON has no NaN or infinity: they become null."""
    sys.stdout.write(dumped(value))


def dumped(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """JSON with a line an entry, and lists of whole numbers (the rows of a mask) on one line each."""
    text = json.dumps(_finite(value), ensure_ascii=False, indent=2, default=str)
    # A line's end stands for itself outside of strings only: inside of them it is written as \\n.
    return _NUMBERS.sub(lambda found: "[" + re.sub(r",\n\s+", ", ", found[1]) + "]", text) + "\n"


def show(*parts: RenderableType) -> None:
    """Tables and lines on stdout, in colour where a terminal reads it."""
    _render(sys.stdout, parts)


def show_on_stderr(*parts: RenderableType) -> None:
    """The same for what accompanies a result and is none itself."""
    _render(sys.stderr, parts)


def _render(stream: TextIO, parts: tuple[RenderableType, ...]) -> None:
    import io

    from rich.console import Console

    # Rendered first and written by us, so that a closed pipe meets the one handler for it.
    terminal = stream.isatty()
    buffer = io.StringIO()
    console = Console(file=buffer, width=width_of(stream), force_terminal=terminal, highlight=False, emoji=False)
    for part in parts:
        console.print(part, markup=False) if isinstance(part, str) else console.print(part)
    stream.write(buffer.getvalue())
    stream.flush()


def width_of(stream: TextIO) -> int:
    """Columns that a table on `stream` may take."""
    import shutil

    return shutil.get_terminal_size().columns if stream.isatty() else 120


def counted(count: int, one: str, several: str | None = None) -> str:
    """1 leak, 2 leaks, 1,000 leaks."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def say(message: str) -> None:
    """A line for the person who waits, on stderr."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def check_folder(path: Path) -> None:
    """Raises ConfigError where `path` cannot become, or be, a folder to write into."""
    from chiasm.dataset.place import is_remote, plain
    from chiasm.errors import ConfigError

    if is_remote(path):
        raise ConfigError(f"{plain(path)}: only tables lie on object storage; name a folder of this machine")
    for part in (path, *path.parents):
        if part.exists():
            if not part.is_dir():
                raise ConfigError(f"{part}: a file, where a folder is wanted; choose another --out")
            return


def check_file(path: Path) -> None:
    """Raises ConfigError where `path` cannot become, or be, a file to write."""
    from chiasm.errors import ConfigError

    if path.is_dir():
        raise ConfigError(f"{path}: a folder, where a file is wanted; choose another --out")
    check_folder(path.parent)


def check_writable(path: Path) -> None:
    """Tries whether the file `path` can be written, its folders made, and leaves nothing behind. Raises MachineError."""
    new = [folder for folder in path.parents if not os.path.lexists(folder)]
    try:
        if dead := [folder for folder in path.parents if folder.is_symlink() and not folder.exists()]:
            raise FileNotFoundError(errno.ENOENT, f"{dead[0]} is a link that leads nowhere")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            with path.open("ab"):
                pass
        else:
            folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        for folder in new:  # the deepest first
            with suppress(OSError):
                folder.rmdir()


def cannot_write(path: Path, error: OSError) -> MachineError:
    """What to raise where writing a result failed."""
    from chiasm.errors import MachineError

    return MachineError(f"cannot write {path}: {error.strerror or error}; choose another --out")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in cast("list[Any]", value)]
    return value
