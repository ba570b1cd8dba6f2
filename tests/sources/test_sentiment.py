"""Rated sentences from an archive that is read and never run."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.errors import DataError, MachineError
from chiasm.sources import open_source
from chiasm.sources import sentiment as module
from chiasm.sources.cache import cache_folder
from chiasm.sources.sentiment import ARCHIVE, DOMAINS, read_ratings, sentiment
from chiasm.types import Label, Record, Rejected

PUBLISHED = cache_folder() / "downloads" / ARCHIVE  # where a person has fetched it, if at all

LINES = {
    "tweets": "1\t2.7\tYay &amp; more!\r\n2\t-0.1\tok\r\n3\tbroken\r\n4\t9.9\toff the scale",
    "movies": "1\t-3.5\tDreadful.",
    "products": "\ufeff1_1\t0.5\tIt works.\r\n1_2\t-0.5\tMostly.\r\n2_1\t0\tA cable.",
    "editorials": "1_1\t0.4\tA plan.",
}


def pack(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def archive(lines: dict[str, str] = LINES) -> bytes:
    inner = {
        f"hutto_ICWSM_2014/{stem}_GroundTruth.txt": lines[name].encode()
        for name, stem in DOMAINS.items()
        if name in lines
    }
    return pack({"vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz": pack(inner)})


@pytest.fixture
def placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of the published layout with a few lines, where the source looks for it."""
    monkeypatch.setenv("CHIASM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "cache" / "downloads" / ARCHIVE
    path.parent.mkdir(parents=True)
    data = archive()  # once: gzip writes the second of its making into every copy
    path.write_bytes(data)
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(data).hexdigest())
    return path


@pytest.mark.parametrize(
    ("rating", "label"),
    [(4, "positive"), (0.5, "positive"), (0.49, "neutral"), (-0.49, "neutral"), (-0.5, "negative"), (-4, "negative")],
)
def test_classes(rating: float, label: str) -> None:
    assert sentiment(rating) == label


@pytest.mark.parametrize("rating", [4.1, float("nan"), float("-inf")])
def test_ratings_off_the_scale(rating: float) -> None:
    with pytest.raises(ValueError, match="between"):
        sentiment(rating)


def test_records(placed: Path) -> None:
    source = open_source("sentiment", BuildConfig())
    items = list(source.records())
    assert source.total == len(items) == 9
    first, second, broken, off, movie, works, mostly, cable, _ = items
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert first.texts[0].text == "Yay & more!"
    assert first.labels == (Label("sentiment", "positive"), Label("domain", "tweets"))
    assert second.labels[0].value == "neutral"
    assert isinstance(broken, Rejected)
    assert isinstance(off, Rejected)
    assert (broken.reason, off.id) == ("malformed", "tweets:4")
    assert isinstance(movie, Record)
    assert (movie.id, movie.group) == ("movies-1", None)
    assert isinstance(works, Record)
    assert isinstance(mostly, Record)
    assert isinstance(cable, Record)
    assert works.group == mostly.group != cable.group


def test_a_table(placed: Path, tmp_path: Path) -> None:
    result = build("sentiment", tmp_path / "s.lance", BuildConfig())
    assert (result.given, result.accepted, result.rejected) == (9, 7, 2)


def test_what_is_missing_is_said(placed: Path) -> None:
    placed.unlink()
    with pytest.raises(MachineError, match=r"pip download .* vaderSentiment==3\.3\.2 -d"):
        open_source("sentiment", BuildConfig())


def test_another_file_is_refused(placed: Path) -> None:
    placed.write_bytes(placed.read_bytes() + b"\0")
    with pytest.raises(DataError, match="not the published file"):
        open_source("sentiment", BuildConfig())


@pytest.mark.parametrize(
    "data",
    [b"", b"no archive", archive({"tweets": "1\t0\tx"}), archive()[: len(archive()) // 2], pack({"other": b"x"})],
    # Not by their bytes: gzip writes the second into them, and all processes of a run must find the same tests.
    ids=["empty", "no archive", "one member", "cut", "another member"],
)
def test_damaged_archives(data: bytes) -> None:
    with pytest.raises(DataError):
        read_ratings(data)


def test_a_member_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 20)
    with pytest.raises(DataError, match="expected"):
        read_ratings(archive())


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the archive is not in the cache")
def test_the_published_ratings() -> None:
    items = list(open_source("sentiment", BuildConfig()).records())
    assert len(items) == 23_703
    assert all(isinstance(item, Record) for item in items)
