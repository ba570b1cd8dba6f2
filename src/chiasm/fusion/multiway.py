"""Multiway: one sequence and one self-attention for all modalities, and in every block a feed-forward expert for each."""

from __future__ import annotations

from collections.abc import Sequence

from chiasm.fusion.early import Early
from chiasm.nn.transformer import make_transformer


class Multiway(Early):
    """VLMo's and BEiT-3's Transformer (arXiv 2111.02358, 3.2; 2208.10442, 2.1) as a fusion; its last layers keep the modalities' experts too,
    where those papers end in a common one."""

    def __init__(self, modalities: Sequence[str], width: int, heads: int, layers: int) -> None:
        super().__init__(make_transformer(dict.fromkeys(modalities, layers), width=width, heads=heads))
