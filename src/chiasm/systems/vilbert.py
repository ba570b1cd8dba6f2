"""ViLBERT: Pretraining Task-Agnostic Visiolinguistic Representations for Vision-and-Language Tasks (Lu et al., arXiv 1908.02265).

Takes in     text; regions of the picture with 5-d boxes (x0 y0 x1 y1 area), the whole picture first
Trunk        two streams, text 12 layers of 768, regions 6 of 1,024; co-attention before each of the last six layers of both: every
             stream asks with its own queries for the other's keys and values
Objectives   masked words (15 %) + masked regions (15 %, 90 % of them hidden; KL to the region's class distribution) + alignment: do they
             belong together, from the product of the text's and the picture's first feature
Differs      regions come from boxes or a grid, not from a Faster R-CNN; nothing is predicted in pairs that do not match (as in the
             authors' code); no dropout. The streams' features side by side before one joint Transformer are fusion/early.py
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from chiasm.batches.image_views import Regions
from chiasm.batches.masking import Mask
from chiasm.batches.task import Facts, Task
from chiasm.batches.text_views import Caption
from chiasm.config import Positive
from chiasm.fusion.co_attention import CoAttention, Stream, make_co_attention
from chiasm.heads.choice import ChoiceHead, ProductHead
from chiasm.heads.tokens import WordHead
from chiasm.objectives.masked import masked_tokens
from chiasm.objectives.matching import matching, matching_chance
from chiasm.systems.pairs import (
    BERT_BASE,
    EPS,
    PUBLISHED_FACTS,
    PairEmbedder,
    PairSize,
    classes_told,
    fill_in,
    provided,
)
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Features, Losses


class VilbertSize(PairSize):
    """PairSize's width, heads, layers and hidden are of the text's stream."""

    layers: Positive = 2
    region_width: Positive = 128
    region_heads: Positive = 4
    region_layers: Positive = 1
    region_hidden: Positive = 256
    crossings: Positive = Field(default=1, description="last layers of both streams that co-attention stands before")
    crossing_heads: Positive = 4
    crossing_width: Positive = Field(default=128, description="of the queries, keys and values from stream to stream")


class Vilbert(System):
    def __init__(self, size: VilbertSize, facts: Facts) -> None:
        super().__init__()
        self.embed = PairEmbedder(size, facts, box_values=5, regions=size.region_width)
        self.trunk = two_streams(size)
        self.head_words = WordHead(size.width, facts.vocabulary)
        self.head_regions = ChoiceHead(size.region_width, len(facts.objects))
        self.head_matched = ProductHead(size.width, size.region_width, size.crossing_width, 2)

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        text, regions = self.read(batch, dtype)
        matched = batch.labels["matched"]
        words, target = fill_in(self.head_words, self.embed.words, text, batch.items["text"])
        told, chance = classes_told(self.head_regions, regions, batch.items["regions"], matched)
        losses = {
            "masked_words": masked_tokens(words, target),
            "masked_regions": told,
            "matched": matching(self.head_matched(text.x, regions.x), matched),
        }
        blind = {
            "masked_words": math.log(words.shape[-1]),
            "masked_regions": chance,
            "matched": matching_chance(matched),
        }
        return Losses(losses, blind)

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        text, regions = self.read(batch, dtype)
        words, _ = fill_in(self.head_words, self.embed.words, text, batch.items["text"])
        return {"matched": self.head_matched(text.x, regions.x), "words": words}

    def read(self, batch: Batch, dtype: torch.dtype) -> tuple[Features, Features]:
        parts = self.trunk(self.embed(batch, dtype)).parts
        return parts["text"], parts["regions"]


def two_streams(size: VilbertSize) -> CoAttention:
    text = Stream(size.width, size.heads, size.layers, size.hidden)
    regions = Stream(size.region_width, size.region_heads, size.region_layers, size.region_hidden)
    return make_co_attention(
        {"text": text, "regions": regions}, size.crossings,
        heads=size.crossing_heads, head_width=size.crossing_width // size.crossing_heads, norm_first=False, eps=EPS,
    )  # fmt: skip


def tasks(size: VilbertSize) -> tuple[Task, ...]:
    views = (Caption(size.length, mask=Mask(), mismatch=0.5), Regions(size.regions, mask=0.15, whole=True))
    return (Task("pretraining", views),)


PUBLISHED_SIZE = VilbertSize(
    **BERT_BASE.model_dump(), region_width=1024, region_heads=8, region_layers=6, region_hidden=1024,
    crossings=6, crossing_heads=8, crossing_width=1024,
)  # fmt: skip

VILBERT = Spec(
    name="vilbert",
    title="ViLBERT",
    paper="Lu et al. 2019, arXiv 1908.02265",
    inputs=("text", "regions"),
    fusion="co-attention of two streams",
    objectives=("masked words", "masked regions (KL)", "alignment"),
    differs="regions from boxes or a grid instead of a detector; no dropout",
    attends="words ↔ words; regions ↔ regions; in the last layers, before each: words → regions and regions → words",
    tiny=VilbertSize(),
    published=Published(
        PUBLISHED_SIZE,
        PUBLISHED_FACTS,
        counted=("embed", "trunk", "head"),
        note="the paper gives no count. Its public code makes 11 M more, two layers a crossing that no forward pass uses: 250 M, which is what "
        "12-in-1 (arXiv 1912.02315) says of 12 of them, 3 B",
    ),
    tasks=tasks,
    make=Vilbert,
    measure=Measure("label", "matched", lambda size: tasks(size)[0]),
    regions=provided,
)
