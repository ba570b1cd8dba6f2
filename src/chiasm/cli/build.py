"""`chiasm build`: any source into a clean, split table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chiasm.cli.output import Json, print_json, say, show

if TYPE_CHECKING:
    from chiasm.dataset.build import BuildResult


def build(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder, a manifest (.jsonl, .csv, .parquet), or a source by name: emoji, emoji-scenes, emoji-motion, "
            "emoji-dialogue, emoji-sessions, spoken-commands, sentiment, python-docs.",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The table to write: a new folder, NAME.lance.", metavar="OUT.lance")],
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
    """
    from chiasm.cli.progress import Progress
    from chiasm.config import BuildConfig, load_config
    from chiasm.dataset.build import build as build_table

    settings = load_config(BuildConfig, config, overrides or ())
    with Progress() as progress:
        result = build_table(source, out, settings, progress=progress, overwrite=overwrite)
    for line in warnings(result):
        say(line)
    if as_json:
        print_json(
            {
                "path": str(result.path),
                "given": result.given,
                "accepted": result.accepted,
                "rejected": result.rejected,
                "dropped_parts": result.dropped_parts,
                "splits": dict(result.splits),
                "ledger": str(result.ledger),
                "reasons": dict(result.reasons),
                "leaks": list(result.leaks),
                "too_small": list(result.too_small),
            }
        )
        return
    lines = [
        f"{result.given:,} given = {result.accepted:,} accepted + {result.rejected:,} rejected",
        "splits: " + ", ".join(f"{name} {count:,}" for name, count in result.splits.items()),
        f"table:  {result.path}",
    ]
    if result.dropped_parts:
        lines.insert(1, f"{result.dropped_parts:,} media dropped from records that were kept")
    if result.rejected or result.dropped_parts:
        lines.append("reasons: " + ", ".join(f"{count:,} × {reason}" for reason, count in result.reasons.items()))
        lines.append(f"ledger: {result.ledger} (every refusal with its reason)")
    show(*lines)
    say(f"next: chiasm train {result.path}")


def warnings(result: BuildResult) -> list[str]:
    """What to know before anything is measured on this table: leaks between the splits, and splits of a row or none."""
    found: list[str] = []
    if result.leaks:
        more = "; …" if len(result.leaks) > 2 else ""
        found.append(
            f"warning: {len(result.leaks):,} leaks between the splits that the source prescribes: "
            f"{'; '.join(result.leaks[:2])}{more}"
        )
    if result.too_small:
        few = ", ".join(f"{name} {result.splits.get(name, 0)}" for name in result.too_small)
        found.append(f"warning: too few rows to measure on ({few}): raise test= or validation=, or give more data")
    return found
