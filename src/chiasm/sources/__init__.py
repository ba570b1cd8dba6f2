"""Stage 1: where records come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chiasm.errors import ConfigError, DataError
from chiasm.sources.source import Progress, Source

if TYPE_CHECKING:
    from chiasm.config import BuildConfig

__all__ = ["Progress", "Source", "open_source"]


def open_source(spec: str, config: BuildConfig) -> Source:
    """`emoji`, `emoji-scenes`, a manifest file (.jsonl, .csv, .parquet), a folder that holds a manifest.*, or a folder of
    files.

    Opening is cheap: nothing is read but names. Raises DataError where nothing is there, and ConfigError for
    a file that is no manifest.
    """
    if spec == "emoji":
        from chiasm.sources.emoji import EmojiSource

        return EmojiSource(config)
    if spec == "emoji-scenes":
        from chiasm.sources.scenes import SceneSource

        return SceneSource(config)
    from chiasm.sources.folder import FolderSource
    from chiasm.sources.manifest import SUFFIXES, ManifestSource

    path = Path(spec)
    try:
        if path.is_dir():
            manifests = [path / f"manifest{suffix}" for suffix in SUFFIXES]
            found = next((manifest for manifest in manifests if manifest.is_file()), None)
            return FolderSource(path, config) if found is None else ManifestSource(found, config)
        if path.is_file():
            if path.suffix.lower() in SUFFIXES:
                return ManifestSource(path, config)
            raise ConfigError(f"{spec}: neither a folder nor a manifest ({', '.join(SUFFIXES)})")
    except (OSError, ValueError) as error:
        raise DataError(f"{spec[:200]}: cannot be opened: {error}") from None
    raise DataError(f"{spec}: no such folder or manifest, and no source of that name (there are: emoji, emoji-scenes)")
