"""Training, top to bottom: one loop for every run."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from chiasm.config import AnyRunConfig, OptimizerConfig, RunConfig, TrainConfig
from chiasm.dataset.place import absolute
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, DataError, Interrupted
from chiasm.modalities.text import Tokenizer
from chiasm.train import checkpoint
from chiasm.train.beginning import as_begun
from chiasm.train.distributed import World
from chiasm.train.embedding import EmbeddingJob
from chiasm.train.folder import open_run
from chiasm.train.job import Job, Learner
from chiasm.train.joint import JointJob
from chiasm.train.launch import under_torchrun, workers
from chiasm.train.log import ChanceWarning, Log
from chiasm.train.machine import (
    choose_device,
    choose_dtype,
    choose_processes,
    make_repeatable,
    quiet_allocator,
    repeatable,
    set_threads,
)
from chiasm.train.media import Progress, clear_cache
from chiasm.train.named import SystemJob
from chiasm.train.optimizer import Optimizer
from chiasm.train.step import StepResult, to_device
from chiasm.types import Batch


@dataclass(frozen=True)
class TrainResult:
    """What a finished run leaves: its folder, steps done, seconds of training (over all its sessions), and the losses of this session."""

    run: Path
    steps: int
    seconds: float
    losses: tuple[float, ...]


def train(config: AnyRunConfig, out: Path, *, resume: bool = False, progress: Progress | None = None) -> TrainResult:
    """Train `config` into the run folder `out`; with `resume`, go on from its newest checkpoint with the configuration kept there.

    `progress(stage, done, total, info)` is called as the run goes. Raises ConfigError, DataError, CheckpointError, NonFiniteError,
    MachineError, and Interrupted after a clean save on SIGTERM or SIGINT.
    """
    if under_torchrun():
        world = World.join(config.train.device)
        try:
            config = config if resume else as_begun(config, world.leads)
            with open_run(out, config, resume, world) as kept:
                return train_as(world, kept, out, progress if world.leads else None)
        finally:
            world.leave()
    if not resume:
        # Written down as a number: a resumed run must add up its gradients in the same order on another machine too.
        settings = config.train
        number = choose_processes(settings.processes, settings.device, settings.batch // settings.accumulate)
        config = config.model_copy(
            update={
                "train": settings.model_copy(update={"processes": number}),
            }
        )
        config = _absolute(as_begun(config))
    with open_run(out, config, resume, World()) as kept, workers(out, int(kept.train.processes)) as world:
        try:
            return train_as(world, kept, out, progress)
        finally:
            world.leave()


def train_as(world: World, config: AnyRunConfig, out: Path, progress: Progress | None) -> TrainResult:
    """Train as one process of `world`; the run folder is open and holds the configuration."""
    parts = config.train.accumulate * world.size
    if config.train.batch % parts:
        raise ConfigError(
            f"train.batch={config.train.batch} does not divide into accumulate {config.train.accumulate} × {world.size} processes"
        )
    # Set up: machine, data, model, and whatever a checkpoint brings.
    set_threads(config.train.threads, world.size)
    device = choose_device(config.train.device, world.rank)
    make_repeatable(device)
    dtype = choose_dtype(config.train.precision, device)
    found, problems = checkpoint.load_newest(out / "checkpoints")
    for line in problems if world.leads else []:
        print(f"warning: passed over a damaged checkpoint: {line}", file=sys.stderr)  # noqa: T201
    if found and found.state.get("finished"):
        return TrainResult(out, found.step, float(found.state["seconds"]), ())
    if world.leads and (out / "checkpoints").is_dir():
        checkpoint.tidy(out / "checkpoints", found)
    built = _built(config)
    if found and found.state.get("table") != built:
        raise DataError(
            f"{', '.join(tables_of(config))}: was built anew since this run began ({found.state.get('table')}); a run cannot go on with other data: "
            "train a new one"
        )
    tokenizer = Tokenizer.load(found.path / "tokenizer.json") if found else None
    job: Job
    if isinstance(config, RunConfig) and config.tasks:
        job = JointJob(config, out, world, device, dtype, tokenizer, progress)
    elif isinstance(config, RunConfig):
        job = EmbeddingJob(config, out, world, device, dtype, tokenizer, progress)
    else:
        job = SystemJob(config, out, world, device, dtype, tokenizer, progress)
    quiet_allocator()  # not before: what reading the table took goes back to the system
    if found:
        job.restore(found.model)
    else:
        job.calibrate(device)
    optimizer = Optimizer(job.model, config.optimizer)
    step, before = 0, 0.0
    if found:
        optimizer.load(dict(found.optimizer))
        step, before = found.step, float(found.state["seconds"])
    folder = _Folder(out, job, optimizer, config.train.keep)
    loop = _Loop(config.train, folder, world, device, job, optimizer, progress)
    step, seconds, losses = loop.run(step, before)
    return TrainResult(out, step, seconds, tuple(losses))


def fit(
    learner: Learner,
    settings: TrainConfig,
    optimizer: OptimizerConfig,
    device: torch.device,
    progress: Progress | None = None,
) -> int:
    """Train in memory alone, by the loop of every run but without a run folder: nothing is logged, saved or resumed. Returns the steps done.

    Raises NonFiniteError, and Interrupted on SIGTERM or SIGINT.
    """
    with repeatable(device):
        learner.calibrate(device)
        made = Optimizer(learner.model, optimizer)
        return _Loop(settings, None, World(), device, learner, made, progress).run(0, 0.0)[0]


def tables_of(config: AnyRunConfig) -> list[str]:
    """The tables that a run reads."""
    if not (isinstance(config, RunConfig) and config.tasks):
        return [config.data.table]
    return sorted({task.table or config.data.table for task in config.tasks.values()})


def _built(config: AnyRunConfig) -> str:
    """When the run's tables were built, as its checkpoints keep it."""
    return " ".join(sorted({Table(path).created for path in tables_of(config)}))


def _absolute(config: AnyRunConfig) -> AnyRunConfig:
    """With absolute paths: a run is resumed from wherever its user stands."""

    def whole(path: str) -> str:
        return path if checkpoint.means_shipped(Path(path)) else str(Path(path).resolve())

    changed: dict[str, Any] = {"data": config.data.model_copy(update={"table": absolute(config.data.table)})}
    if isinstance(config, RunConfig):
        changed["tasks"] = {
            name: task if task.table is None else task.model_copy(update={"table": absolute(task.table)})
            for name, task in config.tasks.items()
        }
        settings = config.conversion
        changed["conversion"] = settings.model_copy(
            update={
                "init": None if settings.init is None else whole(settings.init),
                "quantizers": {name: whole(run) for name, run in settings.quantizers.items()},
            }
        )
    return config.model_copy(update=changed)


@dataclass(frozen=True)
class _Folder:
    """Where a run is kept: the folder, what goes into its checkpoints, and how many of them stay."""

    out: Path
    job: Job
    optimizer: Optimizer
    keep: int

    def save(self, step: int, seconds: float, finished: bool) -> None:
        state = {"seconds": seconds, "finished": finished, "torch": torch.__version__, **self.job.state()}
        checkpoint.save(
            self.out / "checkpoints",
            step,
            self.job.tensors(),
            self.optimizer.state(),
            state,
            self.job.files(step, seconds, finished),
            self.keep,
        )


class _Loop:
    """The state of a running loop, so that its phases can be methods with names. folder: None where nothing is kept."""

    def __init__(
        self,
        settings: TrainConfig,
        folder: _Folder | None,
        world: World,
        device: torch.device,
        job: Learner,
        optimizer: Optimizer,
        progress: Progress | None,
    ) -> None:
        self.settings, self.folder, self.world, self.device = settings, folder, world, device
        self.job, self.optimizer, self.progress = job, optimizer, progress
        self.stop_signal: int | None = None

    def run(self, step: int, before: float) -> tuple[int, float, list[float]]:
        """Steps and seconds done in all, and the losses of the steps from here."""
        settings = self.settings
        started = time.monotonic() - before
        saved_at, saved_step = time.monotonic(), step
        next_validation = self._done(step, before)
        losses: list[float] = []
        folder = self.folder if self.world.leads else None
        log = Log(folder and folder.out, after=step, tensorboard=settings.tensorboard)
        chance = ChanceWarning()
        with log, _Signals(self), _Ahead(self._chunks, step) as batches:
            while True:
                # Rank 0's clock decides for all: how far along, whether to stop, whether to save.
                seconds = time.monotonic() - started
                due = time.monotonic() - saved_at > 60 * settings.checkpoint_minutes and step > saved_step
                if settings.checkpoint_steps:
                    due |= step > saved_step and step % settings.checkpoint_steps == 0
                seconds, done, stop, save = self.world.agree(
                    seconds, self._done(step, seconds), float(self.stop_signal or 0), float(due)
                )
                # Validate.
                if done >= next_validation or done >= 1:
                    if self.world.leads and (figures := self.job.validate()):
                        log.validation(step, seconds, figures)
                    self.world.wait()
                    next_validation = done + settings.validate_every
                # Save.
                if save or stop or done >= 1:
                    self._save(step, seconds, finished=done >= 1)
                    saved_at, saved_step = time.monotonic(), step
                # Stop.
                if done >= 1:
                    break
                if stop:
                    name = signal.Signals(int(stop)).name
                    how = (
                        f"saved; go on with `chiasm train --resume --out {self.folder.out}`"
                        if self.folder
                        else "not kept"
                    )
                    raise Interrupted(f"{name} at step {step}: {how}")
                # Step.
                rate = self.optimizer.set_progress(done)
                result = self.job.update(self.optimizer, batches.take(), step, done)
                step += 1
                # Log.
                losses.append(result.loss)
                log.step(step, time.monotonic() - started, result, rate, settings.batch)
                if self.world.leads and (warning := chance.check(done, result)):
                    print(f"warning: {warning}", file=sys.stderr)  # noqa: T201
                self._report(step, time.monotonic() - started, result, log)
        if folder:
            clear_cache(folder.out)
        return step, seconds, losses

    def _done(self, step: int, seconds: float) -> float:
        """0 … 1: by steps, by time, or whichever is further."""
        settings = self.settings
        by_steps = step / settings.steps if settings.steps else 0.0
        by_time = seconds / (60 * settings.minutes) if settings.minutes else 0.0
        return min(max(by_steps, by_time), 1.0)

    def _chunks(self, step: int) -> list[Batch]:
        """This process's chunks of a step's batch: a function of the step alone."""
        n, size = self.settings.accumulate, self.world.size
        return [to_device(self.job.make(step, self.world.rank * n + i, size * n), self.device) for i in range(n)]

    def _save(self, step: int, seconds: float, finished: bool) -> None:
        if self.folder and self.world.leads:
            self.folder.save(step, seconds, finished)
        self.world.wait()

    def _report(self, step: int, seconds: float, result: StepResult, log: Log) -> None:
        if self.progress is None:
            return
        done = self._done(step, seconds)
        shown: dict[str, object] = {"loss": result.loss, "step": step, "samples_per_second": log.rate}
        self.progress("training", round(1000 * done), 1000, shown)


class _Ahead:
    """Prepares the next step's batch on a thread while the current one trains."""

    def __init__(self, make: Callable[[int], list[Batch]], step: int) -> None:
        self._make, self._step = make, step
        self._pool = ThreadPoolExecutor(1)
        self._next: Future[list[Batch]] = self._pool.submit(make, step)

    def __enter__(self) -> _Ahead:
        return self

    def take(self) -> list[Batch]:
        chunks = self._next.result()
        self._step += 1
        self._next = self._pool.submit(self._make, self._step)
        return chunks

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


class _Signals:
    """SIGTERM and SIGINT ask the loop to finish its step, save and stop; a second SIGINT stops at once."""

    def __init__(self, loop: _Loop) -> None:
        self._loop = loop
        self._kept: dict[int, Any] = {}

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._loop.stop_signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._loop.stop_signal = number

    def __enter__(self) -> None:
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._kept[number] = signal.signal(number, self._handle)
        except ValueError:  # not the main thread: signals are the caller's business
            pass

    def __exit__(self, *_: object) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)
