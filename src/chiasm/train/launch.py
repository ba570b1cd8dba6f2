"""Data-parallel processes on one machine, started from the process that the user started.

That process stays rank 0, so progress, errors and signals need no relay. torchrun works as well: under it, nothing is started here.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

from chiasm.errors import MachineError
from chiasm.train.distributed import World


def under_torchrun() -> bool:
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


@contextlib.contextmanager
def workers(run: Path, processes: int) -> Generator[World]:
    """The world of this process and `processes` − 1 others that train the same run. They end with the block, or with this process.

    Raises MachineError where one of them ended before its time, with what it said.
    """
    if processes == 1:
        yield World()
        return
    with tempfile.TemporaryDirectory(prefix="chiasm-") as meeting:
        # A file as the meeting point: no port to choose, none to collide with.
        point = Path(meeting) / "rendezvous"
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", loopback())}
        os.environ["GLOO_SOCKET_IFNAME"] = environment["GLOO_SOCKET_IFNAME"]
        logs = [Path(meeting) / f"rank-{rank}.log" for rank in range(1, processes)]
        children: list[subprocess.Popen[bytes]] = []
        try:
            for rank, log in enumerate(logs, start=1):
                command = [sys.executable, "-m", "chiasm.train.worker", str(run), str(point), str(rank), str(processes)]
                with log.open("wb") as file:
                    # Its own session: Ctrl-C reaches rank 0 alone, which decides for all.
                    child = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
                children.append(child)
            try:
                yield World.meet(point, 0, processes)
            except RuntimeError as error:
                if all(child.poll() in (None, 0) for child in children):
                    raise  # the error is this process's own
                said = "; ".join(_last_line(log) for log in logs)
                raise MachineError(f"a training process ended early: {said or error}") from error
        finally:
            for child in children:
                try:
                    child.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    child.kill()


def loopback() -> str:
    """The name of the interface that reaches this machine itself."""
    return "lo0" if sys.platform == "darwin" else "lo"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else ""
