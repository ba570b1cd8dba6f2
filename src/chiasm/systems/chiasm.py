"""chiasm: the flagship. One encoder for every modality, one space.

Takes in     text, image, audio, video (any subset; a record may lack any of them)
Trunk        multiway: self-attention shared by all modalities, a feed-forward expert a modality (VLMo, arXiv 2111.02358;
             BEiT-3, arXiv 2208.10442); or, by configuration, a separate trunk a modality (CLIP, arXiv 2103.00020)
Head         mean of the tokens → linear → unit length
Objective    InfoNCE over every pair of modalities in the batch, learned temperature; or SigLIP's sigmoid loss
Differs      from VLMo: no staged pretraining; the experts are trained together from the start, and audio and video are among them
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from chiasm.config import ModelConfig, ObjectiveConfig
from chiasm.heads.project import Projection
from chiasm.modalities.embed import AudioEmbedder, ImageEmbedder, VideoEmbedder
from chiasm.modalities.modality import MODALITY_TABLE
from chiasm.nn.transformer import Transformer, make_transformer
from chiasm.types import Items, Output

MAX_SCALE = 100.0
"""CLIP's bound on 1/temperature (arXiv 2103.00020, 2.5)."""


class Chiasm(nn.Module):
    """Items of each modality → unit-length embeddings in one space. Has no randomness: what a step drops is drawn with its batch."""

    def __init__(
        self,
        embedders: Mapping[str, nn.Module],
        trunks: Mapping[str, Transformer],
        heads: Mapping[str, nn.Module],
        layers: Mapping[str, int],
        embedding: int,
        scale: float,
        bias: float | None = None,
    ) -> None:
        """`trunks` may give the same Transformer for several modalities: that is the multiway model. `layers`: how many of a
        trunk's last blocks a modality passes. `embedding`: E."""
        super().__init__()
        self.embedders = nn.ModuleDict(dict(embedders))
        self.shared = len({id(trunk) for trunk in trunks.values()}) == 1
        self.trunks = nn.ModuleDict({"shared": next(iter(trunks.values()))} if self.shared else dict(trunks))
        self.heads = nn.ModuleDict(dict(heads))
        self.layers = dict(layers)
        self.embedding = embedding
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = None if bias is None else nn.Parameter(torch.tensor(bias))

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.embedders)

    def embed(self, modality: str, items: Items, dtype: torch.dtype = torch.float32) -> Tensor:
        """Items of one modality → float32 [I, E], computed in `dtype`."""
        tokens = self.embedders[modality](items, dtype)
        trunk = self.trunks["shared" if self.shared else modality]
        return self.heads[modality](trunk(tokens, self.layers[modality]))

    def forward(self, items: Mapping[str, Items], dtype: torch.dtype = torch.float32) -> Output:
        return self.output({m: self.embed(m, part, dtype) for m, part in items.items() if len(part.owner)})

    def calibrate(self, items: Mapping[str, Items]) -> None:
        """Standardise the inputs by these samples: once, before the first step; what was seen is kept with the weights."""
        for modality, part in items.items():
            embedder = self.embedders[modality]
            if isinstance(embedder, (ImageEmbedder, AudioEmbedder, VideoEmbedder)):
                embedder.calibrate(part)

    def output(self, embedding: Mapping[str, Tensor]) -> Output:
        """Embeddings, from here or gathered from other processes, with the temperature that the objective needs."""
        return Output(embedding, self.log_scale.exp().clamp(max=MAX_SCALE), self.bias)


def make_chiasm(model: ModelConfig, objective: ObjectiveConfig, modalities: tuple[str, ...], vocabulary: int) -> Chiasm:
    """The configured model with fresh weights, drawn from torch's global generator."""

    layers = {m: MODALITY_TABLE[m].layers(model) or model.layers for m in modalities}

    def trunk(names: tuple[str, ...]) -> Transformer:
        return make_transformer(
            {m: layers[m] for m in names},
            width=model.width,
            heads=model.heads,
            ratio=model.ratio,
            activation=model.activation,
            norm=model.norm,
            likeness=0.6,
        )

    if model.trunk == "multiway":
        shared = trunk(modalities)
        trunks = dict.fromkeys(modalities, shared)
    else:
        trunks = {m: trunk((m,)) for m in modalities}
    sigmoid = objective.contrastive == "sigmoid"
    return Chiasm(
        embedders={m: MODALITY_TABLE[m].embedder(model, vocabulary) for m in modalities},
        trunks=trunks,
        heads={m: Projection(model.width, model.embedding) for m in modalities},
        layers=layers,
        embedding=model.embedding,
        # SigLIP starts at scale 10, bias −10 (arXiv 2303.15343, 3.2): at the start nearly every pair is a negative.
        scale=10.0 if sigmoid else 1 / objective.temperature,
        bias=-10.0 if sigmoid else None,
    )
