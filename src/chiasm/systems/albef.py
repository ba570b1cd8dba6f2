"""ALBEF: Align before Fuse: Vision and Language Representation Learning with Momentum Distillation (Li et al., arXiv 2107.07651).

Takes in     text; a picture as patches
Trunk        a ViT (12 layers), BERT's first 6 layers for the text, and 6 more in which the text's tokens look at the picture's (cross-attention)
Objectives   image-text contrast, before fusion, with a momentum teacher's keys and two queues + matching, against the mismatches that
             the contrast finds hardest to tell + masked words (15 %). Contrast and words learn from the teacher's soft targets too (weight
             α = 0.4, risen to over the first 30th of the run: the paper's first epoch)
Differs      the teacher follows and the queues move after an update, never in a forward pass as in the authors' code: an evaluation between
             two steps changes nothing. Starts fresh where the paper begins with DeiT and BERT; no dropout
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.batches.image_views import Picture
from chiasm.batches.masking import Mask
from chiasm.batches.task import Facts, Task, Uniforms
from chiasm.batches.text_views import Caption
from chiasm.config import Fraction, Positive, Section
from chiasm.fusion.cross_attention import CrossFusion
from chiasm.heads.tokens import WordHead
from chiasm.modalities.embed import ImageEmbedder, TextEmbedder
from chiasm.nn.linear import Linear
from chiasm.nn.transformer import Transformer, make_transformer
from chiasm.objectives.distillation import momentum_distillation
from chiasm.objectives.masked import masked_tokens, picked
from chiasm.objectives.matching import hard_negatives, matching, matching_chance
from chiasm.state.queue import Queue
from chiasm.state.teacher import Teacher
from chiasm.systems.pairs import EPS, target_of
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import IGNORE, Batch, Features, Items, Losses


class AlbefSize(Section):
    """momentum, queue, distillation (α) and ramp (the share of the run over which α rises): of the teacher."""

    width: Positive = 128
    heads: Positive = 4
    hidden: Positive = 256
    image_layers: Positive = 2
    text_layers: Positive = 2
    fusion_layers: Positive = 2
    length: Positive = 32
    side: Positive = 48
    patch: Positive = 8
    embedding: Positive = 64
    queue: Positive = 512
    momentum: Fraction = 0.995
    distillation: Fraction = 0.4
    ramp: Fraction = 1 / 30


class AlbefTrunk(nn.Module):
    """All that the teacher is a copy of. image, text: Features of either alone, and their unit-length embeddings float32 [B, E]."""

    def __init__(self, size: AlbefSize, facts: Facts) -> None:
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

    def see(self, items: Items, dtype: torch.dtype) -> tuple[Features, Tensor]:
        features = self.image(self.embed_image(items, dtype))
        return features, F.normalize(self.head_image(features.x[:, 0]).float(), dim=-1)

    def read(self, items: Items, dtype: torch.dtype) -> tuple[Features, Tensor]:
        features = self.text(self.embed_text(items, dtype))
        return features, F.normalize(self.head_text(features.x[:, 0]).float(), dim=-1)

    def fill_in(self, image: Features, items: Items, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Logits float32 [n, V] of the n masked words and their targets."""
        fused = self.fusion({"image": image, "text": self.read(items, dtype)[0]}).parts["text"]
        masked, target = picked(fused.x, target_of(items))
        return self.head_words(masked, self.embed_text.table), target


class Albef(System):
    def __init__(self, size: AlbefSize, facts: Facts) -> None:
        super().__init__()
        self.size = size
        self.trunk = AlbefTrunk(size, facts)
        self.head_matched = Linear(size.width, 2)
        self.head_log_scale = nn.Parameter(torch.tensor(-math.log(0.07)))
        self.teacher = Teacher(self.trunk)
        self.images, self.texts = Queue(size.queue, size.embedding), Queue(size.queue, size.embedding)
        self.alpha: Tensor
        self.register_buffer("alpha", torch.zeros(()))

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        picture, masked = batch.items["image"], batch.items["text"]
        target = target_of(masked)
        plain = replace(masked, value=torch.where(target == IGNORE, masked.value, target))
        (image, a), (text, b) = self.trunk.see(picture, dtype), self.trunk.read(plain, dtype)
        words, target = self.trunk.fill_in(image, masked, dtype)
        with torch.no_grad():
            taught = self.taught
            (seen, key_a), (_, key_b) = taught.see(picture, dtype), taught.read(plain, dtype)
            soft_words, _ = taught.fill_in(seen, masked, dtype)
        to_texts = self._contrast(a, key_a, torch.cat([key_b, self.texts.keys]))
        to_images = self._contrast(b, key_b, torch.cat([key_a, self.images.keys]))
        logits, matched = self._match(image, text, (a @ b.T).detach() * self.scale.detach(), batch)
        alpha = float(self.alpha)
        losses = {
            "contrastive": (to_texts + to_images) / 2,
            "matched": matching(logits, matched),
            "masked_words": momentum_distillation(masked_tokens(words, target), words, soft_words, alpha),
        }
        chance = {
            "contrastive": math.log(len(a) + self.size.queue),
            "matched": matching_chance(matched),
            "masked_words": math.log(words.shape[-1]),
        }
        return Losses(losses, chance, keys={"image": key_a, "text": key_b})

    def _contrast(self, mine: Tensor, taught: Tensor, keys: Tensor) -> Tensor:
        """Each of mine [B, E] finds its partner, row for row the first B of the keys [B+K, E]; the teacher's view of mine has soft targets."""
        logits, soft = self.scale * mine @ keys.T, self.scale.detach() * taught @ keys.T
        hard = masked_tokens(logits, torch.arange(len(mine), device=mine.device))
        return momentum_distillation(hard, logits, soft, float(self.alpha))

    def _match(self, image: Features, text: Features, similarity: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [3B, 2] and whether they match: all pairs, each picture with another's text, each text with another's picture."""
        name, u = batch.identity, batch.labels["draw"]
        texts, found = hard_negatives(similarity, name, name, u[:, 0])
        images, found_too = hard_negatives(similarity.T, name, name, u[:, 1])
        every = torch.arange(len(name), device=name.device)
        of_images, of_texts = torch.cat([every, every, images]), torch.cat([every, texts, every])
        pairs = {"image": _rows(image, of_images), "text": _rows(text, of_texts)}
        wrong = torch.where(torch.cat([found, found_too]), 0, IGNORE)
        return self._judge(pairs), torch.cat([torch.ones_like(every), wrong])

    def _judge(self, pairs: Mapping[str, Features]) -> Tensor:
        return self.head_matched(self.trunk.fusion(pairs).parts["text"].x[:, 0]).float()

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        (image, a), (text, b) = (
            self.trunk.see(batch.items["image"], dtype),
            self.trunk.read(batch.items["text"], dtype),
        )
        return {"matched": self._judge({"image": image, "text": text}), "image": a, "text": b}

    def advance(self, made: Losses, progress: float) -> None:
        self.teacher.follow(self.trunk, self.size.momentum)
        self.images.push(made.keys["image"])
        self.texts.push(made.keys["text"])
        self.alpha.fill_(self.size.distillation * min(1.0, progress / max(self.size.ramp, 1e-9)))

    def calibrate(self, batch: Batch) -> None:
        self.trunk.embed_image.calibrate(batch.items["image"])
        self.taught.embed_image.calibrate(batch.items["image"])

    @property
    def scale(self) -> Tensor:
        """1/temperature, kept where the authors keep it."""
        return self.head_log_scale.exp().clamp(1 / 0.5, 1 / 0.001)

    @property
    def taught(self) -> AlbefTrunk:
        assert isinstance(self.teacher.module, AlbefTrunk)
        return self.teacher.module


def _rows(features: Features, index: Tensor) -> Features:
    return Features(features.x[index], features.valid[index], features.segments)


def tasks(size: AlbefSize) -> tuple[Task, ...]:
    views = (Picture(size.side, augment="shift"), Caption(size.length, mask=Mask()), Uniforms("draw", 2))
    return (Task("pretraining", views),)


ALBEF = Spec(
    name="albef",
    title="ALBEF",
    paper="Li et al. 2021, arXiv 2107.07651",
    inputs=("text", "image"),
    fusion="cross-attention, text → image, after each is aligned alone",
    objectives=("contrast with a momentum teacher", "matching with hard mismatches", "masked words", "momentum distillation"),
    differs="state moves with the training loop only; starts fresh; no dropout",
    attends="patches ↔ patches; words ↔ words; in the fusion layers words ↔ words, then words → patches",
    tiny=AlbefSize(),
    published=Published(
        AlbefSize(
            width=768, heads=12, hidden=3072, image_layers=12, text_layers=6, fusion_layers=6,
            length=25, side=256, patch=16, embedding=256, queue=65536,
        ),
        Facts(vocabulary=30522),
        parameters=209_500_000,
        counted=("trunk", "head"),
        note="the paper: BERT-base with cross-attention 123.7 M + ViT-B/16 85.8 M. Here positions of words end at 25, not 512 (0.4 M less), "
        "those of patches are for pictures of 256 pixels, and the heads for contrast, matching and words are counted",
    ),
    tasks=tasks,
    make=Albef,
    measure=Measure(
        "label", "matched",
        lambda size: Task("matching", (Picture(size.side), Caption(size.length, mismatch=0.5))),
    ),
    heads=("head", "trunk.head"),
    in_batch=True,
)  # fmt: skip
