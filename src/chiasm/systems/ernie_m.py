"""ERNIE-M: Enhanced Multilingual Representation by Aligning Cross-lingual Semantics with Monolingual Corpora (Ouyang et al., arXiv 2012.15674).

Takes in     text in many languages: alone, or with the same in another language
Trunk        one Transformer encoder for all languages, post-norm (XLM-R's)
Objectives   one a step. MMLM: masked words of a text alone; TLM: of a text and its translation; CAMLM: of both, each from the other
             language alone (2.2); BTMLM: the model first writes pseudo tokens of another language after a text, without a gradient, then fills in
             the text's masked words with those beside it (2.3)
Differs      a vector a language is added to its tokens (XLM's, arXiv 1901.07291, 3.3), so that a word that sees no other of its language
             knows which it is of; the tasks are mixed from the start, where the paper adds BTMLM second; a pseudo text is as long as its source.
             Fusing pictures, text and knowledge stage by stage, which some name in one breath with it, is fusion/progressive.py's, for any system
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.batches.masking import Mask
from chiasm.batches.task import Facts, Task, Uniforms
from chiasm.batches.text_views import ParallelPair, Translation
from chiasm.config import Positive, Section
from chiasm.heads.project import pool
from chiasm.heads.tokens import WordHead
from chiasm.modalities.embed import TextEmbedder
from chiasm.modalities.text import BOS, EOS, MASK
from chiasm.nn.transformer import make_transformer
from chiasm.objectives.masked import masked_tokens, picked
from chiasm.systems.roberta import EPS, FIRST
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import IGNORE, Batch, Items, Losses


class ErnieMSize(Section):
    width: Positive = 128
    heads: Positive = 4
    layers: Positive = 4
    hidden: Positive = 512
    length: Positive = 48


class ErnieM(System):
    def __init__(self, size: ErnieMSize, facts: Facts) -> None:
        super().__init__()
        self.languages = len(facts.languages)
        self.embed = TextEmbedder(
            facts.vocabulary, size.length, size.width, segments=self.languages + 1, norm=EPS, offset=FIRST
        )
        self.trunk = make_transformer(
            {"text": size.layers}, width=size.width, heads=size.heads, hidden=size.hidden,
            norm_first=False, final_norm=False, eps=EPS,
        )  # fmt: skip
        self.head_words = WordHead(size.width, facts.vocabulary, EPS)

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        words, target = self._words(batch, dtype)
        name = f"{batch.task}_words"
        return Losses({name: masked_tokens(words, target)}, {name: math.log(words.shape[-1])})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        if "text" in batch.items:
            return {"words": self._words(batch, dtype)[0]}
        return {name: self._sentence(items, dtype) for name, items in batch.items.items()}

    def _words(self, batch: Batch, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Logits [n, V] of the masked words, and the words."""
        text, language = batch.items["text"], self._language(batch.items["text"])
        allowed = None
        if batch.task == "btmlm":
            text, language = self._with_pseudo(text, language, batch.labels["language"], dtype)
        elif "other" in batch.labels and text.segment is not None:
            language = torch.where(text.segment == 1, batch.labels["other"][:, None], language)
            allowed = across(text.segment, text.target) if batch.task == "camlm" else None
        assert text.target is not None
        masked, target = picked(self._features(text, language, dtype, allowed), text.target)
        return self.head_words(masked, self.embed.table), target

    @torch.no_grad()
    def _with_pseudo(self, text: Items, language: Tensor, draw: Tensor, dtype: torch.dtype) -> tuple[Items, Tensor]:
        """The masked text followed by what the model takes for it in another language, one token for each of its own, all at once."""
        assert text.target is not None
        whole = torch.where(text.target == IGNORE, text.value, text.target)
        # Laid out as the text is, <bos> excepted: as many words, and an <eos>.
        word = (whole[:, 1:] != EOS) & text.valid[:, 1:]
        step = 1 + (draw * max(self.languages - 1, 1)).long()
        other = ((language.clamp(min=0) + step) % max(self.languages, 1)).expand_as(word)
        language = torch.cat([language.expand_as(whole), other], 1)
        side = torch.cat([torch.zeros_like(whole), torch.ones_like(other)], 1)
        first = F.pad(text.target.clone().fill_(IGNORE), (0, word.shape[1]), value=IGNORE)
        hidden = torch.cat([torch.zeros_like(text.valid), word], 1)
        pair = Items(
            torch.cat([whole, torch.where(word, MASK, whole[:, 1:])], 1),
            torch.cat([text.valid, text.valid[:, 1:]], 1), text.owner, target=first.masked_fill(hidden, 0),
        )  # fmt: skip
        features = self._features(pair, language, dtype, across(side, pair.target))
        pseudo = pair.value.clone()
        pseudo[hidden] = self.head_words(features[hidden], self.embed.table).argmax(-1)
        value = torch.cat([text.value, pseudo[:, text.value.shape[1] :]], 1)
        target = F.pad(text.target, (0, word.shape[1]), value=IGNORE)
        return replace(pair, value=value, target=target), language

    def _sentence(self, items: Items, dtype: torch.dtype) -> Tensor:
        """Unit-length [B, D] of a source, or of the whole target that a decoder would write: <bos> … <eos>, as in training."""
        words = items.value if items.target is None else items.target
        value = F.pad(words.clamp(min=0), (1, 0), value=BOS)
        framed = Items(value, F.pad(items.valid, (1, 0), value=True), items.owner, language=items.language)
        embedded = self.embed(replace(framed, segment=self._segment(framed, self._language(framed))), dtype)
        return F.normalize(pool(self.trunk(embedded)).float(), dim=-1)

    def _features(self, text: Items, language: Tensor, dtype: torch.dtype, allowed: Tensor | None) -> Tensor:
        return self.trunk(self.embed(replace(text, segment=self._segment(text, language)), dtype), allowed=allowed).x

    def _segment(self, text: Items, language: Tensor) -> Tensor:
        return (language + 1).expand_as(text.value)

    def _language(self, text: Items) -> Tensor:
        """int64 [B, 1], −1 where it is unknown."""
        assert text.language is not None
        return text.language[:, None]


def across(side: Tensor, target: Tensor | None) -> Tensor:
    """Who may look at whom in CAMLM (2.2): bool [B, N, N].

    side: int64 [B, N], which of two languages · target: int64 [B, N], IGNORE where nothing is predicted. What is predicted sees the other side and
    itself, the rest its own side; nobody sees what is predicted, or a word could learn of its neighbours by way of the other side.
    """
    assert target is not None
    predicted = target != IGNORE
    other = side[:, :, None] != side[:, None, :]
    seen = (other == predicted[:, :, None]) & ~predicted[:, None, :]
    return seen | torch.eye(side.shape[1], dtype=torch.bool, device=side.device)


def tasks(size: ErnieMSize) -> tuple[Task, ...]:
    pair = ParallelPair(size.length, Mask())
    # Half the length, so that a pseudo text of the same length finds room.
    half = ParallelPair((size.length + 1) // 2, Mask(), other=False)
    return (
        Task("mmlm", (ParallelPair(size.length, Mask(), other=False),)),
        Task("tlm", (pair,)),
        Task("camlm", (pair,)),
        Task("btmlm", (half, Uniforms("language", 1))),
    )


ERNIE_M = Spec(
    name="ernie_m",
    title="ERNIE-M",
    paper="Ouyang et al. 2020, arXiv 2012.15674",
    inputs=("text",),
    fusion="early (two languages in one sequence)",
    objectives=("MMLM", "TLM", "CAMLM", "BTMLM"),
    differs="a vector a language; the four tasks are mixed from the start",
    attends=(
        "MMLM, TLM, BTMLM: every token ↔ every token\n"
        "CAMLM: masked token → itself and the other language's unmasked tokens; unmasked token → unmasked tokens of its own language"
    ),
    tiny=ErnieMSize(),
    published=Published(
        ErnieMSize(width=768, heads=12, layers=12, hidden=3072, length=512),
        Facts(vocabulary=250_002, languages=tuple(f"language {n}" for n in range(96))),
        counted=("embed", "trunk"),
        note="the paper counts none; XLM-R's base, which it begins with, and a vector for each of 96 languages",
    ),
    tasks=tasks,
    make=ErnieM,
    measure=Measure("retrieval", "source-target", lambda size: Task("translation", (Translation(size.length - 1),))),
)
