"""Is a map true? Deletion and insertion (Petsiuk, Das & Saenko 2018, "RISE", arXiv 1806.07421, 4.2), beside random orders.

Parts go in the order of the map, most relevant first: if the map is true, the likeness falls at once (a small area under the deletion
curve) and comes back at once when they are put in (a large area under the insertion curve). A random order says what both are worth where a
map knows nothing. Here a part that goes is gone, and not blurred or grey (parts.py); where nothing is left, the likeness is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chiasm.evaluate.explain.parts import Thing, subsets, vectors_without
from chiasm.train.model import LoadedModel

STEPS = 16
RANDOM = 4
"""Random orders a curve is compared with."""

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curves:
    """Cosine after each share [S] of the parts is deleted, or inserted; random: the mean over random orders, of parts kept."""

    shares: Float
    deletion: Float
    insertion: Float
    random: Float

    def areas(self) -> dict[str, float]:
        """Area under each curve. The random one is the same for both: what is kept is a random subset either way."""
        return {
            "deletion": area(self.shares, self.deletion),
            "insertion": area(self.shares, self.insertion),
            "random": area(self.shares, self.random),
        }

    @property
    def trusted(self) -> bool:
        """Whether the map's order beats random ones both ways."""
        areas = self.areas()
        return areas["deletion"] < areas["random"] < areas["insertion"]

    @property
    def verdict(self) -> str:
        """The same in words."""
        if self.trusted:
            return "Both are better than chance."
        return "Do not trust this map: it is not better than a random order on both."

    def to_json(self) -> dict[str, Any]:
        lines = {"shares": self.shares, "deletion": self.deletion, "insertion": self.insertion, "random": self.random}
        return {name: np.round(line, 6).tolist() for name, line in lines.items()} | {
            "area": {name: round(value, 6) for name, value in self.areas().items()},
            "trusted": self.trusted,
            "verdict": self.verdict,
        }


def curves(
    model: LoadedModel, thing: Thing, target: Tensor, values: Float, seed: int = 0, drawn: Tensor | None = None
) -> Curves:
    """The curves of one map, values [P], toward target [1, E]. drawn: what `random_subsets` gave for the same thing, to ask it only once."""
    parts = len(thing.parts)
    counts = _counts(parts)
    order = np.argsort(-values, kind="stable")
    vectors = vectors_without(model, thing, subsets([order, order[::-1]], counts, parts))
    drawn = random_subsets(model, thing, seed) if drawn is None else drawn
    scores = (torch.cat([vectors, drawn]) @ target.cpu().reshape(-1)).double().numpy().reshape(-1, len(counts))
    # To delete the first k of an order is to keep the last P − k: the reversed order's first ones.
    return Curves(np.array(counts) / parts, scores[1, ::-1], scores[0], scores[2:].mean(0))


def random_subsets(model: LoadedModel, thing: Thing, seed: int = 0) -> Tensor:
    """float32 [RANDOM · S, E]: the thing with the first few parts of RANDOM orders."""
    rng, parts = np.random.default_rng(seed), len(thing.parts)
    return vectors_without(
        model, thing, subsets([rng.permutation(parts) for _ in range(RANDOM)], _counts(parts), parts)
    )


def _counts(parts: int) -> list[int]:
    """How many parts are kept at each step, from none to all: the same shares from either end."""
    counts = np.linspace(0, parts, min(STEPS, parts) + 1).astype(int)
    return np.unique([counts, parts - counts]).tolist()


def area(shares: Float, scores: Float) -> float:
    """By the trapezoid rule, over shares 0 … 1."""
    return float(np.trapezoid(scores, shares))
