"""Attention Is All You Need (Vaswani et al., arXiv 1706.03762): the Transformer, an encoder-decoder that translates.

Takes in     text: a text in one language (source), the same in another (target); with `source: image`, a picture and its caption
Trunk        encoder and decoder, post-norm, ReLU, sinusoidal positions; the decoder is causal and looks at the encoder's output (cross-attention).
             Its parts can be changed one by one: the kind of attention, positions, norms
Objective    next token of the translation or caption, label smoothing 0.1; one table for all words and for the output (3.4)
Differs      byte-level BPE of the data set; no dropout; greedy decoding where the paper has a beam of 4
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from chiasm.batches.image_views import Picture
from chiasm.batches.task import Facts, Task
from chiasm.batches.text_views import Caption, Translation
from chiasm.config import Positive, Section
from chiasm.heads.tokens import tied_words
from chiasm.modalities.embed import ImageEmbedder, TextEmbedder
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
    source: Literal["text", "image"] = Field(default="text", description="image: captions of pictures")
    side: Positive = Field(default=48, description="pixels of a picture's sides, where it is the source")
    patch: Positive = 8
    attention: Literal["scaled_dot", "dot", "additive"] = "scaled_dot"
    positions: Literal["sinusoidal", "learned", "rotary", "relative"] = "sinusoidal"
    norm: Literal["layer_norm", "rms_norm"] = "layer_norm"
    norm_first: bool = Field(default=False, description="pre-norm blocks (arXiv 2002.04745)")


class EncoderDecoder(System):
    def __init__(self, size: TransformerSize, facts: Facts) -> None:
        super().__init__()
        added = size.positions if size.positions in ("sinusoidal", "learned") else None
        self.embed = TextEmbedder(facts.vocabulary, size.length, size.width, positions=added)
        self.embed_image = ImageEmbedder(size.side, size.patch, size.width) if size.source == "image" else None
        self.trunk_encoder, self.trunk_decoder = (self._stack(size, decoder) for decoder in (False, True))

    @staticmethod
    def _stack(size: TransformerSize, decoder: bool) -> Transformer:
        return make_transformer(
            {"text": size.layers}, width=size.width, heads=size.heads, hidden=size.hidden, activation="relu",
            norm=size.norm, norm_first=size.norm_first, final_norm=size.norm_first, causal=decoder, cross=decoder,
            attention=size.attention, positions=None if size.positions in ("sinusoidal", "learned") else size.positions,
        )  # fmt: skip

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        words, target = self._read(batch, dtype)
        name = "translated_words" if self.embed_image is None else "caption_words"
        return Losses({name: next_token(words, target, SMOOTHING)}, {name: math.log(words.shape[-1])})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        return {"words": self._read(batch, dtype)[0]}

    def calibrate(self, batch: Batch) -> None:
        if self.embed_image is not None:
            self.embed_image.calibrate(batch.items["source"])

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
        embed = self.embed_image or self.embed
        return self.trunk_encoder(embed(batch.items["source"], dtype))

    def _head(self, x: Tensor) -> Tensor:
        return tied_words(x, self.embed.table)


def tasks(size: TransformerSize) -> tuple[Task, ...]:
    if size.source == "image":
        views = (Picture(size.side, "source", "shift"), Caption(size.length, "target", generate=True))
        return (Task("captioning", views),)
    return (Task("translation", (Translation(size.length),)),)


TRANSFORMER = Spec(
    name="transformer",
    title="Transformer",
    paper="Vaswani et al. 2017, arXiv 1706.03762",
    inputs=("text",),
    fusion="cross-attention (decoder to encoder)",
    objectives=("next token of the translation (or caption)",),
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
