"""A run of a named system, measured on records that it was not trained on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from chiasm.batches.task import Corpus, Task, assemble_first
from chiasm.config import SystemDataConfig, SystemRunConfig, load_run
from chiasm.dataset.table import Table
from chiasm.errors import DataError, ModelError
from chiasm.evaluate.comparison.downstream import Measured, Subject, measure
from chiasm.systems.system import System
from chiasm.train.corpus import Given, prepare_corpora
from chiasm.train.distributed import World
from chiasm.train.machine import choose_device, choose_dtype
from chiasm.train.media import Progress
from chiasm.train.named import CALIBRATED
from chiasm.train.system_model import SystemCheckpoint, read_system


def measure_run(
    run: Path,
    table: Path | None = None,
    split: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Measured:
    """The downstream measure of the system in a run folder, beside chance; for a probe beside the same system untrained too.

    table: None: the one it was trained on. split: None: see `held_out_split`.
    Raises ModelError where there is no run of a named system, DataError where the table lacks the split or what the measure needs.
    """
    found = read_system(run)
    config = run_config_of(found)
    opened = Table(config.data.table if table is None else table)
    held_out = held_out_split(opened, config.data, split)
    read = config.data.model_copy(update={"table": str(opened.path), "validation_split": held_out})
    task = found.spec.measure.task(found.size)
    chosen = choose_device(device)
    with tempfile.TemporaryDirectory(prefix="chiasm-") as folder:
        corpora = prepare_corpora(
            config.model_copy(update={"data": read}),
            (task,),
            Path(folder),
            World(),
            found.tokenizer,
            progress,
            found.spec.regions(found.size),
            Given(found.facts, found.regions()),
        )
        assert corpora.validation is not None
        probed = found.spec.measure.kind == "probe"
        subject = Subject(
            found.model().to(chosen),
            chosen,
            choose_dtype(config.train.precision, chosen),
            _untrained(found, config.train.seed, corpora.train, task).to(chosen) if probed else None,
        )
        return measure(subject, found.spec.measure, found.size, corpora.train, corpora.validation)


def run_config_of(found: SystemCheckpoint) -> SystemRunConfig:
    """The configuration that a checkpoint was trained with. Raises ModelError for weights that were imported and not trained."""
    path = found.path / "config.yaml"
    config = load_run(path) if path.is_file() else None
    if not isinstance(config, SystemRunConfig):
        raise ModelError(
            f"{found.path}: weights that were not trained on a table; begin a run with them: "
            f"chiasm train TABLE.lance system={found.spec.name} init={found.path}"
        )
    return config


def held_out_split(table: Table, data: SystemDataConfig, wanted: str | None = None) -> str:
    """The split to measure on: `wanted`, else test, else the one that the learning curves come from. Raises DataError."""
    splits = table.splits()
    if wanted is not None and wanted not in splits:
        raise DataError(f"{table.path}: has no split {wanted!r}; it has {', '.join(splits) or 'no rows'}")
    for name in (wanted, "test", data.validation_split):
        if name is not None and splits.get(name):
            return name
    raise DataError(f"{table.path}: has neither a test split nor {data.validation_split!r}; it has {', '.join(splits)}")


def _untrained(found: SystemCheckpoint, seed: int, train: Corpus, task: Task) -> System:
    """The weights that the run began with, were there no `init`: the same seed, inputs standardised."""
    torch.manual_seed(seed)
    made = found.spec.make(found.size, found.facts)
    made.calibrate(assemble_first(train, task, CALIBRATED))
    return made
