"""What `chiasm evaluate` measures and shows of a run that converts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chiasm.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table as Grid

    from chiasm.dataset.table import Table
    from chiasm.evaluate.conversion.bench import Progress
    from chiasm.train.converting import ConvertingModel


def measure_converting(
    model: ConvertingModel,
    table: Table,
    splits: Sequence[str] | None,
    tasks: Sequence[str] | None,
    all_tasks: bool,
    most: int,
    seed: int,
    progress: Progress,
    retrieval: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """The conversion tasks, and `retrieval` where the run has a space and no other task is named.

    tasks: those named, on `table`; all_tasks: every one on its own table; neither: those that were trained on `table`, or, where none was,
    all for which it has what they need. Raises ConfigError for tasks that there are not, or where there is nothing to measure.
    """
    from chiasm.evaluate.conversion.tasks import evaluate_conversion, measured_conversions, tasks_of_table
    from chiasm.train.abilities import abilities

    if tasks and all_tasks:
        raise ConfigError("--task and --all-tasks: choose one of the two")
    names = tasks if tasks else None if all_tasks else tasks_of_table(model, table)
    space = any(task.wanted.of == "space" for task in model.tasks.values())
    if names is not None and not names and not space:
        raise ConfigError(
            f"{table.path}: has nothing that a task of this run needs; it can do {abilities(model.tasks)}"
        )
    found = evaluate_conversion(
        model, splits, tasks=names, table=None if all_tasks else table, most=most, seed=seed, progress=progress
    )
    # Splits of other tables have no retrieval on this one; and who names tasks has not asked for it.
    asked = not tasks or any(model.tasks[name].wanted.of == "space" for name in tasks)
    retrieved = retrieval() if space and asked and (splits is None or set(splits) <= set(table.splits())) else None
    return measured_conversions(model, table, found, on_table=not all_tasks, retrieval=retrieved)


def conversion_tables(result: Mapping[str, Any]) -> list[Grid]:
    """For the terminal: a table a split of each task, with what its figures have to beat and their ceilings."""
    from chiasm.cli.evaluate import make_grid
    from chiasm.evaluate.conversion.figures import figure_rows

    grids: list[Grid] = []
    for name, entry in result.get("conversion", {}).items():
        title = f"{name}: {' + '.join(entry['given'])} → {entry['wanted']}, {entry['table']}"
        for split, part in entry["splits"].items():
            grid = make_grid(f"{title}, {split}", ("measure", "value", "95 %", "n", "to beat", "ceiling"))
            for row in figure_rows(part):
                beside = {
                    kind: "\n".join(f"{one['who']} {one['value']}" for one in row["beside"] if one["kind"] == kind)
                    or "–"
                    for kind in ("baselines", "ceilings")
                }
                ends = row["interval"] or "–"
                grid.add_row(row["name"], row["value"], ends, f"{row['n']:,}", beside["baselines"], beside["ceilings"])
            grids.append(grid)
    return grids
