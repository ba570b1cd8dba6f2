"""What ALBEF's student and its teacher both are: a picture and a text encoded alone, aligned by their first tokens, then fused."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from chiasm.batches.task import Facts
from chiasm.config import Positive, Section
from chiasm.fusion.cross_attention import CrossFusion
from chiasm.heads.tokens import WordHead
from chiasm.modalities.embed import ImageEmbedder, TextEmbedder
from chiasm.nn.linear import Linear
from chiasm.nn.transformer import Transformer, make_transformer
from chiasm.objectives.matching import hard_negatives
from chiasm.systems.pairs import EPS, fill_in
from chiasm.types import IGNORE, Features, Items


class AlignedSize(Section):
    width: Positive = 96
    heads: Positive = 3
    hidden: Positive = 192
    image_layers: Positive = 2
    text_layers: Positive = 1
    fusion_layers: Positive = 2
    length: Positive = Field(default=32, description="tokens of a text, at most")
    side: Positive = Field(default=48, description="pixels of a picture's sides")
    patch: Positive = 12
    embedding: Positive = Field(default=64, description="numbers by which a picture and a text are compared")


class Aligned(nn.Module):
    """A ViT, the first layers of a BERT, and its last ones, in which words look at patches too (ALBEF, arXiv 2107.07651, 3.1)."""

    def __init__(self, size: AlignedSize, facts: Facts) -> None:
        super().__init__()

        def bert(layers: int, cross: bool) -> Transformer:
            return make_transformer(
                {"text": layers}, width=size.width, heads=size.heads, hidden=size.hidden,
                norm_first=False, final_norm=False, cross=cross, eps=EPS,
            )  # fmt: skip

        self.embed_image = ImageEmbedder(size.side, size.patch, size.width, class_token=True)
        self.embed_text = TextEmbedder(facts.vocabulary, size.length, size.width, segments=2, norm=EPS)
        vit = {"image": size.image_layers}
        self.image = make_transformer(vit, width=size.width, heads=size.heads, hidden=size.hidden, eps=1e-6)
        self.text = bert(size.text_layers, cross=False)
        self.fusion = CrossFusion(bert(size.fusion_layers, cross=True))
        self.head_image = Linear(size.width, size.embedding)
        self.head_text = Linear(size.width, size.embedding)
        self.head_words = WordHead(size.width, facts.vocabulary)
        self.head_scale = nn.Parameter(torch.tensor(-math.log(0.07)))

    @property
    def scale(self) -> Tensor:
        """1/temperature, kept where ALBEF's authors keep it: 0.001 … 0.5."""
        return self.head_scale.exp().clamp(1 / 0.5, 1 / 0.001)

    def see(self, items: Items, dtype: torch.dtype) -> tuple[Features, Tensor]:
        """A picture's features, and its unit-length embedding float32 [B, E]."""
        features = self.image(self.embed_image(items, dtype))
        return features, F.normalize(self.head_image(features.x[:, 0]).float(), dim=-1)

    def read(self, items: Items, dtype: torch.dtype) -> tuple[Features, Tensor]:
        """A text's."""
        features = self.text(self.embed_text(items, dtype))
        return features, F.normalize(self.head_text(features.x[:, 0]).float(), dim=-1)

    def fuse(self, image: Features, text: Features) -> Features:
        """The text's features after it has looked at the picture's."""
        return self.fusion({"image": image, "text": text}).parts["text"]

    def fill_in(self, image: Features, items: Items, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Logits float32 [n, V] of the n masked words and their targets."""
        text, _ = self.read(items, dtype)
        return fill_in(self.head_words, self.embed_text.table, self.fuse(image, text), items)


def with_mismatches(
    image: Features, text: Features, similarity: Tensor, words: Tensor, u: Tensor
) -> tuple[Features, Features, Tensor]:
    """B pairs → 3B: they, each picture with a text of another, each text with a picture of another, drawn among those that look most alike.

    similarity: [B, B], pictures × texts, divided by the temperature; words: int64 [B, N]: texts that read the same are no mismatches;
    u: uniform [B, 2]. → pictures, texts, and int64 [3B]: 1 for a match, 0 for a mismatch, IGNORE where there was none to be found.
    """
    _, same = words.unique(dim=0, return_inverse=True)
    texts, text_found = hard_negatives(similarity, same, same, u[:, 0])
    images, image_found = hard_negatives(similarity.T, same, same, u[:, 1])
    own = torch.arange(len(words), device=words.device)
    wrong = torch.where(torch.cat([text_found, image_found]), 0, IGNORE)
    matched = torch.cat([torch.ones_like(own), wrong])
    return _rows(image, torch.cat([own, own, images])), _rows(text, torch.cat([own, texts, own])), matched


def _rows(features: Features, index: Tensor) -> Features:
    # index_select and not x[index]: with several threads the latter's gradient adds up equal rows in any order.
    return Features(features.x.index_select(0, index), features.valid[index], features.segments)
