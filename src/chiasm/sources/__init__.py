"""Stage 1: where records come from."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from chiasm.errors import ConfigError, DataError
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
    """A source of EMBEDDED, a manifest file (.jsonl, .csv, .parquet), a folder that holds a manifest.* or one file a split
    (train.parquet, test.parquet), or a folder of files.

    Opening is cheap: nothing is read but names. Raises DataError where nothing is there, and ConfigError for
    a file that is no manifest.
    """
    if spec in EMBEDDED:
        module, name = EMBEDDED[spec]
        return getattr(import_module(f"chiasm.sources.{module}"), name)(config)
    from chiasm.sources.folder import FolderSource
    from chiasm.sources.manifest import SUFFIXES, ManifestSource, find_manifests

    path = Path(spec)
    try:
        if path.is_dir():
            found = find_manifests(path)
            return ManifestSource(found, config) if found else FolderSource(path, config)
        if path.is_file():
            if path.suffix.lower() in SUFFIXES:
                return ManifestSource(path, config)
            raise ConfigError(f"{spec}: neither a folder nor a manifest ({', '.join(SUFFIXES)})")
    except (OSError, ValueError) as error:
        raise DataError(f"{spec[:200]}: cannot be opened: {error}") from None
    known = ", ".join(EMBEDDED)
    raise DataError(f"{spec}: no such folder or manifest, and no source of that name (there are: {known})")
