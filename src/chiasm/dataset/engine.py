"""Where shards are examined: one Daft pipeline over the list of shards, on threads of this machine or on a Ray cluster.

What is done to a shard is one pure function of its file and of the settings, so that the table is the same wherever, and by however many,
it was done. Daft and Ray are imported only here, and only when a build gets here.
"""

# pyright: reportUnknownParameterType=false
# Daft and Ray give few types.
from __future__ import annotations

import json
import logging
import os
import queue
import signal
import socket
import threading
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from chiasm import errors
from chiasm.building import EngineConfig
from chiasm.config import BuildConfig
from chiasm.dataset.examine import Examined, examine
from chiasm.dataset.schema import from_arrow, to_arrow
from chiasm.dataset.shards import CONTENTS, MEASURED, READ, Shard, write_shard
from chiasm.errors import ChiasmError, ConfigError, MachineError
from chiasm.sources import Progress

if TYPE_CHECKING:
    from daft import DataFrame

_GATES: dict[str, threading.Semaphore] = {}
"""By a task's `stop`: lets `workers` threads of this process work at a time. Daft has as many threads as the machine has cores."""

_RUNNER: list[str] = []
"""The runner that this process has taken, once it has."""

_PATIENCE = 900
"""Seconds until a node of the cluster must have begun to work."""

_STOPPED = "stopped"
_BUG = "bug"


@dataclass(frozen=True, slots=True)
class Task:
    """What every shard of a build is examined with. stop: a file that ends the work once it is there."""

    root: str | None
    vouched: tuple[str, ...]
    config: BuildConfig
    stop: str


def examine_shard(given: str, read: str, task: str) -> str:
    """Examine the records of the shard at `given`, write the shard at `read`, and delete the first. task: a Task as JSON.

    Returns as JSON how many inputs are done, or the error: its class of errors.py, what it says and where it came from. Nothing is raised: Daft
    would make an error of its own of it, and lose which it was.
    """
    tree = json.loads(task)
    settings = Task(tree["root"], tuple(tree["vouched"]), BuildConfig.model_validate(tree["config"]), tree["stop"])
    try:
        with _GATES.get(settings.stop) or nullcontext():
            return _examine(Path(given), Path(read), settings)
    except ChiasmError as error:
        return json.dumps([type(error).__name__, str(error), ""])
    except MemoryError:
        return json.dumps(["MachineError", "out of memory while media were decoded: fewer `workers` need less", ""])
    except OSError as error:
        said = f"{error.filename or read}: {error.strerror or error}; what is examined is kept, and the same build goes on from there"
        return json.dumps(["MachineError", said, traceback.format_exc()])
    except Exception as error:
        return json.dumps([_BUG, f"{type(error).__name__}: {error}", traceback.format_exc()])


def _examine(given: Path, read: Path, task: Task) -> str:
    shard = Shard(given)
    root, stop = None if task.root is None else Path(task.root), Path(task.stop)
    vouched, embed = frozenset(task.vouched), task.config.embed_media
    found: list[Examined] = []
    for record in from_arrow(shard.rows()):
        if stop.exists():
            return json.dumps([_STOPPED, "", ""])
        found.append(examine(record, root, vouched, embed))
    kept = [(one, one.record) for one in found if one.record is not None]
    rows = to_arrow([record for _, record in kept])
    columns = [
        *rows.columns,
        pa.array([one.key.contents for one, _ in kept], READ.field(CONTENTS).type),
        pa.array([one.measures for one, _ in kept], READ.field(MEASURED).type),
    ]
    ledger = [*shard.ledger, *(row for one in found for row in one.rejected)]
    write_shard(read, pa.RecordBatch.from_arrays(columns, schema=READ), ledger, **shard.counts)
    given.unlink(missing_ok=True)
    return json.dumps(shard.counts["given"])


def examine_all(
    shards: Sequence[tuple[Path, Path]],
    task: Task,
    *,
    done: int,
    total: int,
    progress: Progress | None = None,
) -> None:
    """Examine the given shards `(given, read)`; `total`: inputs of the whole build, of which `done` were examined before.

    Raises the error of the first shard that failed, MachineError where the engine cannot be had, and KeyboardInterrupt on Ctrl-C; nothing
    runs any more then.
    """
    if not shards:
        return
    try:
        frame = _frame(shards, task.config.engine, task.config.workers)
    except ChiasmError:
        raise
    except Exception as error:  # Daft and Ray raise errors of their own, and Exception itself
        raise _failed(task.config.engine, error) from error
    settings = {
        "root": task.root,
        "vouched": task.vouched,
        "config": task.config.model_dump(mode="json"),
        "stop": task.stop,
    }
    said: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
    _GATES[task.stop] = threading.Semaphore(task.config.workers)
    # In a thread of its own, so that this one hears Ctrl-C at once and not when Daft comes back with a shard.
    thread = threading.Thread(target=_pipeline, args=(frame, json.dumps(settings), said), name="examine", daemon=True)
    thread.start()
    try:
        while (result := said.get()) is not None:
            if isinstance(result, Exception):
                raise _failed(task.config.engine, result) from result
            if isinstance(result, BaseException):
                raise result
            found = json.loads(result)
            if isinstance(found, list):
                kind, message, where = found
                if kind == _STOPPED:
                    continue
                failure = RuntimeError(message) if kind == _BUG else getattr(errors, kind)(message)
                raise failure from (RuntimeError(where) if where else None)
            done += found
            if progress is not None:
                progress("check", done, total)
    finally:
        Path(task.stop).touch()  # whoever still works ends at the next record
        thread.join()
        del _GATES[task.stop]


def _failed(config: EngineConfig, error: Exception) -> MachineError:
    """What is said of an error of Daft's or Ray's own."""
    name = "Daft" if config.runner == "embedded" else "Daft on Ray"
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return MachineError(
        f"the engine ({name}) failed: {said[:300]}: what is examined is kept, and the same build goes on from there; where memory or a worker was "
        "short, fewer `workers` need less (CHIASM_DEBUG=1 shows the whole of it)"
    )


def _pipeline(frame: DataFrame, task: str, said: queue.SimpleQueue[str | BaseException | None]) -> None:
    try:
        import daft

        def work(given: str, read: str) -> str:
            return examine_shard(given, read, task)

        examined = daft.func(return_dtype=daft.DataType.string())(work)
        frame = frame.into_batches(1).select(examined(frame["given"], frame["read"]).alias("said"))
        for row in frame.iter_rows(results_buffer_size=1):
            said.put(row["said"])
        said.put(None)
    except BaseException as error:
        said.put(error)


def _frame(shards: Sequence[tuple[Path, Path]], config: EngineConfig, workers: int) -> DataFrame:
    """The list of shards as a Daft frame on the engine that is asked for."""
    # Both report their use to their makers unless they are told not to.
    os.environ.update(DAFT_ANALYTICS_ENABLED="0", RAY_USAGE_STATS_ENABLED="0", DAFT_PROGRESS_BAR="0")
    import daft

    # Daft takes a runner once for the life of a process.
    if _RUNNER and config.runner not in _RUNNER:
        raise ConfigError(
            f"engine.runner={config.runner}: this process has built with {_RUNNER[0]}; take a process for each"
        )
    if not _RUNNER:
        if config.runner == "ray":
            _start_ray(config, workers)
            daft.set_runner_ray(noop_if_initialized=True, worker_startup_timeout=_PATIENCE)
        else:
            daft.set_runner_native()
            _keep_ctrl_c()
        _RUNNER.append(config.runner)
    frame = daft.from_pydict({"given": [str(given) for given, _ in shards], "read": [str(read) for _, read in shards]})
    return frame if config.runner == "embedded" else frame.into_partitions(min(len(shards), 1024))


def _keep_ctrl_c() -> None:
    """Take Ctrl-C back from Daft, whose first query of a process begins to listen to it: it would give up the query and leave threads in Python
    code behind, at which the interpreter aborts when it ends. `examine_all` ends the work itself.
    """
    import daft

    handler = signal.getsignal(signal.SIGINT)
    daft.from_pydict({"row": [0]}).select(daft.col("row") + 1).collect()
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


def _start_ray(config: EngineConfig, workers: int) -> None:
    if find_spec("ray") is None:
        raise MachineError("engine.runner=ray needs the package ray: pip install 'chiasm[ray]'")
    import ray  # pyright: ignore[reportMissingImports]

    if ray.is_initialized():
        return
    try:
        if config.address is None:
            ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        else:
            _check_address(config.address)
            ray.init(config.address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises Exception itself where a node does not start
        where = "" if config.address is None else f" at {config.address}"
        raise MachineError(f"Ray cannot be started or reached{where}: {str(error).splitlines()[0]}") from None


def _check_address(address: str) -> None:
    """Raises OSError where nobody listens at HOST:PORT. Ray itself would ask for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
