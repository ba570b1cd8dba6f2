"""BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding (Devlin et al., arXiv 1810.04805).

Takes in     text: two sentences, [CLS] A [SEP] B [SEP]
Trunk        Transformer encoder, post-norm, learned positions and segments
Objectives   masked words (15 %; 80 % mask, 10 % random, 10 % kept; the same mask in every epoch) + next-sentence prediction
Differs      byte-level BPE of the data set instead of WordPiece; no dropout (masks are the only noise, and are drawn with the batch)
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from chiasm.batches.language_views import SentencePair
from chiasm.batches.masking import Mask
from chiasm.batches.task import Facts, Task
from chiasm.config import Positive, Section
from chiasm.heads.tokens import Pooler, WordHead
from chiasm.modalities.embed import TextEmbedder
from chiasm.nn.linear import Linear
from chiasm.nn.transformer import make_transformer
from chiasm.objectives.masked import masked_tokens, picked
from chiasm.objectives.matching import matching
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Losses

EPS = 1e-12
"""Of every layer normalisation."""


class BertSize(Section):
    width: Positive = 128
    heads: Positive = 4
    layers: Positive = 4
    hidden: Positive = 512
    length: Positive = 64


class Bert(System):
    def __init__(self, size: BertSize, facts: Facts) -> None:
        super().__init__()
        self.embed = TextEmbedder(facts.vocabulary, size.length, size.width, segments=2, norm=EPS)
        self.trunk = make_transformer(
            {"text": size.layers}, width=size.width, heads=size.heads, hidden=size.hidden,
            norm_first=False, final_norm=False, eps=EPS,
        )  # fmt: skip
        self.pool = Pooler(size.width)
        self.head_words = WordHead(size.width, facts.vocabulary, EPS)
        self.head_next = Linear(size.width, 2)

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        words, following, target = self._read(batch, dtype)
        losses = {
            "masked_words": masked_tokens(words, target),
            "next_sentence": matching(following, batch.labels["next"]),
        }
        return Losses(losses, {"masked_words": math.log(words.shape[-1]), "next_sentence": math.log(2)})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        words, following, _ = self._read(batch, dtype)
        return {"words": words, "next": following}

    def _read(self, batch: Batch, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        text = batch.items["text"]
        features = self.trunk(self.embed(text, dtype)).x
        assert text.target is not None
        masked, target = picked(features, text.target)
        return self.head_words(masked, self.embed.table), self.head_next(self.pool(features)).float(), target


def tasks(size: BertSize) -> tuple[Task, ...]:
    return (Task("pretraining", (SentencePair(size.length, Mask(static=True)),)),)


BERT = Spec(
    name="bert",
    title="BERT",
    paper="Devlin et al. 2018, arXiv 1810.04805",
    inputs=("text",),
    fusion="none",
    objectives=("masked words", "next sentence"),
    differs="byte-level BPE instead of WordPiece; no dropout",
    attends="every token ↔ every token of both sentences",
    tiny=BertSize(),
    published=Published(
        BertSize(width=768, heads=12, layers=12, hidden=3072, length=512),
        Facts(vocabulary=30522),
        parameters=109_482_240,
        counted=("embed", "trunk", "pool"),
        note="BERT-base with its pooler, without heads",
    ),
    tasks=tasks,
    make=Bert,
    measure=Measure("words", "text", lambda size: tasks(size)[0]),
)
