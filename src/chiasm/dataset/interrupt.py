"""Ctrl-C while Lance pulls our records from a thread of its own.

A KeyboardInterrupt raised in the main thread would leave Lance's call while that thread is still in our Python code, and the
interpreter then aborts at its end. So the signal only sets a flag here; the generator meets it and ends, Lance's call
returns, and then the interrupt is raised.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType


class _Stopped(Exception):
    """Ends the generator. Not KeyboardInterrupt, to which pyarrow gives a meaning of its own."""


class Interruption:
    """`with interruption: …` holds back SIGINT until the block has ended, then raises KeyboardInterrupt; what runs inside asks
    `check()` now and then. A second Ctrl-C ends the process at once.

    Where the block runs in another thread than the main one, or somebody handles SIGINT already, nothing is changed.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._ours = False

    def __enter__(self) -> Interruption:
        self._ours = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._ours:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._stop.is_set():
            raise KeyboardInterrupt from None
        if kind is not None:
            self._stop.set()  # left by another way: whoever still pulls must end too

    def check(self) -> None:
        """Raises where the block is to end."""
        if self._stop.is_set():
            raise _Stopped

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._stop.set()
