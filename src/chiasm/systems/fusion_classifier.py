"""Early and late fusion of a picture and a text, and every other way between them, for one and the same task (Snoek 2005, doi
10.1145/1101149.1101236, named the two; Baltrušaitis 2017, arXiv 1705.09406, 6, surveys them).

Takes in     a picture as patches; a question about it, or its caption
Trunk        an encoder of each, then the fusion (fusion/make.py): one switch, on the same encoders, data and head
Objectives   the answer, or the record's class. Beside it, where the size asks for it: OGM-GE (late fusions), which holds back the modality that
             learns faster; a discriminator of modalities through a gradient reversal, so that the encoders' features do not tell theirs
Differs      no one paper's model: parts of equal depth, so that only the fusion differs
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from chiasm.batches.task import Facts
from chiasm.config import Positive, Section
from chiasm.errors import ConfigError
from chiasm.fusion.fusion import Fused
from chiasm.fusion.late import Late
from chiasm.fusion.make import FusionKind, joint_width, make_fusion
from chiasm.fusion.progressive import Progressive
from chiasm.fusion.sequences import mean
from chiasm.heads.mlp import MLP
from chiasm.modalities.embed import ImageEmbedder, TextEmbedder
from chiasm.nn.transformer import make_transformer
from chiasm.objectives.adversarial import Discriminator, modality_adversarial, reversal_strength
from chiasm.objectives.balance import modulate_gradients, ogm_ge_coefficients
from chiasm.objectives.masked import masked_tokens
from chiasm.systems.system import System
from chiasm.types import Batch, Features, Losses


class FusionSize(Section):
    fusion: FusionKind = "early"
    task: Literal["answer", "class"] = Field(
        default="answer",
        description="answer: questions about a picture; class: the label of a picture with its caption",
    )
    balance: Literal["none", "ogm_ge"] = Field(
        default="none", description="hold back the faster modality; late fusions"
    )
    alpha: Annotated[float, Field(gt=0)] = Field(default=0.5, description="how hard OGM-GE holds it back")
    adversarial: bool = Field(default=False, description="a discriminator of modalities, through a gradient reversal")
    width: Positive = 128
    heads: Positive = 4
    encoder_layers: Positive = 1
    layers: Annotated[int, Field(ge=2)] = Field(default=2, description="blocks of the fusion")
    length: Positive = 24
    side: Positive = 48
    patch: Positive = 8

    @model_validator(mode="after")
    def _balances(self) -> FusionSize:
        if self.balance != "none" and not self.fusion.startswith("late_"):
            raise ValueError(
                f"balance {self.balance} compares modalities by themselves: use a late fusion, not {self.fusion}"
            )
        return self


class FusionClassifier(System):
    def __init__(self, size: FusionSize, facts: Facts) -> None:
        super().__init__()
        self.size = size
        self.embed = nn.ModuleDict(
            {
                "text": TextEmbedder(facts.vocabulary, size.length, size.width),
                "image": ImageEmbedder(size.side, size.patch, size.width),
            }
        )
        layers = {"all": size.encoder_layers}
        self.trunk = nn.ModuleDict(
            {name: make_transformer(layers, width=size.width, heads=size.heads) for name in self.embed}
        )
        self.fusion = make_fusion(size.fusion, list(self.embed), size.width, size.heads, size.layers)
        outputs = len(facts.answers if size.task == "answer" else facts.classes)
        if outputs < 2:
            raise ConfigError(f"the table has {outputs} kinds of {size.task}: there is nothing to choose among")
        self.head = MLP([joint_width(size.fusion, len(self.embed), size.width), size.width, outputs])
        self.head_modality = Discriminator(size.width, len(self.embed)) if size.adversarial else None
        self.strength: Tensor
        self.register_buffer("strength", torch.zeros(()))

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        parts, fused = self._read(batch, dtype)
        logits, target = self.head(fused.joint), batch.labels["answer"]
        losses = {"answer": masked_tokens(logits, target)}
        chance, keys = {"answer": math.log(logits.shape[-1])}, dict[str, Tensor]()
        if self.head_modality is not None:
            x = torch.cat([mean(part) for part in parts.values()])
            which = torch.arange(len(parts), device=x.device).repeat_interleave(len(target))
            losses["modality"] = modality_adversarial(self.head_modality(x, float(self.strength)), which)
            chance["modality"] = math.log(len(parts))
        if self.size.balance == "ogm_ge" and isinstance(self.fusion, Late):
            for name, joint in self.fusion.alone(fused).items():
                keys[name] = self.head(joint).detach().float().softmax(-1).gather(1, target[:, None])[:, 0]
        return Losses(losses, chance, keys)

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        _, fused = self._read(batch, dtype)
        return {"answer": self.head(fused.joint).float(), "features": fused.joint.float()}

    def calibrate(self, batch: Batch) -> None:
        embed: Any = self.embed["image"]
        embed.calibrate(batch.items["image"])

    def advance(self, made: Losses, progress: float) -> None:
        self.strength.fill_(reversal_strength(progress))
        if isinstance(self.fusion, Progressive):
            self.fusion.advance(progress)

    def modulate(self, made: Losses, seed: int, step: int) -> None:
        if self.size.balance == "ogm_ge" and isinstance(self.fusion, Late):
            stacks = (self.embed, self.trunk, self.fusion.streams)
            own = {name: [p for stack in stacks for p in stack[name].parameters()] for name in self.embed}
            noise = np.random.default_rng((seed, step, zlib.crc32(b"ogm_ge")))
            modulate_gradients(own, ogm_ge_coefficients(made.keys, self.size.alpha), noise)

    def _read(self, batch: Batch, dtype: torch.dtype) -> tuple[dict[str, Features], Fused]:
        parts = {name: self.trunk[name](embed(batch.items[name], dtype)) for name, embed in self.embed.items()}
        return parts, self.fusion(parts)
