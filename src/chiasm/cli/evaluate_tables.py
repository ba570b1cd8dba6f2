"""For the terminal: what an evaluation found beside retrieval, a table a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table as Grid


def further_tables(result: Mapping[str, Any]) -> list[Grid]:
    """Fairness, probes, pointing and downstream of each split; those of which there is anything."""
    makers = {"fairness": _fairness, "probes": _probes, "pointing": _pointing, "downstream": _downstream}
    grids = [
        make(split, found) for name, make in makers.items() for split, found in result.get(name, {}).items() if found
    ]
    return grids + ([_ratings(result["ratings"])] if "ratings" in result else [])


def against_tables(result: Mapping[str, Any]) -> list[Grid]:
    from chiasm.cli.evaluate import make_grid

    if "against" not in result:
        return []
    names = ("split", "query", "metric", "this", "other", "difference", "95 %", "p", "better")
    grid = make_grid(f"against {result['against']['run']}", names)
    for split, queries in result["against"]["splits"].items():
        for query, entry in queries.items():
            for metric in ("r1", "map", "accuracy"):
                if metric in entry:
                    one = entry[metric]
                    figures = (
                        f"{one['value']:.3f}",
                        f"{one['other']:.3f}",
                        f"{one['difference']:+.3f}",
                        _ends(one["interval"]),
                    )
                    grid.add_row(
                        _text(split), _text(_arrow(query)), metric, *figures, f"{one['p']:.3f}", one["better"] or "–"
                    )
    return [grid]


def _fairness(split: str, found: Mapping[str, Any]) -> Grid:
    from chiasm.cli.evaluate import make_grid

    grid = make_grid(f"{split}: by group", ("by", "query", "gap", "95 %", "p (Holm)", "best", "worst"))
    for attribute, queries in found.items():
        for query, entry in queries.items():
            metric = entry["tested"]
            gap, table = entry["gap"][metric], entry["groups"]
            ends = [f"{gap[end]} {table[gap[end]][metric]:.2f}" for end in ("best", "worst")]
            least = min(one["holm"] for one in table.values())
            figures = (f"{gap['value']:.3f}", _ends(gap["interval"]), f"{least:.3f}")
            grid.add_row(_text(attribute), _text(_arrow(query)), *figures, *map(_text, ends))
    return grid


def _probes(split: str, found: Mapping[str, Any]) -> Grid:
    from chiasm.cli.evaluate import make_grid

    grid = make_grid(f"{split}: probes", ("probe", "value", "95 %", "chance", "n"))
    for probe, one in found.items():
        rows = (
            {f"likeness of {name}: Spearman": e for name, e in one.items()} if probe == "similarity" else {probe: one}
        )
        for name, entry in rows.items():
            grid.add_row(name, *_rated(entry))
    return grid


def _ratings(one: Mapping[str, Any]) -> Grid:
    from chiasm.cli.evaluate import make_grid

    grid = make_grid("ratings by people", ("file", "Spearman", "95 %", "chance", "n"))
    grid.add_row(_text(one["file"]), *_rated(one))
    return grid


def _rated(entry: Mapping[str, Any]) -> tuple[str, ...]:
    value = entry.get("accuracy", entry.get("spearman"))
    figure = "–" if value is None else f"{value:.3f}"
    return figure, _ends(entry["interval"]), f"{entry.get('chance', 0):.3f}", f"{entry['n']:,}"


def _pointing(split: str, found: Mapping[str, Any]) -> Grid:
    from chiasm.cli.evaluate import make_grid

    names = (
        "method",
        "in the box",
        "95 %",
        "chance",
        "untrained",
        "other name",
        "deletion gain",
        "insertion gain",
        "n",
    )
    grid = make_grid(f"{split}: is the map's highest point inside the named thing's box?", names)
    for method, one in found.items():
        beside = [f"{one[name]:.3f}" if name in one else "–" for name in ("chance", "untrained", "other")]
        gains = [f"{one[name]['value']:+.3f}" if name in one else "–" for name in ("deletion_gain", "insertion_gain")]
        grid.add_row(method, f"{one['accuracy']:.3f}", _ends(one["interval"]), *beside, *gains, f"{one['n']:,}")
    return grid


def _downstream(split: str, found: Mapping[str, Any]) -> Grid:
    from chiasm.cli.evaluate import make_grid

    names = ("item", "label", "linear probe", "95 %", "kNN", "k a class", "majority", "n")
    grid = make_grid(f"{split}: what the vectors can be used for", names)
    for modality, labels in found.items():
        for label, one in labels.items():
            probe, shots = one["linear_probe"], list(one["few_shot"].items())
            few = ", ".join(f"{k}: {entry['mean']:.2f}" for k, entry in (shots[:1] + shots[1:][-1:]))
            figures = (f"{probe['accuracy']:.3f}", _ends(probe["interval"]), f"{one['knn']['accuracy']:.3f}", few)
            grid.add_row(modality, _text(label), *figures, f"{one['majority']:.3f}", f"{one['n']:,}")
    return grid


def _ends(interval: list[float]) -> str:
    return f"{interval[0]:.3f}–{interval[1]:.3f}" if interval[0] >= 0 else f"{interval[0]:.3f} … {interval[1]:.3f}"


def _arrow(query: str) -> str:
    return query.replace("->", " → ")


def _text(words: str) -> str:
    """Names come from data: they are never read as markup."""
    from rich.markup import escape

    return escape(words)
