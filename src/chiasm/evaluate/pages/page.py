"""Every page is rendered and written here: one HTML file that needs nothing else, all data in it escaped."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from chiasm.errors import MachineError
from chiasm.evaluate.pages.charts import number
from chiasm.evaluate.pages.facts import arrow, percent


def render(template: str, *, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """The page of a template of evaluate/templates and its values. filters: beside percent, number, arrow and linked. `made`, when it was
    made, is there for all."""
    pages = Environment(
        loader=PackageLoader("chiasm.evaluate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters.update(percent=percent, number=number, arrow=arrow, linked=linked)
    pages.filters.update(filters or {})
    return pages.get_template(template).render(made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), **values)


def linked(text: object) -> Markup:
    """Escaped text in which web addresses are links: attributions ask for them."""
    pieces = re.split(r"(https?://[^\s<>\"')\]]+[^\s<>\"')\].,;])", str(text))
    return Markup("").join(
        Markup('<a href="{0}" rel="noopener noreferrer">{0}</a>').format(piece) if i % 2 else escape(piece)
        for i, piece in enumerate(pieces)
    )


def write_page(out: Path, page: str) -> None:
    """Write `page` whole or not at all. Raises MachineError."""
    part = out.with_name(f".{out.name}.part-{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf8", errors="replace")
        part.replace(out)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise MachineError(f"{out}: the report cannot be written: {error.strerror or error}") from None
