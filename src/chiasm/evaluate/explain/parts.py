"""The parts that an explanation speaks of: patches of a picture, stretches of a sound, words of a text; and items that lack some of them.

A part is taken away for good: the model is given the other patches, frames or words alone. Nothing grey or black is put in its place, which
would be something to see in its turn; models that learned with patches and words left out (`drop`) know such items from training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chiasm.errors import ConfigError
from chiasm.evaluate.explain.watch import Front
from chiasm.modalities.embed import AudioEmbedder, ImageEmbedder, PatchEmbedder
from chiasm.modalities.text import BOS, EOS, PAD, Tokenizer, clean_text
from chiasm.train.model import LoadedModel
from chiasm.types import Items, Media, Text

EXPLAINED = ("text", "image", "audio")
"""Modalities whose parts can be shown and taken away."""
BATCH = 256


@dataclass(frozen=True, slots=True)
class Parts:
    """shape: (rows, columns) of patches, (stretches,) of time, (words,). tokens: of each part, which of the item's tokens it is.
    span: frames a stretch of time."""

    modality: str
    shape: tuple[int, ...]
    tokens: tuple[tuple[int, ...], ...]
    names: tuple[str, ...] = ()
    span: int = 1

    def __len__(self) -> int:
        return len(self.tokens)

    def gather(self, values: Tensor) -> NDArray[np.float64]:
        """[I, N] → [I, P], a part being the sum of its tokens."""
        found = values.detach().double().cpu().numpy()
        return np.stack([found[:, list(tokens)].sum(1) for tokens in self.tokens], 1)


@dataclass(frozen=True, slots=True)
class Thing:
    """One item to be explained, prepared: items holds it alone."""

    modality: str
    item: Text | Media
    items: Items
    parts: Parts


def open_thing(model: LoadedModel, modality: str, item: Text | Media) -> Thing:
    """Raises ConfigError where the model lacks the modality or its parts have no names, MediaError for what cannot be read."""
    if modality not in model.modalities:
        raise ConfigError(f"this model has no {modality}; it has {', '.join(model.modalities)}")
    if modality not in EXPLAINED:
        raise ConfigError(f"explained are {', '.join(EXPLAINED)}; not {modality}")
    items = model.prepare(modality, [item])
    if modality == "text":
        assert isinstance(item, Text)
        parts = words_of(model.tokenizer, item.text, items.value.shape[1])
    else:
        parts = patches_of(modality, _front(model, modality), items)
    return Thing(modality, item, items, parts)


def words_of(tokenizer: Tokenizer, text: str, length: int) -> Parts:
    """The words of a text that is `length` tokens long with the frame around it; what was cut off is no part. A script without spaces is
    taken token by token."""
    clean = clean_text(text)
    words: list[str] = []
    tokens: list[list[int]] = []
    end = -1
    for place, (_, start, stop) in enumerate(tokenizer.spans([clean])[0][: length - 2]):
        piece = clean[start:stop]
        if tokens and stop == end and not piece.isascii():  # the bytes of one character
            tokens[-1].append(place + 1)
            continue
        # A space may be a token of its own before the word.
        new = not tokens or (bool(words[-1]) and (piece[:1].isspace() or not piece.isascii()))
        if new:
            words.append(piece.strip())
            tokens.append([place + 1])
        else:
            words[-1] += piece.strip()
            tokens[-1].append(place + 1)
        end = stop
    return Parts("text", (len(words),), tuple(map(tuple, tokens)), tuple(words))


def patches_of(modality: str, front: Front, items: Items) -> Parts:
    embedder: PatchEmbedder = front.embed  # type: ignore[union-attr]
    if modality == "image":
        assert isinstance(front, ImageEmbedder)
        side, first = front.size // front.patch, 0 if embedder.class_token is None else 1
        return Parts("image", (side, side), tuple((first + place,) for place in range(side * side)))
    assert isinstance(front, AudioEmbedder)
    count = -(-int(items.valid.sum()) // front.patch)
    return Parts("audio", (count,), tuple((place,) for place in range(count)), span=front.patch)


def without(thing: Thing, keep: NDArray[np.bool_]) -> Items:
    """The item once for each row of keep, bool [K, P], with only those parts that are True."""
    items, parts = thing.items, thing.parts
    kept = torch.from_numpy(keep).to(items.value.device)
    rows = len(keep)
    owner = torch.arange(rows, device=kept.device)
    if thing.modality == "text":
        return _texts(thing, keep, owner)
    value = items.value.expand(rows, *items.value.shape[1:]).contiguous()
    if thing.modality == "image":
        return replace(items, value=value, valid=kept, owner=owner)
    valid = torch.zeros(rows, items.valid.shape[1], dtype=torch.bool, device=kept.device)
    heard = kept.repeat_interleave(parts.span, 1)[:, : valid.shape[1]]
    valid[:, : heard.shape[1]] = heard
    return replace(items, value=value, valid=valid & items.valid, owner=owner)


def _texts(thing: Thing, keep: NDArray[np.bool_], owner: Tensor) -> Items:
    tokens = thing.items.value[0].tolist()
    rows: list[list[int]] = []
    for row in keep:
        kept = [tokens[place] for part in np.flatnonzero(row) for place in thing.parts.tokens[part]]
        rows.append([BOS, *kept, EOS])
    width = max(map(len, rows))
    value = torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows], device=owner.device)
    valid = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in rows], device=owner.device)
    return Items(value, valid, owner)


@torch.no_grad()
def vectors_without(model: LoadedModel, thing: Thing, keep: NDArray[np.bool_]) -> Tensor:
    """float32 [K, E] on the CPU: the item with only the parts that are True in keep, bool [K, P]; zeros where none is."""
    found = [
        model.vectors(thing.modality, without(thing, keep[start : start + BATCH])).cpu()
        for start in range(0, len(keep), BATCH)
    ]
    made = torch.cat(found) if found else torch.zeros(0, model.dimension)
    return made * torch.from_numpy(keep.any(1)).float()[:, None]


def _front(model: LoadedModel, modality: str) -> Front:
    kind = ImageEmbedder if modality == "image" else AudioEmbedder
    found = [module for module in model.network.modules() if isinstance(module, kind)]
    if not found:
        raise ConfigError(f"this model's {modality}s are not cut into patches: it cannot be explained by its attention")
    return found[0]


def subsets(orders: Sequence[NDArray[np.int64]], counts: Sequence[int], parts: int) -> NDArray[np.bool_]:
    """bool [orders · counts, P]: of each order its first `count` parts."""
    keep = np.zeros((len(orders), len(counts), parts), bool)
    for i, order in enumerate(orders):
        for j, count in enumerate(counts):
            keep[i, j, order[:count]] = True
    return keep.reshape(-1, parts)
