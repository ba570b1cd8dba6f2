"""`emoji-sessions`: what people with tastes looked at, one thing after another, for recommendation.

Pictures: Twemoji. Names: the `emoji` package (Unicode CLDR). Kinds: Unicode. Users and sessions are drawn at random by the seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.config import BuildConfig
from chiasm.errors import ConfigError
from chiasm.sources.emoji import CREDITS, LICENCES, identifier, picture_folder, picture_path, require_packages
from chiasm.sources.emoji_kinds import read_kinds
from chiasm.sources.source import Progress
from chiasm.types import Label, Media, Record, Rejected, Text

COLD = "cold"
"""The split of sessions that end with an item which occurs nowhere else: only what it looks like and is called can suggest it."""

A_USER = 5
"""Sessions of one user."""
LENGTHS = (5, 9)
"""Items of a session: from, to."""
COLD_SHARE = 0.1
"""Of the items of a kind, never shown before they end a cold session."""
FEWEST = 12
"""Items of a kind below which it is nobody's taste: a session of one kind must not run out of them."""
SKEW = 0.7
"""The r-th most popular item of a kind is drawn with a weight of r^−SKEW (Zipf)."""
NOISE = 0.1
"""How likely an item is one of any kind, by popularity."""
STAY = 0.8
"""How likely the next item is of the kind of the last one, where a user has two tastes."""


@dataclass(frozen=True, slots=True)
class _Item:
    key: str
    name: str
    kind: str
    weight: float


class SessionSource:
    """`sessions` sessions, A_USER a user. A user likes one kind of thing, or two; each session is 5 to 9 different items.

    image: the items' pictures in order, the k-th of kind "item:k" (from 0). texts: their English names in order, kind "item".
    labels: `item`, their ids in order (the ids of the source `emoji`), and `user`. group: the user. split: prescribed, by user, in the
    shares `test`, the same again for `cold`, and `validation`.
    """

    name = "emoji-sessions"
    root = None
    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset({"image"})
    found = ""
    attribution = f"{CREDITS['twemoji']} Names: Unicode CLDR, Unicode License v3."

    def __init__(self, config: BuildConfig) -> None:
        require_packages()
        if 2 * config.test + config.validation >= 1:
            raise ConfigError(
                f"{self.name}: test={config.test:g} is taken twice here (test, cold): 2 × test + validation must be below 1"
            )
        self._seed = config.seed & (2**64 - 1)  # a generator takes no negative seed
        self._total, self._limit = config.sessions, config.limit
        self._warm, self._cold = _items(read_kinds(), np.random.default_rng([self._seed, 0]))
        users = -(-config.sessions // A_USER)
        held = round(config.test * users)
        splits = ["test"] * held + [COLD] * held + ["validation"] * round(config.validation * users)
        splits += ["train"] * (users - len(splits))
        self._splits = [splits[i] for i in np.random.default_rng([self._seed, 1]).permutation(users)]

    @property
    def total(self) -> int:
        return self._total if self._limit is None else min(self._total, self._limit)

    def prepare(self, progress: Progress | None = None) -> None:
        """Nothing: pictures are read as they are needed."""

    def records(self) -> Iterator[Record | Rejected]:
        folder = picture_folder()
        for index in range(self.total):
            user = index // A_USER
            split = self._splits[user]
            items = self._session(index, self._tastes(user), cold=split == COLD)
            yield Record(
                id=f"session-{self._seed}-{index}",
                texts=tuple(Text(item.name, "en", "item") for item in items),
                image=tuple(
                    Media(data=picture_path(folder, item.key).read_bytes(), kind=f"item:{k}", by="twemoji")
                    for k, item in enumerate(items)
                ),
                labels=(*(Label("item", identifier(item.key)) for item in items), Label("user", str(user))),
                group=f"user-{user}",
                split=split,
                source=self.name,
                licence=LICENCES["twemoji"],
            )

    def _tastes(self, user: int) -> tuple[str, ...]:
        """One kind of thing in four cases of ten, else two; kinds of many things are liked by more users."""
        rng = np.random.default_rng([self._seed, 2, user])
        kinds = list(self._warm)
        likely = np.sqrt([len(self._warm[kind]) for kind in kinds])
        count = 1 if rng.random() < 0.4 else 2
        return tuple(kinds[i] for i in rng.choice(len(kinds), count, replace=False, p=likely / likely.sum()))

    def _session(self, index: int, tastes: Sequence[str], *, cold: bool) -> list[_Item]:
        rng = np.random.default_rng([self._seed, 3, index])
        count = int(rng.integers(LENGTHS[0], LENGTHS[1] + 1))
        everything = [item for items in self._warm.values() for item in items]
        kind = tastes[int(rng.integers(len(tastes)))]
        chosen: list[_Item] = []
        while len(chosen) < count - cold:
            if len(tastes) == 2 and rng.random() >= STAY:
                kind = tastes[1 - tastes.index(kind)]
            pool = everything if rng.random() < NOISE else self._warm[kind]
            chosen.append(_draw(rng, [item for item in pool if item not in chosen]))
        if cold:
            chosen.append(_draw(rng, self._cold[kind]))
        return chosen


def _draw(rng: np.random.Generator, pool: Sequence[_Item]) -> _Item:
    weights: NDArray[np.float64] = np.array([item.weight for item in pool])
    return pool[int(rng.choice(len(pool), p=weights / weights.sum()))]


def _items(
    kinds: dict[str, list[tuple[str, str]]], rng: np.random.Generator
) -> tuple[dict[str, list[_Item]], dict[str, list[_Item]]]:
    """The items of each kind, most popular first, without the cold ones; and the cold ones. Popularity is drawn at random."""
    warm: dict[str, list[_Item]] = {}
    cold: dict[str, list[_Item]] = {}
    for kind, found in kinds.items():
        if len(found) < FEWEST:
            continue
        order = [found[i] for i in rng.permutation(len(found))]
        held = max(1, round(COLD_SHARE * len(order)))
        cold[kind] = [_Item(key, name, kind, 1.0) for key, name in order[:held]]
        warm[kind] = [_Item(key, name, kind, rank**-SKEW) for rank, (key, name) in enumerate(order[held:], 1)]
    return warm, cold
