"""The decoded media of a run: made once by all its processes together, or decoded as drawn where they would not fit the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from chiasm.batches.store import Decode, DirectStore, MappedStore, Store, seal, write_part
from chiasm.dataset.place import absolute
from chiasm.dataset.table import Table
from chiasm.errors import DataError
from chiasm.train.distributed import World
from chiasm.train.machine import cores

Progress = Callable[[str, int, int, dict[str, object]], None]
Decoder = tuple[Decode, tuple[int, ...], int]
"""How a medium is decoded, the shape of its arrays behind the first axis, and the most bytes one takes."""


def open_store(
    table: Table,
    modality: str,
    decoder: Decoder,
    wanted: Mapping[int, Sequence[int]],
    settings: object,
    cache: Path,
    cache_mib: int,
    world: World,
    progress: Progress | None,
) -> Store:
    """The media `wanted` (row of the table → indices), decoded. settings: whatever else, as JSON, the arrays depend on.

    Raises DataError where not one can be read.
    """
    decode, shape, size = decoder
    total = sum(len(indices) for indices in wanted.values())
    if total * size > cache_mib * 2**20:
        return DirectStore(table, modality, decode)
    key = json.dumps([absolute(table.path), table.created, modality, settings, sorted(wanted.items()), total])
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
    if not (folder / f"{modality}.json").exists():
        world.wait()  # nobody may find the sealed file before everybody has looked
        failed = _decode_all(table, modality, wanted, decode, folder, world, progress)
        if failed == total:
            raise DataError(
                f"{table.path}: not one of {total:,} {modality} items can be read; are the files still where they were?"
            )
        if failed and world.leads:
            print(  # noqa: T201
                f"warning: {failed:,} of {total:,} {modality} items cannot be read and are left out of training; "
                f"build {table.path} again to see which",
                file=sys.stderr,
            )
        if world.leads:
            seal(folder, modality, shape, world.size)
    world.wait()
    return MappedStore(folder, modality)


def clear_cache(run: Path) -> None:
    """Delete the decoded media of a finished run: they are made again if it is resumed."""
    shutil.rmtree(run / "cache", ignore_errors=True)


def _decode_all(
    table: Table,
    modality: str,
    wanted: Mapping[int, Sequence[int]],
    decode: Decode,
    folder: Path,
    world: World,
    progress: Progress | None,
) -> int:
    """Every process decodes its share; the number of items, over all of them, that could not be read."""
    rows: NDArray[np.int64] = np.array(sorted(wanted), np.int64)[world.rank :: world.size]
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress and world.leads:
            progress(f"decoding {modality}", done, len(rows), {})

    failed = write_part(
        folder,
        table,
        modality,
        lambda row, _: wanted[row],
        rows,
        decode,
        world.rank,
        threads=max(cores() // world.size, 1),
        progress=advance,
    )
    return int(world.gather(torch.tensor([failed], device=world.device))[0].sum())
