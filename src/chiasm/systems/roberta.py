"""RoBERTa: A Robustly Optimized BERT Pretraining Approach (Liu et al., arXiv 1907.11692).

Takes in     text: whole texts one after the other, until the row is full (FULL-SENTENCES, 4.2)
Trunk        BERT's: Transformer encoder, post-norm, learned positions (the first stands at row 2), one segment
Objective    masked words (15 %; 80/10/10), drawn anew at every step; no next-sentence prediction
Differs      the data set's own byte-level BPE; no dropout. The pooler is there because the public model has one; this objective does not train it
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from chiasm.batches.language_views import Packed
from chiasm.batches.masking import Mask
from chiasm.batches.task import Facts, Task
from chiasm.config import Positive, Section
from chiasm.heads.tokens import Pooler, WordHead
from chiasm.modalities.embed import TextEmbedder
from chiasm.nn.transformer import make_transformer
from chiasm.objectives.masked import masked_tokens, picked
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Losses

FIRST = 2
"""The row of the position table where texts begin: the public code counts from the padding token's number, 1."""
EPS = 1e-5


class RobertaSize(Section):
    width: Positive = 128
    heads: Positive = 4
    layers: Positive = 3
    hidden: Positive = 512
    length: Positive = 48


class Roberta(System):
    def __init__(self, size: RobertaSize, facts: Facts) -> None:
        super().__init__()
        self.embed = TextEmbedder(facts.vocabulary, size.length, size.width, segments=1, norm=EPS, offset=FIRST)
        self.trunk = make_transformer(
            {"text": size.layers}, width=size.width, heads=size.heads, hidden=size.hidden,
            norm_first=False, final_norm=False, eps=EPS,
        )  # fmt: skip
        self.pool = Pooler(size.width)
        self.head_words = WordHead(size.width, facts.vocabulary, EPS)

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        features, target = self._read(batch, dtype)
        masked, target = picked(features, target)
        words = self.head_words(masked, self.embed.table)
        return Losses({"masked_words": masked_tokens(words, target)}, {"masked_words": math.log(words.shape[-1])})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        features, target = self._read(batch, dtype)
        words = self.head_words(picked(features, target)[0], self.embed.table)
        return {"words": words, "features": self.pool(features).float()}

    def _read(self, batch: Batch, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        text = batch.items["text"]
        assert text.target is not None
        return self.trunk(self.embed(text, dtype)).x, text.target


def tasks(size: RobertaSize) -> tuple[Task, ...]:
    return (Task("pretraining", (Packed(size.length, Mask()),)),)


ROBERTA = Spec(
    name="roberta",
    title="RoBERTa",
    paper="Liu et al. 2019, arXiv 1907.11692",
    inputs=("text",),
    fusion="none",
    objectives=("masked words, drawn anew at every step",),
    differs="byte-level BPE of the data set; no dropout",
    attends="every token ↔ every token of the row, whichever text it is of",
    tiny=RobertaSize(),
    published=Published(
        RobertaSize(width=768, heads=12, layers=12, hidden=3072, length=512),
        Facts(vocabulary=50_265),
        parameters=124_645_632,
        counted=("embed", "trunk", "pool"),
        note="RoBERTa-base with its pooler, without the head",
    ),
    tasks=tasks,
    make=Roberta,
    measure=Measure("words", "text", lambda size: tasks(size)[0]),
    training={"optimizer": {"betas": (0.9, 0.98)}},
)
