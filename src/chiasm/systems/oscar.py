"""Oscar: Object-Semantics Aligned Pre-training for Vision-Language Tasks (Li et al., arXiv 2004.06165).

Takes in     text; the names of the objects in the picture (tags) as words; regions of the picture
Trunk        one stream: BERT over words – tags – regions
Objectives   masked tokens (15 % of words and tags) + tag contrast: are these the picture's tags, or (half of the time) another's?
Differs      tags are the classes of the provider of regions, where the paper has a Faster R-CNN's; boxes are 7-d (the area beside the
             paper's six); starts fresh where the paper begins with BERT; no dropout
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from chiasm.batches.grounded_views import TaggedCaption
from chiasm.batches.image_views import Regions
from chiasm.batches.masking import Mask
from chiasm.batches.task import Facts, Task
from chiasm.config import Positive
from chiasm.heads.choice import PooledHead
from chiasm.heads.tokens import WordHead
from chiasm.objectives.masked import masked_tokens
from chiasm.objectives.matching import matching, matching_chance
from chiasm.systems.pairs import BERT_BASE, PUBLISHED_FACTS, PairEmbedder, PairSize, fill_in, provided, single_stream
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Losses


class OscarSize(PairSize):
    tags: Positive = Field(default=6, description="names of objects beside a caption, at most")


class Oscar(System):
    def __init__(self, size: OscarSize, facts: Facts) -> None:
        super().__init__()
        self.embed = PairEmbedder(size, facts, box_values=7)
        self.trunk = single_stream(size)
        self.head_words = WordHead(size.width, facts.vocabulary)
        self.head_tags = PooledHead(size.width, 2)

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        words, target, tags = self._read(batch, dtype)
        matched = batch.labels["tags_matched"]
        return Losses(
            {"masked_tokens": masked_tokens(words, target), "tags_matched": matching(tags, matched)},
            {"masked_tokens": math.log(words.shape[-1]), "tags_matched": matching_chance(matched)},
        )

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        words, _, tags = self._read(batch, dtype)
        return {"words": words, "tags_matched": tags}

    def _read(self, batch: Batch, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        text = self.trunk(self.embed(batch, dtype)).parts["text"]
        return *fill_in(self.head_words, self.embed.words, text, batch.items["text"]), self.head_tags(text.x)


def tasks(size: OscarSize) -> tuple[Task, ...]:
    return (Task("pretraining", (TaggedCaption(size.length, size.tags, Mask()), Regions(size.regions))),)


OSCAR = Spec(
    name="oscar",
    title="Oscar",
    paper="Li et al. 2020, arXiv 2004.06165",
    inputs=("text", "tags", "regions"),
    fusion="early (single stream)",
    objectives=("masked tokens", "tag contrast"),
    differs="tags and regions from boxes or a grid instead of a detector; no dropout",
    attends="every word, tag and region ↔ every word, tag and region",
    tiny=OscarSize(),
    published=Published(
        OscarSize(**BERT_BASE.model_copy(update={"regions": 50}).model_dump(), tags=20),
        PUBLISHED_FACTS,
        counted=("embed", "trunk", "head"),
        note="the paper names no count; Oscar-B is BERT-base (110 M) with the regions' embedding and the heads",
    ),
    tasks=tasks,
    make=Oscar,
    measure=Measure("label", "tags_matched", lambda size: tasks(size)[0]),
    regions=provided,
)
