"""What every fusion is: encoded modalities in, one joint vector a record and the fused sequences out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from chiasm.types import Features


@dataclass(frozen=True, slots=True)
class Fused:
    """joint: [B, D], what a head reads · parts: each modality's sequence after the fusion, of the layout it came in."""

    joint: Tensor
    parts: Mapping[str, Features]


class Fusion(Protocol):
    """Encoded modalities [B, N_m, D] of the same B records → Fused. A record that lacks a modality has no valid token in it."""

    def __call__(self, parts: Mapping[str, Features]) -> Fused: ...
