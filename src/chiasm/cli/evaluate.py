"""`chiasm evaluate`: retrieval in every direction, with intervals, a linear baseline and chance beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiasm.cli.output import Device, Json, check_file, print_json, say, show

if TYPE_CHECKING:
    from chiasm.dataset.table import Table


def evaluate(
    run: Annotated[
        Path, typer.Argument(help="A run folder; `starter` is the checkpoint that is shipped.", metavar="RUN")
    ],
    table: Annotated[Path, typer.Argument(help="A table made by `chiasm build`.", metavar="TABLE.lance")],
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="A split to evaluate; may be repeated. `left_out_makers`: what tasks left out of train for its makers.  [default: all but train]",
            metavar="NAME",
        ),
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
            help="What to measure beside retrieval: zero_shot, captions, fairness, association, downstream, probes, pointing, finetune; may "
            "be repeated. Conversion tasks are then measured only where --task names them.  [default: all that the run and the table allow, "
            "but finetune, which trains]",
            metavar="NAME",
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="A label whose values are the groups of the fairness tables, and that finetune learns; may be repeated.  "
            "[default: those of few large groups; all]",
            metavar="LABEL",
        ),
    ] = None,
    finetune_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps of 64 records that each fine-tuning takes.  [default: 300, or as many as --finetune-minutes allow]",
            metavar="N",
        ),
    ] = None,
    finetune_minutes: Annotated[
        float | None, typer.Option(min=0.001, help="Minutes that each fine-tuning takes at most.", metavar="M")
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
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the intervals' resampling, and of fine-tuning.", metavar="N")
    ] = 0,
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
    from chiasm.cli.evaluate_job import Job, measure
    from chiasm.cli.evaluate_named import is_named, measure_named, named_table
    from chiasm.cli.evaluate_tables import all_tables
    from chiasm.dataset.table import Table

    for file in (out, report):
        if file is not None:
            check_file(file)  # before the work, not after it
    job = Job(
        run, Table(table), split or [], baseline, task or [], all_tasks, most, protocol or [], by or [], against, ratings, seed, report,
        device.value, finetune_steps, finetune_minutes,
    )  # fmt: skip
    named = is_named(job)
    result = measure_named(job) if named else measure(job)
    if not named:
        _note_no_test(job.table, result)
    if out is not None:
        write_json(out, result)
    if as_json:
        print_json(result)
        return
    if named:
        show(named_table(result))
    else:
        show(*all_tables(result))
        _note_left_out(result)
    for file in (out, report):
        if file is not None:
            say(f"written: {file}")


def _note_no_test(table: Table, result: Mapping[str, Any]) -> None:
    if result["splits"] and all(facts["role"] != "test" for facts in result["splits"].values()):
        say(no_test(table.splits(), result["splits"]))


def _note_left_out(result: Mapping[str, Any]) -> None:
    for name, reason in result["left_out"].items():
        say(f"left out: {name}: {reason}")
    if result["unreadable"]:
        first = result["unreadable"][0]
        count = len(result["unreadable"])
        say(f"{count:,} items could not be read; the first: {first['id']}: {first['message']}")


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
