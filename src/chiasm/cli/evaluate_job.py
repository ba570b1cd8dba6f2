"""The work of `chiasm evaluate`: what the options ask for, and the one JSON object that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chiasm.errors import ConfigError, DataError

if TYPE_CHECKING:
    from chiasm.cli.progress import Progress
    from chiasm.dataset.table import Table
    from chiasm.evaluate.retrieval.study import Budget
    from chiasm.train.converting import ConvertingModel
    from chiasm.train.model import LoadedModel


@dataclass(frozen=True, slots=True)
class Job:
    """The options; a list that was not given is empty."""

    run: Path
    table: Table
    splits: list[str]
    baseline: bool
    tasks: list[str]
    all_tasks: bool
    most: int
    protocols: list[str]
    by: list[str]
    against: Path | None
    ratings: Path | None
    seed: int
    report: Path | None
    device: str
    finetune_steps: int | None = None
    finetune_minutes: float | None = None


def measure(job: Job) -> dict[str, Any]:
    """What `write_report` takes, with `against` and `ratings` where they were asked for; the report is written where it was.

    Raises ConfigError for what does not go together, DataError where there is nothing to measure.
    """
    from chiasm.cli.progress import Progress
    from chiasm.evaluate.pages.report import write_report
    from chiasm.evaluate.protocols.similarity import rated_similarity, read_ratings
    from chiasm.evaluate.retrieval.protocol import check_protocols
    from chiasm.evaluate.retrieval.splits import choose_splits
    from chiasm.train.converting import ConvertingModel
    from chiasm.train.model import load

    check_protocols(job.protocols or None)
    _budget(job)  # refused before the work, not after it
    rated = None if job.ratings is None else read_ratings(job.ratings)
    if job.against is not None:
        # Retrieval is compared, which has the table's own splits alone.
        choose_splits(job.table, job.splits or None, "")
    model = load(job.run, device=job.device, remember=job.report is not None or job.against is not None)
    other = None if job.against is None else load(job.against, device=job.device)
    converting = model if isinstance(model, ConvertingModel) else None
    if converting is None and (job.tasks or job.all_tasks):
        raise ConfigError(f"{job.run}: has no conversion tasks to choose from")
    with Progress() as progress:
        result = (
            _retrieved(job, model, progress) if converting is None else measure_converting(job, converting, progress)
        )
        if rated is not None and job.ratings is not None:
            result["ratings"] = rated_similarity(model, rated, job.seed) | {"file": job.ratings.name}
        if other is not None:
            _compare(job, model, other, result, progress)
        _check_measured(job, result)
        if job.report is not None:
            write_report(job.run, job.table, model, result, job.report, progress=progress)
    return result


def _retrieved(job: Job, model: LoadedModel, progress: Progress) -> dict[str, Any]:
    from chiasm.evaluate.retrieval.protocol import evaluate

    return evaluate(
        model, job.table, splits=job.splits or None, baseline=job.baseline, seed=job.seed, protocols=job.protocols or None,
        by=job.by or None, budget=_budget(job), progress=progress,
    ).to_json()  # fmt: skip


def _budget(job: Job) -> Budget | None:
    """What was asked for fine-tuning. Raises ConfigError where it is not asked for at all."""
    from chiasm.evaluate.retrieval.study import Budget

    if job.finetune_steps is None and job.finetune_minutes is None:
        return None
    if "finetune" not in job.protocols:
        raise ConfigError("--finetune-steps and --finetune-minutes: nothing is fine-tuned without --protocol finetune")
    return Budget(job.finetune_steps, job.finetune_minutes)


def measure_converting(job: Job, model: ConvertingModel, progress: Progress) -> dict[str, Any]:
    """The conversion tasks, and retrieval where the run has a space.

    tasks: those named, on the table; all_tasks: every one on its own table; protocols alone: none; nothing named: those that were trained
    on the table, or, where none was, all for which it has what they need. Who names tasks and no protocol has not asked for retrieval.
    """
    from chiasm.evaluate.conversion.tasks import evaluate_conversion, measured_conversions, tasks_of_table
    from chiasm.train.abilities import abilities

    if job.tasks and job.all_tasks:
        raise ConfigError("--task and --all-tasks: choose one of the two")
    space = any(task.wanted.of == "space" for task in model.tasks.values())
    if job.protocols and not space:
        raise ConfigError(
            f"{job.run}: has no space, which {', '.join(job.protocols)} would measure: leave out --protocol"
        )
    names = job.tasks or (None if job.all_tasks else [] if job.protocols else tasks_of_table(model, job.table))
    if names is not None and not names and not space:
        raise ConfigError(
            f"{job.table.path}: has nothing that a task of this run needs; it can do {abilities(model.tasks)}"
        )
    own = None if job.all_tasks else job.table
    found = evaluate_conversion(
        model, job.splits or None, tasks=names, table=own, most=job.most, seed=job.seed, progress=progress
    )
    asked = not job.tasks or bool(job.protocols) or any(model.tasks[name].wanted.of == "space" for name in job.tasks)
    # Splits of other tables have no retrieval on this one.
    here = set(job.splits) <= set(job.table.splits())
    retrieved = _retrieved(job, model, progress) if space and asked and here else None
    return measured_conversions(model, job.table, found, on_table=not job.all_tasks, retrieval=retrieved)


def _compare(job: Job, model: LoadedModel, other: LoadedModel, result: dict[str, Any], progress: Progress) -> None:
    from chiasm.evaluate.protocols.against import against

    found = against(model, other, job.table, splits=job.splits or None, seed=job.seed, progress=progress)
    result["against"] = {"run": str(job.against), "identity": other.identity, "splits": found}
    if not any(found.values()):
        result["left_out"]["against"] = "the splits measured hold no query that both runs can be asked"


def _check_measured(job: Job, result: Mapping[str, Any]) -> None:
    """Raises DataError where there is no figure at all."""
    from chiasm.evaluate.retrieval.protocol import PROTOCOLS

    by_split = ("retrieval", *PROTOCOLS)
    told = any(any(result.get(key, {}).values()) for key in by_split)
    told |= any(task["splits"] for task in result.get("conversion", {}).values())
    if not told and "ratings" not in result:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in result["left_out"].items())
        raise DataError(
            f"{job.table.path}: nothing of what this model does can be measured on it"
            + (f" ({reasons})" if reasons else "")
        )
