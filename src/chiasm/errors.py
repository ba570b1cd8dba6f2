"""The one tree of errors. Each carries the exit code that the command line ends with.

A user's mistake (wrong key, missing file, broken media) raises one of these with a message that says
what, where and what to do; the command line prints it in one line, never a traceback.

Exit codes: 0 done · 1 unexpected (a bug in chiasm) · 2 wrong use or configuration · 3 bad data ·
4 model or checkpoint · 5 interrupted after a clean save · 6 the training went wrong (non-finite) · 7 the machine (disk, memory, missing extra).
"""

from __future__ import annotations


class ChiasmError(Exception):
    """Anything chiasm refuses on purpose."""

    exit_code = 1


class ConfigError(ChiasmError):
    """A configuration or an argument that cannot be used."""

    exit_code = 2


class DataError(ChiasmError):
    """Data that cannot be used: a missing folder, an empty table, a malformed manifest."""

    exit_code = 3


class MediaError(DataError):
    """One picture, sound or text that cannot be read. A build turns it into a row of the rejects ledger.

    `reason` is a short stable code (e.g. ``truncated``, ``too_large``, ``format``, ``empty``) that ledgers count by.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ModelError(ChiasmError):
    """A model or checkpoint that cannot be used."""

    exit_code = 4


class CheckpointError(ModelError):
    """A checkpoint that is damaged, of a future version, or in use by another process."""


class Interrupted(ChiasmError):
    """Stopped by a signal, after the state was saved."""

    exit_code = 5


class NonFiniteError(ChiasmError):
    """A loss or a gradient became NaN or infinite; the update was not applied."""

    exit_code = 6


class MachineError(ChiasmError):
    """The machine lacks something: disk space, memory, an optional package."""

    exit_code = 7
