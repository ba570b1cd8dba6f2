"""Where a table lies: a folder, or an address on object storage (``s3://bucket/name.lance``).

A Path folds the double slash of an address (``s3:/bucket/name.lance``); here it is unfolded, so that addresses may travel as paths do
(`Address`).
Credentials, region and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL …).
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PosixPath

from chiasm.sources.cache import cache_folder
from chiasm.sources.listing import LEDGER

_REMOTE = re.compile(r"^(s3|gs|abfss?):/{1,2}(?=[^/])")


class Address(PosixPath):
    """An address that travels as a path and is told to people as the address it is."""

    def __str__(self) -> str:
        return plain(super().__str__())


def place_of(place: str | Path) -> Path:
    """`place` as a path whose text is `plain`'s."""
    return Address(place) if is_remote(place) else Path(place)


def is_remote(place: str | Path) -> bool:
    """Whether `place` is an address on object storage."""
    return _REMOTE.match(str(place)) is not None


def plain(place: str | Path) -> str:
    """`place` as Lance, and people, read it."""
    return _REMOTE.sub(r"\1://", str(place))


def absolute(place: str | Path) -> str:
    """`place` independent of the working directory."""
    return plain(place) if is_remote(place) else str(Path(place).resolve())


def storage_options(place: str | Path) -> dict[str, str] | None:
    """What Lance needs to know beyond what it takes from the environment: that an endpoint on plain http is meant."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if not is_remote(place) or not str(place).startswith("s3") or not endpoint:
        return None
    options = {"aws_endpoint": endpoint}
    if endpoint.startswith("http://"):
        options["allow_http"] = "true"
    return options


def work_folder(out: Path) -> Path:
    """The work folder of table `out`: beside it, or in the user's cache (CHIASM_CACHE) where it lies on object storage."""
    if is_remote(out):
        digest = hashlib.blake2b(plain(out).encode(), digest_size=8).hexdigest()
        return cache_folder() / "builds" / f"{out.name}-{digest}.work"
    return out.with_name(f".{out.name}.work")


def ledger_path(out: Path) -> Path:
    """The rejects ledger of table `out`: beside it."""
    return out.with_name(f"{out.name.removesuffix('.lance')}{LEDGER}")
