"""For the terminal: what an evaluation found, a table a split and protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table as Grid


def all_tables(result: Mapping[str, Any]) -> list[Grid]:
    """What `evaluate_job.measure` gives."""
    from chiasm.cli.conversions import conversion_tables

    ratings = [_ratings(result["ratings"])] if "ratings" in result else []
    further = [
        make(split, found) for name, make in _FURTHER.items() for split, found in result.get(name, {}).items() if found
    ]
    return [*_retrieval_tables(result), *further, *ratings, *_against_tables(result), *conversion_tables(result)]


def _retrieval_tables(result: Mapping[str, Any]) -> list[Grid]:
    """One table a split and gallery, and the zero-shot figures."""
    galleries = {"retrieval": "among the split's own items", "retrieval_full": "among all items of the table"}
    grids = [
        retrieval_table(f"{split}: {gallery}", directions)
        for key, gallery in galleries.items()
        for split, directions in result[key].items()
        if directions
    ]
    labelled = [
        (split, modality, label, entry)
        for split, by_modality in result["zero_shot"].items()
        for modality, by_label in by_modality.items()
        for label, entry in by_label.items()
    ]
    return [*grids, *([_zero_shot_table(labelled)] if labelled else [])]


def retrieval_table(title: str, directions: Mapping[str, Any]) -> Grid:
    """Each direction's figures; R@1 with its 95 % interval, the baseline's and chance's."""
    figures = ("R@1", "95 %", "R@5", "R@10", "median rank", "mAP", "baseline R@1", "chance R@1")
    grid = make_grid(title, ("query → found", "n", "gallery", *figures))
    for direction, entry in directions.items():
        low, high = entry["interval"]["r1"]
        baseline = entry.get("baseline")
        grid.add_row(
            direction.replace("->", " → "),
            f"{entry['n']:,}",
            f"{entry['gallery']:,}",
            f"{entry['r1']:.3f}",
            f"{low:.3f}–{high:.3f}",
            f"{entry['r5']:.3f}",
            f"{entry['r10']:.3f}",
            f"{entry['median_rank']:g}",
            f"{entry['map']:.3f}",
            f"{baseline['r1']:.3f}" if baseline else "–",
            f"{entry['chance']['r1']:.4f}",
        )
    return grid


def _zero_shot_table(labelled: list[tuple[str, str, str, Mapping[str, Any]]]) -> Grid:
    from rich.markup import escape

    figures = ("n", "classes", "accuracy", "95 %", "majority", "chance")
    grid = make_grid("zero-shot classification", ("split", "item", "label", *figures))
    for split, modality, label, entry in labelled:
        low, high = entry["interval"]
        grid.add_row(
            escape(split),
            modality,
            escape(label),
            f"{entry['n']:,}",
            str(entry["classes"]),
            f"{entry['accuracy']:.3f}",
            f"{low:.3f}–{high:.3f}",
            f"{entry['majority']:.3f}",
            f"{entry['chance']:.4f}",
        )
    return grid


def make_grid(title: str, names: tuple[str, ...]) -> Grid:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as Grid
    from rich.text import Text

    # Names of splits and labels come from data: as Text they are never read as markup.
    grid = Grid(title=Text(title, "bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(names):
        grid.add_column(name, justify="left" if place == 0 else "right", no_wrap=True)
    return grid


def _against_tables(result: Mapping[str, Any]) -> list[Grid]:
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


def _captions(split: str, found: Mapping[str, Any]) -> Grid:
    names = ("query → found", "n", "gallery", "R@1", "95 %", "R@5", "R@10", "median", "mAP", "chance")
    grid = make_grid(f"{split}: several captions each, any of its own is right; folds apart", names)
    for one in found.values():
        searches = {"": one["all"]}
        if "folds" in one:
            searches[f", {one['folds']['count']} × {one['folds']['size']:,}"] = one["folds"]["directions"]
        for words, directions in searches.items():
            for way, e in directions.items():
                ranks = (f"{e['r5']:.3f}", f"{e['r10']:.3f}", f"{e['median_rank']:g}", f"{e['map']:.3f}")
                ends = _ends(e["interval"]["r1"])
                grid.add_row(
                    _arrow(way) + words,
                    f"{e['n']:,}",
                    f"{e['gallery']:,}",
                    f"{e['r1']:.3f}",
                    ends,
                    *ranks,
                    f"{e['chance']['r1']:.4f}",
                )
    return grid


def _fairness(split: str, found: Mapping[str, Any]) -> Grid:
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


def _association(split: str, found: Mapping[str, Any]) -> Grid:
    grid = make_grid(f"{split}: association with words (WEAT)", ("by", "sense", "groups", "effect", "p (Holm)", "n"))
    for label, senses in found.items():
        for sense, pairs in senses.items():
            for groups, one in pairs.items():
                sizes = " + ".join(map(str, one["n"][:2]))
                grid.add_row(*map(_text, (label, sense, groups)), f"{one['effect']:.2f}", f"{one['holm']:.3f}", sizes)
    return grid


def _probes(split: str, found: Mapping[str, Any]) -> Grid:
    grid = make_grid(f"{split}: probes", ("probe", "value", "95 %", "chance", "n"))
    for probe, one in found.items():
        rows = (
            {f"likeness of {name}: Spearman": e for name, e in one.items()} if probe == "similarity" else {probe: one}
        )
        for name, entry in rows.items():
            grid.add_row(name, *_rated(entry))
    return grid


def _ratings(one: Mapping[str, Any]) -> Grid:
    grid = make_grid("ratings by people", ("file", "Spearman", "95 %", "chance", "n"))
    grid.add_row(_text(one["file"]), *_rated(one))
    return grid


def _rated(entry: Mapping[str, Any]) -> tuple[str, ...]:
    value = entry.get("accuracy", entry.get("spearman"))
    figure = "–" if value is None else f"{value:.3f}"
    return figure, _ends(entry["interval"]), f"{entry.get('chance', 0):.3f}", f"{entry['n']:,}"


def _pointing(split: str, found: Mapping[str, Any]) -> Grid:
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
    names = ("item", "label", "linear probe", "95 %", "kNN", "k a class", "majority", "n")
    grid = make_grid(f"{split}: what the vectors can be used for", names)
    for modality, labels in found.items():
        for label, one in labels.items():
            probe, shots = one["linear_probe"], list(one["few_shot"].items())
            few = ", ".join(f"{k}: {entry['mean']:.2f}" for k, entry in (shots[:1] + shots[1:][-1:]))
            figures = (f"{probe['accuracy']:.3f}", _ends(probe["interval"]), f"{one['knn']['accuracy']:.3f}", few)
            grid.add_row(modality, _text(label), *figures, f"{one['majority']:.3f}", f"{one['n']:,}")
    return grid


def _finetune(split: str, found: Mapping[str, Any]) -> Grid:
    names = ("item", "label", "accuracy", "95 %", "probe", "95 %", "gain", "95 %", "majority", "n")
    grid = make_grid(f"{split}: what the encoder becomes, fine-tuned whole, beside the linear probe", names)
    for modality, labels in found.items():
        for label, one in labels.items():
            probe, gain = one["linear_probe"], one["gain"]
            figures = (
                *(f"{one['accuracy']:.3f}", _ends(one["interval"])),
                *(f"{probe['accuracy']:.3f}", _ends(probe["interval"])),
                *(f"{gain['value']:+.3f}", f"{gain['interval'][0]:+.3f} … {gain['interval'][1]:+.3f}"),
            )
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


_FURTHER = {
    "captions": _captions,
    "fairness": _fairness,
    "association": _association,
    "probes": _probes,
    "pointing": _pointing,
    "downstream": _downstream,
    "finetune": _finetune,
}
