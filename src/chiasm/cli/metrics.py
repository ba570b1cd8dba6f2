"""`chiasm metrics`: figures of results that stand in plain files, whatever made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chiasm.cli.output import Json, check_file, print_json, say, show
from chiasm.errors import ConfigError, DataError
from chiasm.modalities.languages import ISO_639_1

if TYPE_CHECKING:
    from chiasm.evaluate.metrics.files import Line
    from chiasm.evaluate.metrics.kinds_texts import Found

NAMES = "caption, vqa, retrieval, classification, asr, translation, detection, segmentation, generation, language, representation, recommendation"


TEXTS = ("caption", "vqa", "asr", "translation", "generation")
"""The kinds whose texts are taken apart."""


def metrics(
    kind: Annotated[str, typer.Argument(help=f"What the lines hold: {NAMES}.", metavar="KIND")],
    files: Annotated[
        list[Path],
        typer.Argument(help="JSON lines, one object with an id an item; one file a system.", metavar="F.jsonl…"),
    ],
    tokenized: Annotated[
        bool, typer.Option("--tokenized", help="Take texts as they are, words parted by spaces.")
    ] = False,
    language: Annotated[
        str,
        typer.Option(help="Of the texts, in two letters: zh and ja are taken apart by characters.", metavar="CODE"),
    ] = "en",
    open_answers: Annotated[
        bool, typer.Option("--open", help="Of vqa: CIDEr of the answers as well, for those of more than a word or two.")
    ] = False,
    per_item: Annotated[
        Path | None, typer.Option(help="Also write the figures of each item, as JSON lines.", metavar="OUT")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure results in plain files: captions, answers, boxes …

    What each kind reads and gives stands in docs/metrics.md. No model is needed.
    """
    from chiasm.evaluate.metrics.files import read_lines
    from chiasm.evaluate.metrics.kinds import KINDS, measure
    from chiasm.evaluate.metrics.kinds_texts import Asked

    if kind not in KINDS:
        raise ConfigError(f"no metrics of kind {kind!r}; there are {', '.join(KINDS)}")
    _check_options(kind, tokenized, language, open_answers)
    if per_item is not None:
        if len(files) > 1:
            raise ConfigError("--per-item writes one file: give one file of results")
        if per_item.resolve() == files[0].resolve():
            raise ConfigError(f"--per-item: {per_item} is what is read; give the figures of its items another name")
        check_file(per_item)
    asked = Asked(tokenized, language.lower().split("-")[0], open_answers)
    results: dict[str, dict[str, float]] = {}
    ids: dict[str, set[str]] = {}
    for file in files:
        lines = read_lines(file)
        ids[str(file)] = {line.id for line in lines}
        try:
            found = measure(kind, lines, asked)
        except DataError as error:
            said = str(error)
            raise DataError(said if said.startswith(str(file)) else f"{file}: {said}") from None
        results[str(file)] = dict(found.figures)
        if per_item is not None:
            _write_items(per_item, kind, lines, found)
    _note_other_items(ids)
    if as_json:
        print_json(results if len(results) > 1 else next(iter(results.values())))
        return
    _show(kind, results)
    if per_item is not None:
        say(f"written: {per_item}")


def _check_options(kind: str, tokenized: bool, language: str, open_answers: bool) -> None:
    """Raises ConfigError for what would be passed over in silence."""
    if open_answers and kind != "vqa":
        raise ConfigError(f"--open is for vqa; {kind} has no answers")
    if kind not in TEXTS and (tokenized or language != "en"):
        raise ConfigError(f"--tokenized and --language are for texts ({', '.join(TEXTS)}); {kind} takes none apart")
    if language.lower().split("-")[0] not in ISO_639_1:
        raise ConfigError(
            f"--language: {language!r} is no language of ISO 639-1; there are zh and ja, which are taken apart by characters, and en, de, fr "
            "… by words"
        )


def _note_other_items(ids: Mapping[str, set[str]]) -> None:
    """Figures of different items do not compare."""
    shared = set.intersection(*ids.values())
    own = {name: len(some - shared) for name, some in ids.items()}
    if any(own.values()):
        told = ", ".join(f"{count:,} more in {name}" for name, count in own.items() if count)
        say(f"note: not the same items, so the figures do not compare: {len(shared):,} in all files, {told}")


def _write_items(path: Path, kind: str, lines: list[Line], found: Found) -> None:
    if not found.items:
        raise ConfigError(f"metrics of kind {kind!r} are of the whole file: there is nothing for --per-item")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf8") as out:
        for place, line in enumerate(lines):
            figures = {name: float(values[place]) for name, values in found.items.items()}
            out.write(json.dumps({"id": line.value["id"], **figures}, ensure_ascii=False) + "\n")


def _show(kind: str, results: dict[str, dict[str, float]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table as Grid

    grid = Grid(title=kind, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    grid.add_column("")
    for file in results:
        grid.add_column(escape(Path(file).name), justify="right")
    names = list(dict.fromkeys(name for figures in results.values() for name in figures))
    for name in names:
        grid.add_row(name, *(f"{figures[name]:.4f}" if name in figures else "–" for figures in results.values()))
    show(grid)
