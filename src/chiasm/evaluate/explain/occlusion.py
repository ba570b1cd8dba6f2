"""What is lost when a part goes: occlusion (Zeiler & Fergus 2014, arXiv 1311.2901, 4.1) of patches, words, and the spectrogram."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chiasm.evaluate.explain.parts import BATCH, Thing, vectors_without
from chiasm.train.model import LoadedModel

BANDS = 8
"""Into how many equal bands the spectrogram is cut."""


def windows(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """bool [K, P]: the windows that are taken away. Single words; of patches and stretches, neighbours that are a quarter of a side long
    together, at every place: what one patch shows, its neighbours often show too."""
    sides = [max(1, n // 4) if len(shape) == 2 or n > 8 else 1 for n in shape]
    places = [np.arange(n - side + 1) for n, side in zip(shape, sides, strict=True)]
    found: list[NDArray[np.bool_]] = []
    for corner in np.stack(np.meshgrid(*places, indexing="ij"), -1).reshape(-1, len(shape)):
        window = np.zeros(shape, bool)
        window[tuple(slice(c, c + side) for c, side in zip(corner, sides, strict=True))] = True
        found.append(window.reshape(-1))
    return np.stack(found)


def occlusion(model: LoadedModel, thing: Thing, targets: Tensor) -> NDArray[np.float64]:
    """float64 [L, P]: the cosine with each of targets [L, E] that is lost with the part, on average over the windows that hold it."""
    shape = thing.parts.shape
    gone = np.eye(len(thing.parts), dtype=bool) if thing.modality == "text" else windows(shape)
    keep = np.concatenate([np.ones((1, gone.shape[1]), bool), ~gone])
    scores = (targets.cpu() @ vectors_without(model, thing, keep).T).double().numpy()
    lost = scores[:, :1] - scores[:, 1:]
    return (lost @ gone) / gone.sum(0)


@torch.no_grad()
def spectrogram(model: LoadedModel, thing: Thing, targets: Tensor) -> NDArray[np.float64]:
    """float64 [L, stretches, BANDS]: what is lost when a stretch of a band becomes the sound's average of that band.

    A stretch is as long as the model's own tokens. Time alone can be taken away; a band cannot, so it is made to say nothing.
    """
    items, stretches = thing.items, len(thing.parts)
    value, heard = items.value[0], items.valid[0]
    mean = value[heard].float().mean(0).round().to(value.dtype)
    edges = np.linspace(0, value.shape[1], BANDS + 1).round().astype(int)
    changed = [value]
    for stretch in range(stretches):
        start, stop = stretch * thing.parts.span, (stretch + 1) * thing.parts.span
        for low, high in pairwise(edges.tolist()):
            other = value.clone()
            other[start:stop, low:high] = mean[low:high]
            changed.append(other)
    vectors: list[Tensor] = []
    for start in range(0, len(changed), BATCH):
        part = torch.stack(changed[start : start + BATCH])
        owner = torch.arange(len(part), device=part.device)
        valid = heard.expand(len(part), -1).contiguous()
        vectors.append(model.vectors("audio", replace(items, value=part, valid=valid, owner=owner)).cpu())
    scores = (targets.cpu() @ torch.cat(vectors).T).double().numpy()
    return (scores[:, :1] - scores[:, 1:]).reshape(len(targets), stretches, BANDS)
