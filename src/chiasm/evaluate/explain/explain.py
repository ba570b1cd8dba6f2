"""Why a model finds two things alike: maps over the patches of a picture, the stretches of a sound and the words of a text, and a check
whether the maps are true.

    model = chiasm.load("runs/mine")
    found = explain(model, image="scene.png", text="a cow")
    found.maps["image"].values        # [rows, columns], larger = more of the likeness
    found.maps["image"].curves        # does the likeness fall faster than by chance when those patches go?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chiasm.errors import ConfigError, ModelError
from chiasm.evaluate.explain.attention import contributions, gradient, pairwise, rollout
from chiasm.evaluate.explain.curves import Curves, curves
from chiasm.evaluate.explain.occlusion import occlusion, spectrogram
from chiasm.evaluate.explain.parts import EXPLAINED, Thing, open_thing
from chiasm.evaluate.explain.watch import look
from chiasm.systems.chiasm import Chiasm
from chiasm.train.model import LoadedModel, Medium, as_item
from chiasm.types import Items

METHODS = ("gradient", "rollout", "occlusion", "contribution")
"""Chefer et al. 2021 · Abnar & Zuidema 2020, which no words can change · what is lost when a part goes (Zeiler & Fergus 2014, arXiv
1311.2901, 4.1) · what each of the trunk's last tokens adds to the cosine, where the head is a mean and a linear map."""


@dataclass(frozen=True, slots=True)
class Map:
    """Relevance of the parts of one item. values: float64 [rows, columns] of patches, [stretches] of a sound, [words].

    spectrum: float64 [stretches, bands], what is lost when that part of the spectrogram becomes the sound's average (occlusion of sounds).
    """

    modality: str
    values: NDArray[np.float64]
    names: tuple[str, ...] = ()
    curves: Curves | None = None
    spectrum: NDArray[np.float64] | None = None

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"values": np.round(self.values, 6).tolist()}
        found |= {"words": list(self.names)} if self.names else {}
        found |= {"spectrum": np.round(self.spectrum, 6).tolist()} if self.spectrum is not None else {}
        return found | ({"curves": self.curves.to_json()} if self.curves else {})


@dataclass(frozen=True, slots=True)
class Explanation:
    """score: the cosine of the first two that were given. maps: by modality. pairs: what each word and each patch (or stretch) add to the
    cosine of text and picture (or sound), float64 [words, parts], where the head allows it; frames of the text count as no word."""

    method: str
    score: float
    maps: Mapping[str, Map]
    toward: Mapping[str, str]
    pairs: Mapping[str, NDArray[np.float64]] = field(default_factory=dict[str, NDArray[np.float64]])

    def to_json(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "score": round(self.score, 6),
            "toward": dict(self.toward),
            "maps": {name: found.to_json() for name, found in self.maps.items()},
            "pairs": {name: np.round(values, 6).tolist() for name, values in self.pairs.items()},
        }


def explain(
    model: LoadedModel,
    *,
    text: str | None = None,
    image: Medium | None = None,
    audio: Medium | None = None,
    method: str = "gradient",
    check: bool = True,
    seed: int = 0,
) -> Explanation:
    """Why the model finds two or three things alike or not; each is explained by its likeness to the text, the text by that to the first other.

    method: one of METHODS. check: also the deletion and insertion curves beside random orders drawn by `seed`.
    Raises ConfigError for an unknown method, fewer than two things, or a model that cannot be explained so; MediaError for what cannot be read.
    """
    check_method(model, method)
    given = {"text": text, "image": image, "audio": audio}
    things = {name: open_thing(model, name, as_item(name, value)) for name, value in given.items() if value is not None}
    if len(things) < 2:
        raise ConfigError("a likeness has two sides: give two of text, image and audio")
    with torch.no_grad():
        vectors = {name: model.vectors(name, thing.items) for name, thing in things.items()}
    maps: dict[str, Map] = {}
    toward: dict[str, str] = {}
    for name, thing in things.items():
        other = next(one for one in EXPLAINED if one != name and one in things)
        target = vectors[other]
        values = relevance(model, thing, target, method)[0]
        checked = curves(model, thing, target, values, seed) if check and len(thing.parts) > 1 else None
        bands = spectrogram(model, thing, target)[0] if name == "audio" and method == "occlusion" else None
        maps[name] = Map(name, values.reshape(thing.parts.shape), thing.parts.names, checked, bands)
        toward[name] = other
    one, two, *_ = vectors
    score = float((vectors[one] * vectors[two]).sum())
    return Explanation(method, score, maps, toward, _pairs(model, things))


def check_method(model: LoadedModel, method: str) -> None:
    """Raises ConfigError where the method is unknown or not for this model."""
    if method not in METHODS:
        raise ConfigError(f"method: {method!r} is none of {', '.join(METHODS)}")
    if method == "contribution" and not isinstance(model.network, Chiasm):
        raise ConfigError("contribution: for models whose head is a mean and a linear map, which this one's is not")


def relevance(model: LoadedModel, thing: Thing, targets: Tensor, method: str) -> NDArray[np.float64]:
    """float64 [L, P]: how much each part of the thing matters for its likeness to each of targets [L, E]."""
    if method == "occlusion":
        return occlusion(model, thing, targets)
    targets = targets.to(thing.items.value.device)
    sight = look(model, thing.modality, _repeated(thing.items, len(targets)))
    if method == "rollout":
        found = rollout(sight)
    elif method == "gradient":
        found = gradient(sight, targets)
    else:
        found = contributions(cast(Chiasm, model.network), thing.modality, sight.features, targets)
    values = thing.parts.gather(found)
    if not np.isfinite(values).all():
        raise ModelError("the explanation is not finite: the model has diverged, or its weights are damaged")
    return values


def _repeated(items: Items, count: int) -> Items:
    value = items.value.expand(count, *items.value.shape[1:]).contiguous()
    valid = items.valid.expand(count, *items.valid.shape[1:]).contiguous()
    return Items(value, valid, torch.arange(count, device=value.device))


def _pairs(model: LoadedModel, things: Mapping[str, Thing]) -> dict[str, NDArray[np.float64]]:
    network = model.network
    if not isinstance(network, Chiasm) or "text" not in things:
        return {}
    seen = {name: look(model, name, thing.items).features for name, thing in things.items()}
    found: dict[str, NDArray[np.float64]] = {}
    for name in things:
        if name != "text":
            whole = pairwise(network, ("text", name), (seen["text"], seen[name]))
            by_part = things[name].parts.gather(whole)
            words = things["text"].parts.tokens
            found[name] = np.stack([by_part[list(tokens)].sum(0) for tokens in words])
    return found
