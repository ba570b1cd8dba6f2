"""How a table gets its name. On a disk: written in the work folder, then renamed. On object storage, where nothing can be renamed: written in
place as one commit of Lance, which is there when its last file is.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from chiasm.dataset.place import is_remote, ledger_path, plain
from chiasm.dataset.table import Table, exists
from chiasm.dataset.work import Work
from chiasm.errors import DataError, MachineError


def check_out(out: Path, overwrite: bool) -> None:
    """Raises DataError where `out` is there and may not, or must not, be replaced."""
    scheme = re.match(r"^([a-z][a-z0-9+.-]+):/", str(out))
    if scheme is not None and not is_remote(out):
        raise DataError(f"{out}: no store for {scheme[1]}:// addresses; known are s3://, gs://, abfs:// and abfss://")
    if out.suffix != ".lance":  # NAME and NAME.lance would share a ledger
        raise DataError(f"{plain(out)}: the name of a table ends in .lance: {plain(out)}.lance")
    if not exists(out):
        return
    if not overwrite:
        raise DataError(f"{plain(out)} exists; give --overwrite to replace it, or another name")
    try:
        Table(out)
    except DataError as error:
        raise DataError(f"{plain(out)} is not replaced, since it is no chiasm table: {error}") from None


def publish(work: Work, out: Path, write: Callable[[Path], None]) -> None:
    """Write the finished table (`write` takes the place to write it at) and give it its name; an older one goes only once the new one has it.

    The ledger has its name before a table that replaces none: a build that is killed between the two has no table yet, and so is done again
    and not refused.
    """
    if not is_remote(out):
        write(work.table)
        if not out.exists():
            publish_ledger(work, out)
            work.table.rename(out)
        else:
            out.rename(work.old)
            work.table.rename(out)
            publish_ledger(work, out)
            shutil.rmtree(work.old, ignore_errors=True)
    elif exists(out):  # its ledger is replaced with it, and whoever replaces it says so again
        write(out)
        publish_ledger(work, out)
    else:
        publish_ledger(work, out)
        write(out)


def publish_ledger(work: Work, out: Path) -> None:
    """The ledger beside the table `out`."""
    if not is_remote(out):
        work.ledger.replace(ledger_path(out))
        return
    from pyarrow import fs

    try:
        store, path = fs.FileSystem.from_uri(plain(ledger_path(out)))
        with store.open_output_stream(path) as file, work.ledger.open("rb") as ours:
            shutil.copyfileobj(ours, file)
    except (OSError, ValueError) as error:  # ValueError: an address of a kind that Arrow cannot write to
        raise MachineError(f"{plain(ledger_path(out))}: cannot be written: {str(error).splitlines()[0]}") from None


def read_ledger(out: Path, most: int) -> str | None:
    """The text of the ledger beside the table `out`; None where there is none, it is larger than `most` bytes, or it cannot be reached."""
    path = ledger_path(out)
    if not is_remote(out):
        there = path.is_file() and path.stat().st_size <= most
        return path.read_text(encoding="utf8", errors="replace") if there else None
    from pyarrow import fs

    try:
        store, name = fs.FileSystem.from_uri(plain(path))
        with store.open_input_file(name) as file:
            return None if file.size() > most else file.read().decode("utf8", "replace")
    except (OSError, ValueError):
        return None
