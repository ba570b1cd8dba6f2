"""VL-BERT: Pre-training of Generic Visual-Linguistic Representations (Su et al., arXiv 1908.08530).

Takes in     text; regions of the picture with 4-d boxes, the whole picture first; text alone as well
Trunk        one stream: BERT over words and regions. A visual feature rides on every token: a region's own on its token, the whole
             picture's on every word, and a learned vector where there is no picture
Objectives   masked words (15 %) and masked regions (15 %; the hard class), both with the other modality in sight; every other step masked
             words of texts without a picture. No image-text matching: the paper found that it hurts
Differs      regions come from boxes or a grid, not from a Faster R-CNN, and boxes enter linearly, not as sinusoids; the texts without a
             picture are the table's captions, where the paper has Wikipedia and books; no dropout. Visual features as words of the text's
             sequence (conversion) are fusion/conversion.py
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from chiasm.batches.image_views import Regions
from chiasm.batches.masking import Mask
from chiasm.batches.task import Facts, Task
from chiasm.batches.text_views import Caption
from chiasm.heads.choice import ChoiceHead
from chiasm.heads.tokens import WordHead
from chiasm.modalities.embed import RegionEmbedder, TextEmbedder
from chiasm.nn.linear import LayerNorm
from chiasm.objectives.masked import masked_tokens, picked, region_class
from chiasm.systems.pairs import (
    BERT_BASE,
    EPS,
    PUBLISHED_FACTS,
    PairSize,
    fill_in,
    provided,
    single_stream,
    target_of,
)
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Losses, Tokens


class VisualOnEvery(nn.Module):
    """Words and regions → tokens, each the sum of what it says and what it shows, normed (arXiv 1908.08530, 3.2)."""

    def __init__(self, size: PairSize, facts: Facts) -> None:
        super().__init__()
        self.text = TextEmbedder(facts.vocabulary, size.length, size.width, segments=1)
        self.visual = RegionEmbedder(facts.region_width, size.width, box_values=4, norm=False)
        self.region = nn.Parameter(
            torch.randn(size.width) * 0.02
        )  # what every region's token says: word, position and segment in one
        self.no_picture = nn.Parameter(torch.randn(size.width) * 0.02)
        self.norm = LayerNorm(size.width, eps=EPS)

    def forward(self, batch: Batch, dtype: torch.dtype) -> dict[str, Tokens]:
        words = self.text(batch.items["text"], dtype)
        if "regions" not in batch.items:
            return {"text": Tokens(self.norm(words.x + self.no_picture.to(dtype)), words.valid, words.segments)}
        shown = self.visual(batch.items["regions"], dtype)
        return {
            "text": Tokens(self.norm(words.x + shown.x[:, :1]), words.valid, words.segments),
            "regions": Tokens(self.norm(shown.x + self.region.to(dtype)), shown.valid, shown.segments),
        }


class VlBert(System):
    def __init__(self, size: PairSize, facts: Facts) -> None:
        super().__init__()
        self.embed = VisualOnEvery(size, facts)
        self.trunk = single_stream(size)
        self.head_words = WordHead(size.width, facts.vocabulary)
        self.head_regions = ChoiceHead(size.width, len(facts.objects))

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        parts = self.trunk(self.embed(batch, dtype)).parts
        words, target = fill_in(self.head_words, self.embed.text.table, parts["text"], batch.items["text"])
        loss, chance = masked_tokens(words, target), math.log(words.shape[-1])
        if batch.task == "text":
            return Losses({"masked_words_of_text": loss}, {"masked_words_of_text": chance})
        masked, classes = picked(parts["regions"].x, target_of(batch.items["regions"]))
        regions = self.head_regions(masked)
        return Losses(
            {"masked_words": loss, "masked_regions": region_class(regions, classes)},
            {"masked_words": chance, "masked_regions": math.log(regions.shape[-1])},
        )

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        text = self.trunk(self.embed(batch, dtype)).parts["text"]
        return {"words": fill_in(self.head_words, self.embed.text.table, text, batch.items["text"])[0]}


def tasks(size: PairSize) -> tuple[Task, ...]:
    masked = Caption(size.length, mask=Mask())
    return (
        Task("pairs", (masked, Regions(size.regions, mask=0.15, hide=1.0, whole=True))),
        Task("text", (masked,)),
    )


VL_BERT = Spec(
    name="vl_bert",
    title="VL-BERT",
    paper="Su et al. 2019, arXiv 1908.08530",
    inputs=("text", "regions"),
    fusion="early (single stream), a visual feature on every token",
    objectives=("masked words", "masked regions", "masked words of text alone"),
    differs="regions from boxes or a grid instead of a detector; captions as the texts without picture; no dropout",
    attends="every word and region ↔ every word and region; the whole picture's feature is in every word",
    tiny=PairSize(),
    published=Published(
        BERT_BASE.model_copy(update={"regions": 100}),
        PUBLISHED_FACTS,
        counted=("embed", "trunk", "head"),
        note="the paper gives no count; it is BERT-base (110 M) with the visual embedding and the heads, without its Faster R-CNN",
    ),
    tasks=tasks,
    make=VlBert,
    measure=Measure("words", "text", lambda size: tasks(size)[0]),
    regions=provided,
)
