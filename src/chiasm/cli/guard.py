"""Turns whatever ends a verb into an exit code and, at most, one line on stderr."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec

from chiasm.errors import ChiasmError, ConfigError, MachineError

P = ParamSpec("P")

EXIT_CODES = """\b
Exit codes:
  0    done
  1    unexpected: a bug in chiasm (CHIASM_DEBUG=1 shows where)
  2    wrong use or configuration
  3    bad data
  4    model or checkpoint
  5    interrupted, after the state was saved
  6    the training went wrong (a loss or gradient was not finite)
  7    the machine: disk, memory, a missing extra
  130  interrupted (Ctrl-C)

Results go to stdout, progress and messages to stderr; --json prints one JSON object."""


def guarded(verb: Callable[P, None]) -> Callable[P, None]:
    """A verb that never shows its user a traceback; it keeps the signature that typer reads."""

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
            sys.stdout.flush()
        except KeyboardInterrupt:
            _end("interrupted", 130)
        except BrokenPipeError:
            # The reader (head, less) has seen enough. What is still buffered must not fail again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except ChiasmError as error:
            _end(str(error), error.exit_code, error)
        except MemoryError as error:
            _end(_NO_MEMORY, MachineError.exit_code, error)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            _end(f"{error.filename or 'a path'}: {error.strerror or error}", ConfigError.exit_code, error)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
                _end(_unexpected(error), 1, error)
            _end(f"{error.strerror}: {error.filename or 'the disk'}", MachineError.exit_code, error)
        except Exception as error:
            if _is_out_of_memory(error):
                _end(_NO_MEMORY, MachineError.exit_code, error)
            _end(_unexpected(error), 1, error)

    return run


_NO_MEMORY = (
    "out of memory: a smaller train.batch, more train.accumulate or a smaller model needs less; "
    "processes that share the machine need it too"
)
_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


def _is_out_of_memory(error: Exception) -> bool:
    # Torch raises RuntimeError for it, in different words by device and system.
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in _MEMORY)


def _unexpected(error: Exception) -> str:
    said = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {said}: this is a bug in chiasm; CHIASM_DEBUG=1 shows where"


def _end(message: str, code: int, error: BaseException | None = None) -> NoReturn:
    if error is not None and os.environ.get("CHIASM_DEBUG"):
        raise error
    prefix = "" if code == 130 else "error: "
    for line in message.splitlines() or [""]:
        sys.stderr.write(f"{prefix}{line}\n")
    sys.stderr.flush()
    raise SystemExit(code)
