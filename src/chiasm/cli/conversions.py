"""What `chiasm evaluate` shows of a run that converts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table as Grid


def conversion_tables(result: Mapping[str, Any]) -> list[Grid]:
    """For the terminal: a table a split of each task, with what its figures have to beat and their ceilings."""
    from chiasm.cli.evaluate_tables import make_grid
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
