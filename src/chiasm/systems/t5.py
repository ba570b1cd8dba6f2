"""T5: Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer (Raffel et al., arXiv 1910.10683).

Takes in     text with spans replaced by sentinels (source); the sentinels, each followed by what it stands for (target)
Trunk        encoder and decoder, pre-norm RMSNorm, no biases, products not divided by √d, a learned bias for each distance (32 buckets, up to 128)
Objective    next token of the target: 15 % of the tokens, in spans of 3 on average; the output layer is the table of words, features times d^(−1/2)
Differs      the data set's byte-level BPE, <bos> before the decoder's input (the paper: padding), 32 sentinels; no dropout.
             gated: T5 1.1's GELU-gated feed-forward part (arXiv 2002.05202) and an output layer of its own
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from chiasm.batches.language_views import SENTINELS, Spans
from chiasm.batches.task import Facts, Task
from chiasm.config import Positive, Section
from chiasm.heads.tokens import tied_words
from chiasm.modalities.embed import TextEmbedder
from chiasm.modalities.text import BOS, EOS
from chiasm.nn.generate import greedy, prompt_of
from chiasm.nn.linear import Linear
from chiasm.nn.transformer import Transformer, make_transformer
from chiasm.objectives.generative import next_token
from chiasm.objectives.masked import picked
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Features, Items, Losses


class T5Size(Section):
    width: Positive = 128
    heads: Positive = 4
    head_width: Positive = 32
    layers: Positive = 2
    decoder_layers: Positive = 2
    hidden: Positive = 512
    length: Positive = 48
    gated: bool = False


class T5(System):
    def __init__(self, size: T5Size, facts: Facts) -> None:
        super().__init__()
        vocabulary = facts.vocabulary + SENTINELS
        self.embed = TextEmbedder(vocabulary, size.length, size.width, positions=None)
        nn.init.normal_(
            self.embed.table
        )  # as theirs: the output layer, which is the same, has features d^(−1/2) as large
        self.trunk_encoder, self.trunk_decoder = (self._stack(size, decoder) for decoder in (False, True))
        self.head = Linear(size.width, vocabulary, bias=False) if size.gated else None

    @staticmethod
    def _stack(size: T5Size, decoder: bool) -> Transformer:
        return make_transformer(
            {"text": size.decoder_layers if decoder else size.layers}, width=size.width, heads=size.heads,
            head_width=size.head_width, hidden=size.hidden, activation="geglu" if size.gated else "relu", norm="rms_norm",
            bias=False, attention="dot", positions="relative", eps=1e-6, causal=decoder, cross=decoder,
        )  # fmt: skip

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        words, target = self._read(batch, dtype)
        return Losses({"span_words": next_token(words, target)}, {"span_words": math.log(words.shape[-1])})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        return {"words": self._read(batch, dtype)[0]}

    def translate(self, batch: Batch, dtype: torch.dtype, length: int) -> Tensor:
        return self.generate(batch.items["source"], dtype, length)

    def generate(self, source: Items, dtype: torch.dtype, length: int, start: int = BOS, end: int = EOS) -> Tensor:
        """The likeliest output for each source, int64 [B, ≤ length]. start, end: tokens of the decoder."""
        memory, prompt = self._memory(source, dtype), prompt_of(start, source)
        return greedy(self.embed, self.trunk_decoder, self._head, prompt, length, end, dtype=dtype, memory=memory)

    def _read(self, batch: Batch, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Logits [n, V] of the tokens that are predicted, and the tokens."""
        items = batch.items["target"]
        assert items.target is not None
        features = self.trunk_decoder(self.embed(items, dtype), memory=self._memory(batch.items["source"], dtype)).x
        seen, target = picked(features, items.target)
        return self._head(seen), target

    def _memory(self, source: Items, dtype: torch.dtype) -> Features:
        return self.trunk_encoder(self.embed(source, dtype))

    def _head(self, x: Tensor) -> Tensor:
        if self.head is not None:
            return self.head(x).float()
        return tied_words(x * x.shape[-1] ** -0.5, self.embed.table)


def tasks(size: T5Size) -> tuple[Task, ...]:
    return (Task("pretraining", (Spans(size.length),)),)


T5_SMALL = T5Size(width=512, heads=8, head_width=64, layers=6, decoder_layers=6, hidden=2048, length=512)

T5_SPEC = Spec(
    name="t5",
    title="T5",
    paper="Raffel et al. 2019, arXiv 1910.10683",
    inputs=("text",),
    fusion="cross-attention (decoder to encoder)",
    objectives=("span corruption",),
    differs="byte-level BPE of the data set; 32 sentinels; no dropout",
    attends="source token ↔ every source token\ntarget token → itself and target tokens before it\ntarget token → every source token",
    tiny=T5Size(),
    published=Published(
        T5_SMALL,
        Facts(vocabulary=32_128 - SENTINELS),
        parameters=60_506_624,
        note="T5-small; its vocabulary of 32,128 counts the sentinels",
    ),
    tasks=tasks,
    make=T5,
    measure=Measure("words", "target", lambda size: tasks(size)[0]),
)
