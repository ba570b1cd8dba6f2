"""The run folder: one trainer at a time, and the configuration it was started with.

RUN/config.yaml   RUN/log.jsonl   RUN/checkpoints/step-…/   RUN/lock (while training)
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from chiasm.config import AnyRunConfig, dump_config, load_kept
from chiasm.errors import CheckpointError, ConfigError, ModelError
from chiasm.train.distributed import World


@contextmanager
def open_run(run: Path, config: AnyRunConfig, resume: bool, world: World) -> Generator[AnyRunConfig]:
    """Hold the run folder for as long as the block lasts, and hand out the run's configuration: `config`, written down, for a
    new run; the one written then, on `resume`.

    Raises CheckpointError where another trainer holds it, ConfigError where a new run would overwrite one, ModelError where there is
    nothing to resume. The lock is the kernel's: it goes with the process that held it, however that ends.
    """
    if resume and not (run / "config.yaml").is_file():
        raise ModelError(f"{run}: nothing to resume: it holds no config.yaml")
    if not resume and any(run.glob("checkpoints/step-*")):
        raise ConfigError(f"{run}: already holds a run; go on with --resume, or choose another --out")
    run.mkdir(parents=True, exist_ok=True)
    world.wait()  # everybody has looked before anybody writes
    if not world.leads:
        yield read_config(run) if resume else config
        return
    with (run / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CheckpointError(f"{run}: another process is training into this folder") from None
        if resume:
            config = read_config(run)
        else:
            temporary = run / "config.yaml.tmp"
            temporary.write_text(dump_config(config), encoding="utf8")
            os.replace(temporary, run / "config.yaml")
        # The file stays: were it removed, a trainer that opened it just before could hold a lock that nobody else sees.
        yield config


def read_config(run: Path) -> AnyRunConfig:
    """The configuration a run was started with."""
    path = run / "config.yaml"
    if not path.is_file():
        raise ModelError(f"{run}: no run folder: it holds no config.yaml")
    return load_kept(path)
