"""UNITER: UNiversal Image-TExt Representation Learning (Chen et al., arXiv 1909.11740).

Takes in     text; regions of the picture with 7-d boxes (x0 y0 x1 y1, width, height, area)
Trunk        one stream: BERT over words and regions
Objectives   one a step, drawn 2 : 2 : 1 : 1 — matching (mismatched half of the time) with word-region alignment by optimal transport
             (IPOT, weight 0.1) · masked words · masked regions' features (regression) · masked regions' classes (KL). Only one modality is
             masked at a time
Differs      regions come from boxes or a grid, not from a Faster R-CNN; starts fresh where the paper begins with BERT; no dropout
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
from chiasm.objectives.masked import masked_tokens, region_regression, region_regression_chance
from chiasm.objectives.matching import matching, matching_chance
from chiasm.objectives.transport import alignment_loss, word_region_alignment
from chiasm.systems.pairs import (
    BERT_BASE,
    PUBLISHED_FACTS,
    PairEmbedder,
    PairSize,
    classes_told,
    fill_in,
    provided,
    single_stream,
    target_of,
)
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import IGNORE, Batch, Features, Losses

ALIGNMENT = 0.1
"""Weight of word-region alignment beside matching (the authors' code)."""


class Uniter(System):
    def __init__(self, size: PairSize, facts: Facts) -> None:
        super().__init__()
        self.embed = PairEmbedder(size, facts, box_values=7, norm=True)
        self.trunk = single_stream(size)
        self.head_matched = PooledHead(size.width, 2)
        self.head_words = WordHead(size.width, facts.vocabulary)
        self.head_features = WordHead(
            size.width, facts.region_width
        )  # tied to the regions' projection as words are to their table
        self.head_regions = ChoiceHead(size.width, len(facts.objects))

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        parts = self.trunk(self.embed(batch, dtype)).parts
        text, regions = parts["text"], parts["regions"]
        if batch.task == "matching":
            return self._matching(text, regions, batch.labels["matched"])
        if batch.task == "masked_words":
            words, target = fill_in(self.head_words, self.embed.words, text, batch.items["text"])
            return Losses({"masked_words": masked_tokens(words, target)}, {"masked_words": math.log(words.shape[-1])})
        seen = batch.items["regions"]
        if batch.task == "masked_features":
            masked = target_of(seen) != IGNORE
            given, every = seen.value[masked], torch.ones_like(masked[masked])
            guess = self.head_features(regions.x[masked], self.embed.regions.features.weight.T)
            chance = region_regression_chance(given, every)
            return Losses({"masked_features": region_regression(guess, given, every)}, {"masked_features": chance})
        told, chance = classes_told(self.head_regions, regions, seen)
        return Losses({"masked_classes": told}, {"masked_classes": chance})

    def _matching(self, text: Features, regions: Features, matched: Tensor) -> Losses:
        distance = word_region_alignment(text.x, regions.x, text.valid, regions.valid)
        losses = {
            "matched": matching(self.head_matched(text.x), matched),
            "word_region_alignment": alignment_loss(distance, matched),
        }
        # Where distances do not tell pairs apart, what is left is that a few more match than do not.
        blind = float((2 * matched - 1).float().mean() * distance.detach().mean())
        chance = {"matched": matching_chance(matched), "word_region_alignment": blind}
        return Losses(losses, chance, weights={"word_region_alignment": ALIGNMENT})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        return {"matched": self.head_matched(self.trunk(self.embed(batch, dtype)).parts["text"].x)}


def tasks(size: PairSize) -> tuple[Task, ...]:
    plain, masked = Regions(size.regions), Regions(size.regions, mask=0.15, hide=1.0)
    return (
        Task("matching", (Caption(size.length, mismatch=0.5), plain), weight=2),
        Task("masked_words", (Caption(size.length, mask=Mask()), plain), weight=2),
        Task("masked_features", (Caption(size.length), masked), weight=1),
        Task("masked_classes", (Caption(size.length), masked), weight=1),
    )


UNITER = Spec(
    name="uniter",
    title="UNITER",
    paper="Chen et al. 2019, arXiv 1909.11740",
    inputs=("text", "regions"),
    fusion="early (single stream)",
    objectives=(
        "matching",
        "word-region alignment",
        "masked words",
        "masked region features",
        "masked region classes (KL)",
    ),
    differs="regions from boxes or a grid instead of a detector; no dropout",
    attends="every word and region ↔ every word and region",
    tiny=PairSize(),
    published=Published(
        BERT_BASE.model_copy(update={"regions": 100}),
        PUBLISHED_FACTS,
        parameters=86_000_000,
        counted=("trunk", "embed.regions"),
        note="the paper's 86 M are the Transformer and what embeds regions; the words' embedding brings 24 M more",
    ),
    tasks=tasks,
    make=Uniter,
    measure=Measure("label", "matched", lambda size: tasks(size)[0]),
    regions=provided,
)
