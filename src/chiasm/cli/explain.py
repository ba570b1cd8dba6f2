"""`chiasm explain`: why a model finds a picture, a sound and a text alike, as maps over their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiasm.cli.output import Device, Json, check_file, print_json, say, show

if TYPE_CHECKING:
    from chiasm.evaluate.explain.explain import Explanation


class Method(StrEnum):
    """How relevance is found."""

    gradient = "gradient"
    rollout = "rollout"
    occlusion = "occlusion"
    contribution = "contribution"


def explain(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    text: Annotated[str | None, typer.Option(help="The text.", metavar="TEXT")] = None,
    image: Annotated[Path | None, typer.Option(help="The picture.", metavar="FILE")] = None,
    audio: Annotated[Path | None, typer.Option(help="The sound.", metavar="FILE")] = None,
    method: Annotated[Method, typer.Option(help="How relevance is found.")] = Method.gradient,
    near: Annotated[
        Path | None, typer.Option(help="Also show the nearest records of a table.", metavar="TABLE.lance")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random orders of the check.", metavar="N")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Write a page (.html) or the maps alone (.png).", metavar="FILE")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    as_json: Json = False,
) -> None:
    """Show why a model finds two things alike.

    Give two or three of --text, --image and --audio. Each map is checked: does the likeness fall faster than by chance when the parts that it
    names are taken away, and come back faster when they return?
    """
    from chiasm.api import load
    from chiasm.dataset.table import Table
    from chiasm.errors import ConfigError
    from chiasm.evaluate.explain.explain import explain as find
    from chiasm.evaluate.explain.page import nearest, write_explanation

    if out is not None:
        check_file(out)
        if out.suffix not in (".html", ".htm", ".png"):
            raise ConfigError(f"{out}: a page is named .html, a picture .png")
    given: dict[str, str | Path] = {
        name: value for name, value in (("text", text), ("image", image), ("audio", audio)) if value is not None
    }
    table = None if near is None else Table(near)
    model = load(run, device=device.value)
    found = find(model, text=text, image=image, audio=audio, method=method.value, seed=seed)
    neighbours = {} if table is None else nearest(model, table, given)
    if out is not None:
        write_explanation(out, found, given, run.resolve().name, neighbours)
    if as_json:
        print_json(found.to_json() | _told(neighbours))
        return
    _show(found, neighbours)
    if out is not None:
        say(f"written: {out}")


def _told(neighbours: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The neighbours without their pictures, which are for the page."""
    told = {
        name: [{k: v for k, v in one.items() if k != "picture"} for one in some] for name, some in neighbours.items()
    }
    return {"neighbours": told} if told else {}


def _show(found: Explanation, neighbours: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    show(f"cosine similarity {found.score:.3f}, explained by {found.method}")
    for name, one in found.maps.items():
        if one.names:
            ranked = sorted(zip(one.values.tolist(), one.names, strict=True), reverse=True)
            show(f"{name}: " + ", ".join(f"{word} {value:.3f}" for value, word in ranked[:8]))
        if one.curves is not None:
            areas = one.curves.areas()
            told = f"deleted {areas['deletion']:.3f}, inserted {areas['insertion']:.3f}, random order {areas['random']:.3f}"
            show(f"{name}: area {told}. {one.curves.verdict}")
    for name, some in neighbours.items():
        show(f"nearest to the {name}: " + " · ".join(f"{one['text']} ({one['score']:.2f})" for one in some))
