"""Unicoder-VL: A Universal Encoder for Vision and Language by Cross-modal Pre-training (Li et al., arXiv 1908.06066).

Takes in     text; regions of the picture with 5-d boxes
Trunk        one stream: BERT over words and regions
Objectives   masked words (15 %) + masked objects (15 %; the hard class of the region) + visual-linguistic matching, mismatched half of the time
Differs      regions come from boxes or a grid, not from a Faster R-CNN; starts fresh where the paper begins with
             BERT; no dropout
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from chiasm.batches.image_views import Regions
from chiasm.batches.masking import Mask
from chiasm.batches.task import Facts, Task
from chiasm.batches.text_views import Caption
from chiasm.heads.choice import ChoiceHead, PooledHead
from chiasm.heads.tokens import WordHead
from chiasm.objectives.masked import masked_tokens, picked, region_class
from chiasm.objectives.matching import matching, matching_chance
from chiasm.systems.pairs import (
    BERT_BASE,
    PUBLISHED_FACTS,
    PairEmbedder,
    PairSize,
    fill_in,
    provided,
    single_stream,
    target_of,
)
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Features, Losses


class UnicoderVl(System):
    def __init__(self, size: PairSize, facts: Facts) -> None:
        super().__init__()
        self.embed = PairEmbedder(size, facts, box_values=5)
        self.trunk = single_stream(size)
        self.head_words = WordHead(size.width, facts.vocabulary)
        self.head_regions = ChoiceHead(size.width, len(facts.objects))
        self.head_matched = PooledHead(size.width, 2)

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        text, regions = self._read(batch, dtype)
        matched = batch.labels["matched"]
        words, target = fill_in(self.head_words, self.embed.words, text, batch.items["text"])
        masked, classes = picked(regions.x, target_of(batch.items["regions"], matched))
        objects = self.head_regions(masked)
        losses = {
            "masked_words": masked_tokens(words, target),
            "masked_objects": region_class(objects, classes),
            "matched": matching(self.head_matched(text.x), matched),
        }
        chance = {
            "masked_words": math.log(words.shape[-1]),
            "masked_objects": math.log(objects.shape[-1]),
            "matched": matching_chance(matched),
        }
        return Losses(losses, chance)

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        text, _ = self._read(batch, dtype)
        words, _ = fill_in(self.head_words, self.embed.words, text, batch.items["text"])
        return {"matched": self.head_matched(text.x), "words": words}

    def _read(self, batch: Batch, dtype: torch.dtype) -> tuple[Features, Features]:
        parts = self.trunk(self.embed(batch, dtype)).parts
        return parts["text"], parts["regions"]


def tasks(size: PairSize) -> tuple[Task, ...]:
    return (Task("pretraining", (Caption(size.length, mask=Mask(), mismatch=0.5), Regions(size.regions, mask=0.15))),)


UNICODER_VL = Spec(
    name="unicoder_vl",
    title="Unicoder-VL",
    paper="Li et al. 2019, arXiv 1908.06066",
    inputs=("text", "regions"),
    fusion="early (single stream)",
    objectives=("masked words", "masked objects", "matching"),
    differs="regions from boxes or a grid instead of a detector; no dropout",
    attends="every word and region ↔ every word and region",
    tiny=PairSize(),
    published=Published(
        BERT_BASE.model_copy(update={"regions": 100}),
        PUBLISHED_FACTS,
        counted=("embed", "trunk", "head"),
        note="the paper gives no count; it is BERT-base (110 M) with the regions' embedding and the heads",
    ),
    tasks=tasks,
    make=UnicoderVl,
    measure=Measure("label", "matched", lambda size: tasks(size)[0]),
    regions=provided,
)
