"""Stage 1: where records come from."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from chiasm.errors import DataError
from chiasm.sources.source import Progress, Source

if TYPE_CHECKING:
    from chiasm.config import BuildConfig

__all__ = ["EMBEDDED", "Progress", "Source", "open_source"]


EMBEDDED = {
    "emoji": ("emoji", "EmojiSource"),
    "emoji-scenes": ("scenes", "SceneSource"),
    "emoji-motion": ("motion", "MotionSource"),
    "emoji-dialogue": ("dialogue", "DialogueSource"),
    "emoji-sessions": ("sessions", "SessionSource"),
    "spoken-commands": ("commands", "CommandSource"),
    "sentiment": ("sentiment", "SentimentSource"),
    "python-docs": ("python_docs", "DocsSource"),
}
"""Sources by name: where each is."""


def open_source(spec: str, config: BuildConfig) -> Source:
    """A source of EMBEDDED, `hf://OWNER/NAME`, a folder, or a file: a manifest (.jsonl, .csv, .parquet, .arrow), an archive (.zip, .tar,
    .tar.gz …), a list of a published layout, or a text. What a folder or file is, is found out from its files, or said by `config.layout`;
    the source's `found` says what and why.

    Opening is cheap but for archives, which are unpacked once: nothing is read but names, and the heads of lists. Raises DataError where
    nothing is there, and ConfigError for a file of no known kind or a layout that does not exist.
    """
    if spec in EMBEDDED:
        module, name = EMBEDDED[spec]
        return getattr(import_module(f"chiasm.sources.{module}"), name)(config)
    if spec.startswith("hf://"):
        from chiasm.sources.hub import open_hub

        return open_hub(spec, config)
    from chiasm.sources.recognise import open_layout

    path = Path(spec)
    try:
        if path.exists():
            return open_layout(path, config)
    except (OSError, ValueError) as error:
        raise DataError(f"{spec[:200]}: cannot be opened: {error}") from None
    known = ", ".join(EMBEDDED)
    raise DataError(f"{spec}: no such folder or manifest, and no source of that name (there are: {known})")
