"""One further process of a data-parallel run: `python -m chiasm.train.worker RUN MEETING_POINT RANK SIZE` (started by launch.py)."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from chiasm.errors import ChiasmError
from chiasm.train.distributed import World
from chiasm.train.folder import read_config
from chiasm.train.run import train_as


def main(arguments: list[str]) -> int:
    run, point, rank, size = Path(arguments[0]), Path(arguments[1]), int(arguments[2]), int(arguments[3])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # rank 0 decides when to stop
    _end_with(os.getppid())
    world = World.meet(point, rank, size)
    try:
        train_as(world, read_config(run), run, None)
    except ChiasmError as error:  # rank 0 meets the same one and says so
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    finally:
        world.leave()
    return 0


def _end_with(parent: int) -> None:
    """Leave when the process that started this one is gone, however it went: nobody else would stop us."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
