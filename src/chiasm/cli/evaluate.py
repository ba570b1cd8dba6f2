"""`chiasm evaluate`: retrieval in every direction, with intervals, a linear baseline and chance beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiasm.cli.output import Device, Json, check_file, print_json, say, show
from chiasm.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.table import Table as Grid

    from chiasm.dataset.table import Table


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    table: Annotated[Path, typer.Argument(help="A table made by `chiasm build`.", metavar="TABLE.lance")],
    split: Annotated[
        list[str] | None,
        typer.Option(help="A split to evaluate; may be repeated.  [default: all but train]", metavar="NAME"),
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Also fit the linear baseline (PCA + CCA).")
    ] = True,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a run that converts: a task to measure on TABLE; may be repeated.  [default: those trained on it]",
            metavar="NAME",
        ),
    ] = None,
    all_tasks: Annotated[
        bool, typer.Option("--all-tasks", help="Measure every task of a run that converts, each on its own table.")
    ] = False,
    most: Annotated[
        int, typer.Option(min=1, help="Records a conversion task and split, at most, drawn evenly.", metavar="N")
    ] = 500,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="What to measure beside retrieval: zero_shot, fairness, association, downstream, probes, pointing; may be repeated.  "
            "[default: all that the run and the table allow]",
            metavar="NAME",
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="A label whose values are the groups of the fairness tables; may be repeated.  [default: those of few large groups]",
            metavar="LABEL",
        ),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Another run, to be compared with on the same questions.", metavar="OTHER_RUN")
    ] = None,
    ratings: Annotated[
        Path | None,
        typer.Option(
            help="Pairs of texts rated by people, a line of {a, b, score} each: Spearman's correlation.", metavar="FILE"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the intervals' resampling.", metavar="N")] = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON to a file.", metavar="FILE")] = None,
    report: Annotated[Path | None, typer.Option(help="Also write the HTML report.", metavar="FILE")] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    as_json: Json = False,
) -> None:
    """Measure a model on a table: retrieval and zero-shot.

    A run with conversion tasks is measured by what each of them writes, and by retrieval where it has a space.

    A named system that embeds nothing is measured by what suits it: words filled in, questions answered, objects found …

    What else is measured (who is served worse, probes of order and count, explanations against boxes …): docs/evaluation.md.
    """
    from chiasm.cli.conversions import conversion_tables, measure_converting
    from chiasm.cli.evaluate_tables import against_tables, further_tables
    from chiasm.cli.progress import Progress
    from chiasm.dataset.table import Table
    from chiasm.evaluate.pages.report import write_report
    from chiasm.evaluate.protocols.against import against as compare
    from chiasm.evaluate.protocols.similarity import rated_similarity, read_ratings
    from chiasm.evaluate.retrieval.protocol import check_protocols
    from chiasm.evaluate.retrieval.protocol import evaluate as run_protocols
    from chiasm.train.converting import ConvertingModel
    from chiasm.train.model import load
    from chiasm.train.system_model import holds_system, read_system

    for file in (out, report):
        if file is not None:
            check_file(file)  # before the work, not after it
    check_protocols(protocol or None)
    rated = None if ratings is None else read_ratings(ratings)
    opened = Table(table)
    if holds_system(run):
        from chiasm.train.system_embedder import embeds

        if not embeds(read_system(run).spec):
            if report is not None or task or all_tasks or against is not None:
                raise ConfigError(
                    f"{run}: a named system that embeds nothing has no tasks, no report, and no space to compare"
                )
            _evaluate_system(run, opened, split or [], out, device.value, as_json)
            return
    model = load(run, device=device.value, remember=report is not None or against is not None)
    other = None if against is None else load(against, device=device.value)
    converting = model if isinstance(model, ConvertingModel) else None
    if converting is None and (task or all_tasks):
        raise ConfigError(f"{run}: has no conversion tasks to choose from")
    with Progress() as progress:

        def measure() -> dict[str, Any]:
            return run_protocols(
                model, opened, splits=split or None, baseline=baseline, seed=seed, protocols=protocol or None, by=by or None,
                progress=progress,
            ).to_json()  # fmt: skip

        if converting is None:
            result = measure()
        else:
            result = measure_converting(
                converting, opened, split or None, task or None, all_tasks, most, seed, progress, measure
            )
        if rated is not None:
            result["ratings"] = rated_similarity(model, rated, seed) | {"file": ratings.name if ratings else ""}
        if other is not None and against is not None:
            found = compare(model, other, opened, splits=split or None, seed=seed, progress=progress)
            result["against"] = {"run": str(against), "identity": other.identity, "splits": found}
            if not any(found.values()):
                result["left_out"]["against"] = "the splits measured hold no query that both runs can be asked"
        if report is not None:
            write_report(run, opened, model, result, report, progress=progress)
    if result["splits"] and all(facts["role"] != "test" for facts in result["splits"].values()):
        say(no_test(opened.splits(), result["splits"]))
    if not (result["splits"] or result["conversion"]):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in result["left_out"].items())
        raise DataError(
            f"{table}: nothing of what this model does can be measured on it" + (f" ({reasons})" if reasons else "")
        )
    if out is not None:
        write_json(out, result)
    if as_json:
        print_json(result)
        return
    show(*tables(result), *further_tables(result), *against_tables(result), *conversion_tables(result))
    for name, reason in result["left_out"].items():
        say(f"left out: {name}: {reason}")
    if result["unreadable"]:
        first = result["unreadable"][0]
        count = len(result["unreadable"])
        say(f"{count:,} items could not be read; the first: {first['id']}: {first['message']}")
    for file in (out, report):
        if file is not None:
            say(f"written: {file}")


def _evaluate_system(run: Path, table: Table, splits: list[str], out: Path | None, device: str, as_json: bool) -> None:
    from dataclasses import asdict

    from chiasm.cli.progress import Progress
    from chiasm.evaluate.comparison.measured import held_out_split, measure_run, run_config_of
    from chiasm.train.system_model import read_system

    found = read_system(run)
    names = splits or [held_out_split(table, run_config_of(found).data)]
    measures: dict[str, Any] = {}
    with Progress() as progress:
        for name in names:
            measured = measure_run(run, table.path, name, device, progress)
            measures[name] = asdict(measured) | {"beats_chance": measured.beats_chance}
    result = {"system": found.spec.name, "measures": measures, "run": str(run), "table": str(table.path)}
    if out is not None:
        write_json(out, result)
    if as_json:
        print_json(result)
        return
    grid = make_grid(found.spec.title, ("split", "measure", "value", "95 %", "chance", "n"))
    for name, one in measures.items():
        interval = f"{one['low']:.3f}–{one['high']:.3f}"
        grid.add_row(name, one["name"], f"{one['value']:.3f}", interval, f"{one['chance']:.3f}", f"{one['n']:,}")
        for beside, value in one["beside"].items():
            grid.add_row("", beside, f"{value:.3f}")
    show(grid)
    if not all(one["beats_chance"] for one in measures.values()):
        say("note: the interval reaches down to chance")
    if out is not None:
        say(f"written: {out}")


def no_test(splits: Mapping[str, int], evaluated: Mapping[str, Any]) -> str:
    """What figures that come of no test split are worth. splits: the table's; evaluated: the facts of those
    measured.
    """
    used = {"validation": "the training's learning curves were drawn from it", "train": "the model was trained on it"}
    roles = {facts["role"]: name for name, facts in evaluated.items()}
    told = "; ".join(f"{roles[role]}: {words}" for role, words in used.items() if role in roles)
    others = [name for name in splits if name not in evaluated and name not in ("train", "validation")]
    there = f"this table has {', '.join(others)} to test on" if others else "this table has no test split"
    return f"note: no test split was measured ({told}); {there}"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf8")


def tables(result: Mapping[str, Any]) -> list[Grid]:
    """An evaluation for the terminal: one table a split and gallery, and the zero-shot figures."""
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
