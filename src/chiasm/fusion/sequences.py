"""Several modalities as one sequence, and back: what fusions share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from chiasm.types import Features, Tokens


def joined(parts: Mapping[str, Features | Tokens]) -> Tokens:
    """[B, N_m, D] each → one [B, ΣN_m, D] in the order given, a segment a modality."""
    segments: list[tuple[str, int, int]] = []
    stop = 0
    for name, part in parts.items():
        segments.append((name, stop, stop + part.x.shape[1]))
        stop = segments[-1][2]
    x = torch.cat([part.x for part in parts.values()], 1)
    return Tokens(x, torch.cat([part.valid for part in parts.values()], 1), tuple(segments))


def parted(features: Features) -> dict[str, Features]:
    """One [B, N, D] → its segments, each a sequence of its own."""
    return {
        name: Features(features.x[:, start:stop], features.valid[:, start:stop], ((name, 0, stop - start),))
        for name, start, stop in features.segments
    }


def mean(features: Features) -> Tensor:
    """[B, N, D] → [B, D], the mean of the valid tokens; 0 where there is none."""
    if bool(features.valid.all()):
        return features.x.mean(1)
    weight = features.valid.to(features.x.dtype)
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1)
    return (features.x * weight[..., None]).sum(1)
