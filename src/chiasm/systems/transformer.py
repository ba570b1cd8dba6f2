"""Attention Is All You Need (Vaswani et al., arXiv 1706.03762): the Transformer, an encoder-decoder that translates.

Takes in     text: a text in one language (source), the same in another (target)
Trunk        encoder and decoder, post-norm, ReLU, sinusoidal positions; the decoder is causal and looks at the encoder's output (cross-attention)
Objective    next token of the translation, label smoothing 0.1; one table for both languages' words and for the output (3.4)
Differs      byte-level BPE of the data set; no dropout; greedy decoding where the paper has a beam of 4
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from chiasm.batches.task import Facts, Task
from chiasm.batches.text_views import Translation
from chiasm.config import Positive, Section
from chiasm.heads.tokens import tied_words
from chiasm.modalities.embed import TextEmbedder
from chiasm.modalities.text import BOS, EOS
from chiasm.nn.generate import greedy, prompt_of
from chiasm.nn.transformer import Transformer, make_transformer
from chiasm.objectives.generative import next_token
from chiasm.objectives.masked import picked
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Features, Losses

SMOOTHING = 0.1
"""5.4."""


class TransformerSize(Section):
    width: Positive = 128
    heads: Positive = 4
    layers: Positive = 2
    hidden: Positive = 512
    length: Positive = 32


class EncoderDecoder(System):
    def __init__(self, size: TransformerSize, facts: Facts) -> None:
        super().__init__()
        self.embed = TextEmbedder(facts.vocabulary, size.length, size.width, positions="sinusoidal")
        self.trunk_encoder, self.trunk_decoder = (self._stack(size, decoder) for decoder in (False, True))

    @staticmethod
    def _stack(size: TransformerSize, decoder: bool) -> Transformer:
        return make_transformer(
            {"text": size.layers}, width=size.width, heads=size.heads, hidden=size.hidden, activation="relu",
            norm_first=False, final_norm=False, causal=decoder, cross=decoder,
        )  # fmt: skip

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        words, target = self._read(batch, dtype)
        return Losses(
            {"translated_words": next_token(words, target, SMOOTHING)}, {"translated_words": math.log(words.shape[-1])}
        )

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        return {"words": self._read(batch, dtype)[0]}

    def translate(self, batch: Batch, dtype: torch.dtype, length: int) -> Tensor:
        memory = self._memory(batch, dtype)
        length = min(length, self.embed.length)
        prompt = prompt_of(BOS, batch.items["source"])
        return greedy(self.embed, self.trunk_decoder, self._head, prompt, length, EOS, dtype=dtype, memory=memory)

    def _read(self, batch: Batch, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Logits [n, V] of the tokens that are predicted, and the tokens."""
        items = batch.items["target"]
        assert items.target is not None
        features = self.trunk_decoder(self.embed(items, dtype), memory=self._memory(batch, dtype)).x
        seen, target = picked(features, items.target)
        return self._head(seen), target

    def _memory(self, batch: Batch, dtype: torch.dtype) -> Features:
        return self.trunk_encoder(self.embed(batch.items["source"], dtype))

    def _head(self, x: Tensor) -> Tensor:
        return tied_words(x, self.embed.table)


def tasks(size: TransformerSize) -> tuple[Task, ...]:
    return (Task("translation", (Translation(size.length),)),)


TRANSFORMER = Spec(
    name="transformer",
    title="Transformer",
    paper="Vaswani et al. 2017, arXiv 1706.03762",
    inputs=("text",),
    fusion="cross-attention (decoder to encoder)",
    objectives=("next token of the translation",),
    differs="byte-level BPE of the data set; no dropout; greedy decoding instead of a beam",
    attends="source token ↔ every source token\ntarget token → itself and target tokens before it\ntarget token → every source token",
    tiny=TransformerSize(),
    published=Published(
        TransformerSize(width=512, heads=8, layers=6, hidden=2048, length=512),
        Facts(vocabulary=37_000),
        parameters=65_000_000,
        note='the paper\'s Table 3 says 65 million, of "about 37,000" words; 37,000 make 63,082,496: the rest would be 3,745 words more',
    ),
    tasks=tasks,
    make=EncoderDecoder,
    measure=Measure("generation", "target", lambda size: tasks(size)[0]),
)
