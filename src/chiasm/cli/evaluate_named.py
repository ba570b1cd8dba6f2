"""What `chiasm evaluate` measures and shows of a named system that embeds nothing: words filled in, questions answered, objects found …"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from chiasm.cli.output import say
from chiasm.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table as Grid

    from chiasm.cli.evaluate_job import Job


def is_named(job: Job) -> bool:
    """Whether the run is such a system."""
    from chiasm.train.system_model import holds_system, read_system

    if not holds_system(job.run):
        return False
    from chiasm.train.system_embedder import embeds

    return not embeds(read_system(job.run).spec)


def measure_named(job: Job) -> dict[str, Any]:
    """{system, title, measures: {split: …}, run, table}. Raises ConfigError for options that are of a space or of tasks."""
    from chiasm.cli.progress import Progress
    from chiasm.evaluate.comparison.measured import held_out_split, measure_run, run_config_of
    from chiasm.train.system_model import read_system

    given = {
        "--task": job.tasks, "--all-tasks": job.all_tasks, "--protocol": job.protocols, "--by": job.by, "--against": job.against,
        "--ratings": job.ratings, "--report": job.report, "--no-baseline": not job.baseline,
        "--finetune-steps": job.finetune_steps, "--finetune-minutes": job.finetune_minutes,
    }  # fmt: skip
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise ConfigError(
            f"{job.run}: a named system that embeds nothing has no tasks, no report, and no space to compare: leave out {', '.join(wrong)}"
        )
    found = read_system(job.run)
    names = job.splits or [held_out_split(job.table, run_config_of(found).data)]
    measures: dict[str, Any] = {}
    with Progress() as progress:
        for name in names:
            measured = measure_run(job.run, job.table.path, name, job.device, progress)
            measures[name] = asdict(measured) | {"beats_chance": measured.beats_chance}
    return {"system": found.spec.name, "measures": measures, "run": str(job.run), "table": str(job.table.path)}


def named_table(result: dict[str, Any]) -> Grid:
    from chiasm.cli.evaluate_tables import make_grid
    from chiasm.systems.catalogue import find

    title = find(result["system"]).title
    grid = make_grid(title, ("split", "measure", "value", "95 %", "chance", "n"))
    for name, one in result["measures"].items():
        interval = f"{one['low']:.3f}–{one['high']:.3f}"
        grid.add_row(name, one["name"], f"{one['value']:.3f}", interval, f"{one['chance']:.3f}", f"{one['n']:,}")
        for beside, value in one["beside"].items():
            grid.add_row("", beside, f"{value:.3f}")
    if not all(one["beats_chance"] for one in result["measures"].values()):
        say("note: the interval reaches down to chance")
    return grid
