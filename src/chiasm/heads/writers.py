"""What a trunk writes with: codes in, as vectors of the trunk's width; features out, as logits of the next step's codes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.nn.linear import Linear, cast, linear

SPREAD = 0.3
"""The standard deviation of what tells steps apart, at the start."""


class Writer(nn.Module):
    """Steps of G codes (text and boxes: G = 1; codes of a quantiser: a few small groups), each group of a step given those before it.

    sizes: codes of each group, the end among those of the first · length: steps at most · expert: whose feed-forward part the trunk
    takes for them · end: the code of the first group that ends a sequence, None where all are of full length
    shared: a table [V, D] that is another module's, for text that is written with the vectors it is read with (arXiv 1608.05859).
    scale: what the vectors are multiplied by where they are read
    """

    def __init__(
        self,
        expert: str,
        sizes: Sequence[int],
        length: int,
        width: int,
        end: int | None,
        shared: nn.Parameter | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.expert, self.sizes, self.length, self.end = expert, tuple(sizes), length, end
        self.tables = nn.ParameterList([] if shared is not None else [torch.randn(s, width) * 0.05 for s in sizes])
        self._shared = [shared] if shared is not None else []  # in a list: its owner keeps it with the weights
        self.positions = nn.Parameter(torch.randn(length + 1, width) * SPREAD)
        self.unknown = nn.Parameter(torch.randn(width) * 0.05)
        # A later group sees the features and the step's codes so far through a small network of its own.
        self.inner = nn.ModuleList([Linear(width, width) for _ in self.sizes[1:]])
        self.outer = nn.ModuleList([Linear(width, width) for _ in self.sizes[1:]])
        for module in (*self.inner, *self.outer):
            assert isinstance(module, Linear)
            nn.init.normal_(module.weight, std=width**-0.5)

    @property
    def groups(self) -> int:
        return len(self.sizes)

    def table(self, group: int) -> Tensor:
        return self._shared[0] if self._shared else self.tables[group]

    def read(self, codes: Tensor, start: int | Tensor, dtype: torch.dtype, known: Tensor | None = None) -> Tensor:
        """codes: int64 [R, L, G] at the places from `start`, or at given ones, int64 [L] (place 0 is that of the task token) → [R, L, D].
        known: bool [R, L], False where the code is not to be seen."""
        x = F.embedding(codes[..., 0], cast(self.table(0), dtype))
        for group in range(1, self.groups):
            x = x + F.embedding(codes[..., group], cast(self.table(group), dtype))
        x = x * self.scale
        if known is not None:
            x = torch.where(known[..., None], x, cast(self.unknown, dtype))
        positions = cast(self.positions, dtype)
        return x + (positions[start] if isinstance(start, Tensor) else positions[start : start + codes.shape[1]])

    def logits(self, features: Tensor, chosen: Sequence[Tensor]) -> Tensor:
        """features: [R, D]; chosen: int64 [R] each, this step's codes before group len(chosen) → float32 [R, C]."""
        group = len(chosen)
        if group:
            told = features
            for before, code in enumerate(chosen):
                told = told + F.embedding(code, cast(self.table(before), features.dtype))
            features = features + self.outer[group - 1](F.gelu(self.inner[group - 1](told)))
        return linear(features, self.table(group)).float()

    def loss(self, features: Tensor, codes: Tensor) -> Tensor:
        """Mean cross-entropy over steps and groups, in nats. features: [n, D]; codes: int64 [n, G]. The groups after an end count not."""
        whole = torch.ones(len(codes), dtype=torch.bool) if self.end is None else codes[:, 0] != self.end
        sums = F.cross_entropy(self.logits(features, ()), codes[:, 0], reduction="sum")
        count = len(codes)
        if self.groups > 1:
            rows = whole.nonzero()[:, 0]
            features, codes = features.index_select(0, rows), codes.index_select(0, rows)
            for group in range(1, self.groups):
                chosen = [codes[:, g] for g in range(group)]
                sums = sums + F.cross_entropy(self.logits(features, chosen), codes[:, group], reduction="sum")
                count += len(codes)
        return sums / max(count, 1)
