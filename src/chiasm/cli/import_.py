"""`chiasm import`: public weights into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chiasm.cli.output import Json, check_folder, print_json, say, show


def import_(
    source: Annotated[
        str,
        typer.Argument(help="A folder with config.json and model.safetensors, or a name on the hub.", metavar="SOURCE"),
    ],
    out: Annotated[Path, typer.Argument(help="The run folder to write.", metavar="OUT")],
    as_json: Json = False,
) -> None:
    """Turn public weights (Hugging Face format) into a run folder."""
    check_folder(out)
    from chiasm.train.imported import import_public

    done = import_public(source, out)
    public = done.public
    numbers = sum(tensor.numel() for tensor in public.tensors.values())
    if as_json:
        print_json(
            {
                "run": str(out),
                "system": public.spec.name,
                "size": public.size.model_dump(mode="json"),
                "numbers": numbers,
                "fresh": list(public.fresh),
                "left_over": list(public.left_over),
                "tokenizer": done.tokenizer,
            }
        )
        return
    show(f"{public.spec.title}: {numbers:,} numbers", f"run: {out}")
    for names, what in (
        (public.fresh, "not in the source, random weights"),
        (public.left_over, "of no use here, left out"),
    ):
        if names:
            say(f"{what}: {', '.join(names[:8])}{f' and {len(names) - 8} more' if len(names) > 8 else ''}")
    if not done.tokenizer and "text" in public.spec.inputs:
        say("its tokenizer is not of chiasm's kind and stays behind: these weights take token numbers")
    say(f"next: train from it with system={public.spec.name} init={out}")
