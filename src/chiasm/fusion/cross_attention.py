"""Cross-attention: one modality reads, and in each block looks at what the others are."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from chiasm.fusion.fusion import Fused
from chiasm.fusion.sequences import joined, mean
from chiasm.nn.transformer import Transformer
from chiasm.types import Features, Tokens


class CrossFusion(nn.Module):
    """The reader's tokens attend to each other, then to all tokens of the other modalities, which stay as they are (ALBEF, arXiv 2107.07651, 3.1).

    transformer: made with cross=True, its memory_width the others' common width. joint: the mean of the reader's valid tokens. A record
    of which only the reader is there sees an empty memory, which adds a constant.
    """

    def __init__(self, transformer: Transformer, reader: str = "text") -> None:
        super().__init__()
        self.transformer = transformer
        self.reader = reader

    def forward(self, parts: Mapping[str, Features | Tokens]) -> Fused:
        others = {
            name: Features(part.x, part.valid, part.segments) for name, part in parts.items() if name != self.reader
        }
        seen = joined(others)
        reader = parts[self.reader]
        tokens = Tokens(reader.x, reader.valid, reader.segments)
        read = self.transformer(tokens, memory=Features(seen.x, seen.valid, seen.segments))
        return Fused(mean(read), {**others, self.reader: read})
