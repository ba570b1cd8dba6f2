"""Conversion: what is no text is mapped into the space of words and read as part of the text, by a text Transformer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from chiasm.fusion.fusion import Fused
from chiasm.fusion.sequences import joined, mean, parted
from chiasm.nn.linear import Linear
from chiasm.nn.transformer import Transformer
from chiasm.types import Features, Tokens


class Conversion(nn.Module):
    """Each token of the other modalities becomes one pseudo-word, by two linear layers with GELU between (LLaVA-1.5, arXiv 2310.03744, 3.3),
    and pseudo-words stand before the words of the text.

    transformer: of one expert, the reader's. The words may come as embeddings (Tokens) or encoded. joint: the mean of all valid (pseudo-)words.
    """

    def __init__(self, transformer: Transformer, converters: Mapping[str, nn.Module], reader: str = "text") -> None:
        super().__init__()
        self.transformer = transformer
        self.converters = nn.ModuleDict(dict(converters))
        self.reader = reader

    def forward(self, parts: Mapping[str, Features | Tokens]) -> Fused:
        sequence: dict[str, Features | Tokens] = {}
        for name, converter in self.converters.items():
            part = parts[name]
            sequence[name] = Tokens(converter(part.x), part.valid, part.segments)
        sequence[self.reader] = parts[self.reader]
        read = self.transformer(joined(sequence))
        return Fused(mean(read), parted(read))


def make_converters(modalities: Iterable[str], width: int, words: int) -> dict[str, nn.Module]:
    """From tokens of `width` to vectors of the words' width, a converter a modality."""
    return {name: nn.Sequential(Linear(width, words), nn.GELU(), Linear(words, words)) for name in modalities}
