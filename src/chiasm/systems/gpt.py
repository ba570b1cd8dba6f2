"""GPT-2: Language Models are Unsupervised Multitask Learners (Radford et al. 2019), after GPT (Radford et al. 2018).

Takes in     text: whole texts one after the other, until the row is full
Trunk        Transformer decoder: causal, pre-norm with a final norm, learned positions, GELU by tanh
Objective    next token; the output layer is the table of words. GPT-1 keeps this loss when it is fine-tuned, at weight 0.5
             beside the task's own (its 3.2, Eq. 5)
Differs      the data set's own byte-level BPE; no dropout
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from chiasm.batches.language_views import Packed
from chiasm.batches.task import Facts, Task
from chiasm.config import Positive, Section
from chiasm.heads.tokens import tied_words
from chiasm.modalities.embed import TextEmbedder
from chiasm.modalities.text import EOS
from chiasm.nn.generate import greedy
from chiasm.nn.transformer import make_transformer
from chiasm.objectives.generative import next_token
from chiasm.objectives.masked import picked
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Items, Losses


class GptSize(Section):
    width: Positive = 128
    heads: Positive = 4
    layers: Positive = 3
    hidden: Positive = 512
    length: Positive = 48


class Gpt(System):
    def __init__(self, size: GptSize, facts: Facts) -> None:
        super().__init__()
        self.embed = TextEmbedder(facts.vocabulary, size.length, size.width)
        self.trunk = make_transformer(
            {"text": size.layers},
            width=size.width,
            heads=size.heads,
            hidden=size.hidden,
            activation="gelu_tanh",
            causal=True,
        )

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        words, target = self._read(batch, dtype)
        return Losses({"next_word": next_token(words, target)}, {"next_word": math.log(words.shape[-1])})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        return {"words": self._read(batch, dtype)[0]}

    def continued(self, prompt: Items, dtype: torch.dtype, length: int, end: int = EOS) -> Tensor:
        """The likeliest tokens after each prompt, int64 [B, ≤ length], as far as there are positions."""
        length = min(length, self.embed.length - prompt.value.shape[1] + 1)
        return greedy(self.embed, self.trunk, self._head, prompt, length, end, dtype=dtype)

    def _read(self, batch: Batch, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Logits [n, V] of the tokens that are predicted, and the tokens."""
        text = batch.items["text"]
        assert text.target is not None
        seen, target = picked(self.trunk(self.embed(text, dtype)).x, text.target)
        return self._head(seen), target

    def _head(self, x: Tensor) -> Tensor:
        return tied_words(x, self.embed.table)


def tasks(size: GptSize) -> tuple[Task, ...]:
    # One token more than there are positions: the last one is only predicted.
    return (Task("pretraining", (Packed(size.length + 1),)),)


GPT = Spec(
    name="gpt",
    title="GPT-2",
    paper="Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
    inputs=("text",),
    fusion="none",
    objectives=("next token",),
    differs="byte-level BPE of the data set; no dropout",
    attends="token → itself and every token before it",
    tiny=GptSize(),
    published=Published(
        GptSize(width=768, heads=12, layers=12, hidden=3072, length=1024),
        Facts(vocabulary=50_257),
        parameters=124_439_808,
        note="the smallest GPT-2, whose paper says 117 million; its public weights have this many",
    ),
    tasks=tasks,
    make=Gpt,
    measure=Measure("words", "text", lambda size: tasks(size)[0]),
)
