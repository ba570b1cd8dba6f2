"""Starts one command in several processes that find each other, as torchrun does, and ends with one exit code."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO

_PATIENCE = 30.0  # seconds that the others have to end after one has failed


def launched() -> bool:
    """Whether this process is one of several already, by this launcher or by torchrun."""
    return "WORLD_SIZE" in os.environ


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run ``chiasm ARGUMENTS`` in `processes` processes on this machine; the first failure's exit code, or 0.

    torchrun itself would turn every exit code into 1 and print a traceback. The first process alone speaks on
    stdout and stderr; what another said is shown where it alone failed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
    }
    command = [sys.executable, "-m", "chiasm", *arguments]
    with ExitStack() as stack:
        started: list[subprocess.Popen[bytes]] = []
        said: list[IO[bytes] | None] = []
        stack.callback(_stop, started)
        for rank in range(processes):
            environment = {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            out = subprocess.DEVNULL if rank else None
            said.append(stack.enter_context(tempfile.TemporaryFile()) if rank else None)
            started.append(subprocess.Popen(command, env=environment, stdout=out, stderr=said[-1]))
        return _wait(started, said)


def _wait(started: Sequence[subprocess.Popen[bytes]], said: Sequence[IO[bytes] | None]) -> int:
    """Wait for all; when one fails, ask the others to stop. A Ctrl-C reaches them all, and they save and end."""
    failed: int | None = None
    deadline = float("inf")
    while any(process.poll() is None for process in started) and time.monotonic() < deadline:
        try:
            time.sleep(0.1)
        except KeyboardInterrupt:
            continue
        if failed is None and (failed := _failed(started)) is not None:
            deadline = time.monotonic() + _PATIENCE
            for process in started:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
    _stop(started)
    if failed is None and (failed := _failed(started)) is None:
        return 0
    # A mistake that all of them meet is said once, by the first; its exit code is the one that was asked for.
    code = started[0].returncode
    if code > 0:
        return code
    message = said[failed]
    if message is not None:
        message.seek(0)
        sys.stderr.write(message.read().decode("utf8", "replace"))
    return max(started[failed].returncode, 1)


def _failed(started: Sequence[subprocess.Popen[bytes]]) -> int | None:
    return next((rank for rank, process in enumerate(started) if process.poll()), None)


def _stop(started: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
