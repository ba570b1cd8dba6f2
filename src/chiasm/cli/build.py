"""`chiasm build`: any source into a clean, split table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiasm.cli.output import Json, counted, print_json, say, show
from chiasm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chiasm.config import BuildConfig
    from chiasm.dataset.build import BuildResult
    from chiasm.dataset.steps import StepReport
    from chiasm.types import Embedder


def build(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder or archive of files, of pairs or in a published layout; a manifest (.jsonl, .csv, .parquet, .arrow); a chiasm "
            "table (NAME.lance, also s3://…); or a source by name: emoji, emoji-scenes, emoji-motion, emoji-dialogue, emoji-sessions, "
            "spoken-commands, sentiment, python-docs.",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            help="The table to write: a new folder, NAME.lance, or s3://BUCKET/NAME.lance.", metavar="OUT.lance"
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings, e.g. seed=1 test=0.2 limit=1000.", metavar="KEY=VALUE"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("-c", "--config", help="Settings from a file.", metavar="BUILD.yaml")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a table that is there already.")] = False,
    as_json: Json = False,
) -> None:
    """Turn a source into a clean, split table.

    Files that belong together have the same name: cat.png, cat.txt, cat.wav.
    What cannot be read goes to the rejects ledger with its reason: given = accepted + rejected.

    Every input is read and measured once; then the steps clean, align, extract, dedup, label, reduce, split and augment look at all of them, as
    their sections of the settings ask (docs/configuration.md). Each can be run alone, on a table: chiasm build a.lance b.lance
    "steps=[dedup]" dedup.near=remove

    A build that was interrupted goes on where it was when it is started again. engine.runner=ray does the same work on a Ray cluster.
    """
    from chiasm.cli.progress import Progress
    from chiasm.config import BuildConfig, load_config
    from chiasm.dataset.build import build as build_table
    from chiasm.dataset.place import plain

    settings = load_config(BuildConfig, config, overrides or ())
    if settings.report.fail_if:
        from chiasm.evaluate.data.checks import validate

        validate(settings.report.fail_if)  # before the work, not after it
    try:
        with Progress() as progress:
            result = build_table(
                source, out, settings, progress=progress, overwrite=overwrite, model=_model(settings.model), told=say
            )
    except KeyboardInterrupt:
        say("what was read and checked is kept: the same command goes on from there")
        raise
    for line in warnings(result):
        say(line)
    if as_json:
        print_json(_as_json(result))
    else:
        show(*_lines(result))
    _check(result, settings)
    if not as_json:
        say(f"next: chiasm train {plain(result.path)}")


def _check(result: BuildResult, settings: BuildConfig) -> None:
    """Raises DataError where the table, which stays, meets a condition of `report.fail_if`."""
    if not settings.report.fail_if:
        return
    from chiasm.cli.progress import Progress
    from chiasm.dataset.table import Table
    from chiasm.evaluate.data.report import failures

    with Progress() as progress:
        failed = failures(Table(result.path), settings.report, progress=progress)
    if failed:
        raise DataError("; ".join(failed))


def _model(run: str | None) -> Embedder | None:
    if run is None:
        return None
    from chiasm.api import load

    return load(run)


def _lines(result: BuildResult) -> list[str]:
    from chiasm.dataset.place import plain

    lines = [f"{result.given:,} given = {result.accepted:,} accepted + {result.rejected:,} rejected"]
    if result.dropped_parts:
        parts = counted(result.dropped_parts, "part", "parts")
        lines.append(f"{parts} (media, texts, boxes) dropped from records that were kept")
    lines += [_step(report) for report in result.steps]
    if result.added:
        lines.append(
            f"{counted(result.accepted + result.added, 'row')} = {result.accepted:,} accepted + {result.added:,} added"
        )
    lines.append("splits: " + ", ".join(f"{name} {count:,}" for name, count in result.splits.items()))
    lines.append(f"table:  {plain(result.path)}")
    if result.reasons:
        lines.append("reasons: " + ", ".join(f"{count:,} × {reason}" for reason, count in result.reasons.items()))
        lines.append(f"ledger: {plain(result.ledger)} (every refusal with its reason)")
    return lines


def _step(report: StepReport) -> str:
    """One line: its rows in and out, and why."""
    why = [f"{count:,} × {reason}" for reason, count in report.reasons.items()]
    why += [
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.3g}"
        for name, value in report.facts.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    why += _inner(report.facts)
    if "note" in report.facts:
        why.append(str(report.facts["note"]))
    change = f"{report.given:,} → {report.kept:,}" + (f" + {report.added:,} added" if report.added else "")
    return f"{report.step}: {change}" + (f" ({', '.join(why)})" if why else "")


_TOLD = ("used", "labelled", "found", "explained")
"""What is told of the parts of a step, e.g. of one label's teacher; --json has all of it."""


def _inner(facts: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[str]:
    told: list[str] = []
    for name, value in facts.items():
        if path and name == "used" and isinstance(facts.get("refused"), dict):
            told.append(f"{' '.join(path)}: {_used_of(facts)}")
        elif isinstance(value, dict):
            told += _inner(value, (*path, name))
        elif path and name in _TOLD and isinstance(value, (int, float)):
            told.append(f"{' '.join(path)}: {name} {f'{value:,}' if isinstance(value, int) else f'{value:.3g}'}")
    return told


def _used_of(facts: Mapping[str, Any]) -> str:
    """What became of the lines that people gave (dataset/label_manual.py)."""
    refused = ", ".join(f"{reason} {count:,}" for reason, count in sorted(facts["refused"].items()))
    return f"used {facts['used']:,} of {facts['given']:,}" + (f" ({refused})" if refused else "")


def _as_json(result: BuildResult) -> dict[str, Any]:
    from dataclasses import asdict

    from chiasm.dataset.place import plain

    return {**asdict(result), "path": plain(result.path), "ledger": plain(result.ledger)}


def warnings(result: BuildResult) -> list[str]:
    """What to know before anything is measured on this table: leaks between the splits, splits of a row or none or of a
    misprinted name, and languages that are no codes."""
    from chiasm.dataset.splitting import meant_split

    found: list[str] = []
    if result.leaks_total:
        more = "; …" if result.leaks_total > 2 else ""
        found.append(
            f"warning: {counted(result.leaks_total, 'leak')} between the splits that the source prescribes: "
            f"{'; '.join(result.leaks[:2])}{more}"
        )
    if result.too_small:
        few = ", ".join(f"{name} {result.splits.get(name, 0)}" for name in result.too_small)
        found.append(
            f"warning: too few rows to measure on ({few}): raise test= or validation=, or give more data; "
            "where the source prescribes its splits, those are kept unless split.prescribed=repair or ignore"
        )
    for name, count in result.splits.items():
        if (meant := meant_split(name)) is not None:
            found.append(f"warning: {name} is a split of its own, of {counted(count, 'row')}; did you mean {meant}?")
    if odd := result.reasons.get("language"):
        found.append(
            f"warning: {counted(odd, 'language')} of the manifest {'is no code' if odd == 1 else 'are no codes'} of ISO 639 (such as en); "
            f"the ledger names {'it' if odd == 1 else 'them'}; texts keep what they have"
        )
    return found
