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
from torch import Tensor

from chiasm.batches.masking import Mask
from chiasm.batches.task import Facts, Task, Uniforms
from chiasm.batches.text_views import ParallelPair
from chiasm.heads.tokens import WordHead
from chiasm.modalities.embed import TextEmbedder
from chiasm.nn.transformer import make_transformer
from chiasm.objectives.masked import masked_tokens, picked
from chiasm.systems.parallel import across, joined, languages, with_room
from chiasm.systems.roberta import EPS, FIRST, RobertaSize
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import IGNORE, Batch, Features, Items, Losses


class ErnieM(System):
    def __init__(self, size: RobertaSize, facts: Facts) -> None:
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
        return {"words": self._words(batch, dtype)[0]}

    def _words(self, batch: Batch, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Logits [n, V] of the masked words, and the words."""
        text, allowed = batch.items["text"], None
        language = languages(text, batch.labels.get("other"))
        assert text.target is not None
        if batch.task == "btmlm":
            text, language = self._with_pseudo(text, language, batch.labels["language"], dtype)
        elif batch.task == "camlm" and text.segment is not None:
            allowed = across(text.segment, text.target)
        assert text.target is not None
        masked, target = picked(self._features(text, language, dtype, allowed).x, text.target)
        return self.head_words(masked, self.embed.table), target

    @torch.no_grad()
    def _with_pseudo(self, text: Items, language: Tensor, draw: Tensor, dtype: torch.dtype) -> tuple[Items, Tensor]:
        """The masked text followed by what the model takes for it in another language, all words at once."""
        room = with_room(text)
        assert room.segment is not None and room.target is not None
        step = 1 + (draw * max(self.languages - 1, 1)).long()
        other = (language[:, :1].clamp(min=0) + step) % max(self.languages, 1)
        language = torch.where(room.segment == 1, other, language[:, :1])
        features = self._features(room, language, dtype, across(room.segment, room.target)).x
        words = self.head_words(features[room.target != IGNORE], self.embed.table).argmax(-1)
        return joined(text, room, words), language

    def _features(self, text: Items, language: Tensor, dtype: torch.dtype, allowed: Tensor | None = None) -> Features:
        return self.trunk(self.embed(replace(text, segment=language + 1), dtype), allowed=allowed)


def tasks(size: RobertaSize) -> tuple[Task, ...]:
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
    tiny=RobertaSize(),
    published=Published(
        RobertaSize(width=768, heads=12, layers=12, hidden=3072, length=512),
        Facts(vocabulary=250_002, languages=tuple(f"language {n}" for n in range(96))),
        counted=("embed", "trunk"),
        note="the paper counts none; XLM-R's base, which it begins with, and a vector for each of 96 languages",
    ),
    tasks=tasks,
    make=ErnieM,
    # Words that only the other language tells: what the alignment is for.
    measure=Measure("words", "text", lambda size: tasks(size)[2]),
)
