"""Early fusion: the tokens of all modalities are one sequence from the first layer on (single stream)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from chiasm.fusion.fusion import Fused
from chiasm.fusion.sequences import joined, mean, parted
from chiasm.nn.transformer import Transformer
from chiasm.types import Features, Tokens


class Early(nn.Module):
    """Every token attends to every token of every modality (UNITER, arXiv 1909.11740, 3.1; VL-BERT, 1908.08530, 3.2).

    With a trunk of one expert ({"all": 12}) all tokens are treated alike. joint: the mean of all valid tokens, of the trunk's width.
    """

    def __init__(self, transformer: Transformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, parts: Mapping[str, Features | Tokens]) -> Fused:
        features = self.transformer(joined(parts))
        return Fused(mean(features), parted(features))
