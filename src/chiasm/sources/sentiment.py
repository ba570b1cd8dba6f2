"""`sentiment`: 23,703 tweets and sentences of reviews and editorials, each rated by 20 people or more from −4 to 4.

Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM 2014. The ratings are in the
source archive of the package vaderSentiment (MIT), and not in what pip installs of it; the archive is only read, none of its code is run.
"""

from __future__ import annotations

import hashlib
import html
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from chiasm.config import BuildConfig
from chiasm.errors import DataError, MachineError
from chiasm.sources.cache import cache_folder
from chiasm.sources.source import Progress
from chiasm.types import Label, Record, Rejected, Text

ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
LIMIT = 16 * 2**20
"""Bytes of one member; the largest has 2.3 MB."""

DOMAINS = {
    "tweets": "tweets",
    "movies": "movieReviewSnippets",
    "products": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
}
"""The label `domain`, and how its file's name begins."""

NEUTRAL = 0.5
"""A mean rating nearer to 0 than this is neutral: it rounds to 0 on the raters' scale of whole numbers."""

_INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"


class SentimentSource:
    """texts: one, in English. labels: sentiment (positive, negative, neutral) and domain. group: the review or article that a sentence is
    of, so that none is in two splits.
    """

    name = "sentiment"
    root = None
    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset[str]()
    found = ""
    attribution = "Ratings: C.J. Hutto and E. Gilbert, VADER (ICWSM 2014), MIT."

    def __init__(self, config: BuildConfig) -> None:
        self._archive = cache_folder() / "downloads" / ARCHIVE
        try:
            data = self._archive.read_bytes()
        except OSError:
            raise MachineError(
                f"the sentiment source needs {ARCHIVE}, once: pip download --no-deps --no-binary vaderSentiment vaderSentiment==3.3.2 "
                f"-d {self._archive.parent}"
            ) from None
        if hashlib.sha256(data).hexdigest() != SHA256:
            raise DataError(f"{self._archive}: not the published file; delete it, and download it again")
        self._ratings = read_ratings(data)

    @property
    def total(self) -> int:
        return sum(map(len, self._ratings.values()))

    def prepare(self, progress: Progress | None = None) -> None:
        """Nothing: the archive has been read."""

    def records(self) -> Iterator[Record | Rejected]:
        for domain, lines in self._ratings.items():
            for number, line in enumerate(lines, 1):
                key, _, rest = line.partition("\t")
                rating, _, text = rest.partition("\t")
                try:
                    label = sentiment(float(rating))
                except ValueError:
                    yield Rejected(
                        f"{domain}:{number}", "record", "malformed", f"line {number}: no id, rating and text"
                    )
                    continue
                whole, part, _ = key.partition("_")
                yield Record(
                    id=f"{domain}-{key}",
                    # Tweets come as HTML has them: &amp; for &.
                    texts=(Text(html.unescape(text), "en", "caption"),),
                    labels=(Label("sentiment", label), Label("domain", domain)),
                    group=f"{domain}-{whole}" if part else None,
                    source=self.name,
                    licence="MIT",
                )


def sentiment(rating: float) -> str:
    """The class of a mean rating. Raises ValueError for one that is not on the scale of −4 to 4."""
    if not -4 <= rating <= 4:
        raise ValueError(f"{rating} is not between -4 and 4")
    return "neutral" if abs(rating) < NEUTRAL else "positive" if rating > 0 else "negative"


def read_ratings(archive: bytes) -> dict[str, list[str]]:
    """The lines "id ⇥ mean rating ⇥ text" of each domain. Raises DataError where the archive does not hold them."""
    folder = "hutto_ICWSM_2014"
    inner = _member(archive, _INNER)
    return {
        domain: _member(inner, f"{folder}/{stem}_GroundTruth.txt").decode("utf-8-sig", "replace").splitlines()
        for domain, stem in DOMAINS.items()
    }


def _member(archive: bytes, name: str) -> bytes:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            file = tar.extractfile(name)
            data = b"" if file is None else file.read(LIMIT + 1)
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise DataError(f"{Path(name).name}: cannot be read from the archive: {error}") from None
    if not 0 < len(data) <= LIMIT:
        raise DataError(f"{Path(name).name}: {len(data)} bytes in the archive, and 1 to {LIMIT:,} are expected")
    return data
