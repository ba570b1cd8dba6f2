"""How a table gets its name. On a disk: written in the work folder, then renamed. On object storage, where nothing can be renamed: written in
place as one commit of Lance, which is there when its last file is.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from chiasm.dataset.place import is_remote, ledger_path, plain
from chiasm.dataset.table import Table, exists
from chiasm.dataset.work import Work
from chiasm.errors import DataError, MachineError


def check_out(out: Path, overwrite: bool) -> None:
    """Raises DataError where `out` is there and may not, or must not, be replaced."""
    if not exists(out):
        return
    if not overwrite:
        raise DataError(f"{plain(out)} exists; give --overwrite to replace it, or another name")
    Table(out)  # refuses to delete what is not a chiasm table


def publish(work: Work, out: Path) -> None:
    """Give the finished table its name; an older one goes only once the new one has it.

    On a disk the ledger has its name first: a build that is killed between the two has no table yet, and so is done again and not refused.
    """
    publish_ledger(work, out)
    if not is_remote(out):
        if out.exists():
            out.rename(work.old)
        work.table.rename(out)
        shutil.rmtree(work.old, ignore_errors=True)


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
    except OSError as error:
        raise MachineError(f"{plain(ledger_path(out))}: cannot be written: {str(error).splitlines()[0]}") from None
