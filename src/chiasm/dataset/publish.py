"""How a table gets its name: beside it under another one until it is complete, then by renaming."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from chiasm.dataset.table import Table
from chiasm.errors import DataError


def check_out(out: Path, overwrite: bool) -> None:
    """Raises DataError where `out` is there and may not, or must not, be replaced."""
    if not out.exists() and not out.is_symlink():
        return
    if not overwrite:
        raise DataError(f"{out} exists; give --overwrite to replace it, or another name")
    Table(out)  # refuses to delete what is not a chiasm table


def publish(part: Path, out: Path) -> None:
    """Give the finished table its name; an older one goes only once the new one has it."""
    old = out.with_name(f".{out.name}.old-{os.getpid()}")
    if out.exists():
        out.rename(old)
    part.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def sweep(out: Path) -> None:
    """Remove what builds of this table left behind when they were killed; one that still runs is left
    alone.
    """
    for pattern in (f".{out.name}.part-*", f".{out.name}.old-*", f".{ledger_path(out).name}.part-*"):
        for left in out.parent.glob(pattern):
            owner = left.name.rpartition("-")[2]
            if owner.isdigit() and not _alive(int(owner)):
                # A kill between the two renames of publish: the old table is the only one there is.
                if ".old-" in left.name and not out.exists():
                    left.rename(out)
                elif left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)


def ledger_path(out: Path) -> Path:
    """The rejects ledger of table `out`: beside it."""
    return out.with_name(f"{out.name.removesuffix('.lance')}.rejects.jsonl")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
