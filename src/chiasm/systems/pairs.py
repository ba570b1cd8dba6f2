"""What the systems share that read a caption beside the regions of its picture."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor, nn

from chiasm.batches.task import Facts
from chiasm.config import Positive, Section
from chiasm.fusion.early import Early
from chiasm.heads.choice import ChoiceHead
from chiasm.heads.tokens import WordHead
from chiasm.modalities.embed import RegionEmbedder, TextEmbedder
from chiasm.nn.transformer import make_transformer
from chiasm.objectives.masked import picked, region_kl, region_kl_chance
from chiasm.types import IGNORE, Batch, Features, Items, Tokens

EPS = 1e-12
"""Of every layer normalisation in BERT and its heirs."""
PUBLISHED_FACTS = Facts(vocabulary=30522, objects=tuple(f"object {n}" for n in range(1601)), region_width=2048)
"""What the published models were made for: BERT's WordPiece; Visual Genome's classes and a background, and the features of a Faster R-CNN
(arXiv 1707.07998)."""


class PairSize(Section):
    """A single-stream model and what it looks at."""

    width: Positive = 128
    heads: Positive = 4
    layers: Positive = 3
    hidden: Positive = 256
    length: Positive = Field(default=48, description="tokens of a text, at most")
    regions: Positive = Field(default=9, description="regions of a picture, at most")
    features: Positive = Field(default=32, description="numbers that describe a region")
    crop: Positive = Field(default=16, description="side in pixels to which a region is resized to be described")


BERT_BASE = PairSize(width=768, heads=12, layers=12, hidden=3072, length=512, regions=36, features=2048, crop=32)
"""The size that all of them were published at first."""


def provided(size: PairSize) -> tuple[int, int]:
    """What a provider of regions is asked for: (numbers a region, side of a crop)."""
    return size.features, size.crop


class PairEmbedder(nn.Module):
    """Words and regions → tokens. The regions' segment is the bias of their boxes."""

    def __init__(
        self, size: PairSize, facts: Facts, *, box_values: int, norm: bool = False, regions: int | None = None
    ) -> None:
        """box_values, norm: see RegionEmbedder. regions: width of the regions' tokens, that of the words where None."""
        super().__init__()
        self.text = TextEmbedder(facts.vocabulary, size.length, size.width, segments=2, norm=EPS)
        self.regions = RegionEmbedder(facts.region_width, regions or size.width, box_values, norm)

    @property
    def words(self) -> Tensor:
        """The word table [V, D], for the heads that are tied to it."""
        return self.text.table

    def forward(self, batch: Batch, dtype: torch.dtype) -> dict[str, Tokens]:
        return {
            "text": self.text(batch.items["text"], dtype),
            "regions": self.regions(batch.items["regions"], dtype),
        }


def single_stream(size: PairSize) -> Early:
    """BERT, reading words and regions as one sequence."""
    return Early(
        make_transformer(
            {"all": size.layers}, width=size.width, heads=size.heads, hidden=size.hidden,
            norm_first=False, final_norm=False, eps=EPS,
        )
    )  # fmt: skip


def target_of(items: Items, matched: Tensor | None = None) -> Tensor:
    """int64 [B, N], what is predicted at each token: nothing in pairs that do not match (matched: int64 [B]), as their words say nothing of
    the regions."""
    assert items.target is not None
    return items.target if matched is None else items.target.masked_fill(matched[:, None] == 0, IGNORE)


def unmasked(items: Items) -> Items:
    """The same words as they were before they were masked."""
    target = target_of(items)
    return replace(items, value=torch.where(target == IGNORE, items.value, target))


def fill_in(head: WordHead, table: Tensor, text: Features, items: Items) -> tuple[Tensor, Tensor]:
    """Logits float32 [n, V] of the n masked words, and their targets int64 [n]."""
    masked, target = picked(text.x, target_of(items))
    return head(masked, table), target


def classes_told(
    head: ChoiceHead, regions: Features, items: Items, matched: Tensor | None = None
) -> tuple[Tensor, float]:
    """KL of the masked regions' class distributions, and its chance."""
    masked = target_of(items, matched) != IGNORE
    assert items.classes is not None
    given, every = items.classes[masked], torch.ones_like(masked[masked])
    return region_kl(head(regions.x[masked]), given, every), region_kl_chance(given, every)
