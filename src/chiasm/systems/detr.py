"""DETR: End-to-End Object Detection with Transformers (Carion et al., arXiv 2005.12872).

Takes in     a picture
Trunk        ResNet features → Transformer encoder → decoder of object queries, post-norm; sinusoids of row and column are added to queries and
             keys in every attention
Objectives   the cheapest matching of queries and objects, then class, box distance (5) and generalised IoU (2), after every decoder layer
Differs      batch normalisation is trained (the paper freezes ImageNet's); pictures are squares, not padded; no dropout; one learning rate
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from chiasm.batches.image_views import Objects, Picture
from chiasm.batches.task import Facts, Task
from chiasm.config import Positive
from chiasm.heads.mlp import MLP
from chiasm.nn.linear import LayerNorm, Linear
from chiasm.nn.positions import sinusoidal_2d
from chiasm.nn.transformer import make_transformer
from chiasm.objectives.detection import WEIGHTS, corners, detection, detection_chance
from chiasm.systems.encoders import RESNET50, ResNetEncoder, ResNetSize
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import IGNORE, Batch, Losses, Tokens


class DetrSize(ResNetSize):
    side: Positive = 64
    channels: Positive = 32
    width: Positive = 128
    heads: Positive = 4
    layers: Positive = 2
    hidden: Positive = 256
    queries: Positive = 12


class Detr(System):
    def __init__(self, size: DetrSize, facts: Facts) -> None:
        super().__init__()
        self.embed = ResNetEncoder(size)
        self.embed_map = Linear(self.embed.channels, size.width)
        self.embed_queries = nn.Parameter(torch.randn(size.queries, size.width))
        options: dict[str, Any] = {
            "width": size.width, "heads": size.heads, "hidden": size.hidden, "activation": "relu", "norm_first": False, "final_norm": False,
        }  # fmt: skip
        self.trunk_encoder = make_transformer({"image": size.layers}, **options)
        # One Transformer a layer: what each gives is read by the heads.
        self.trunk_decoder = nn.ModuleList(
            make_transformer({"query": 1}, cross=True, **options) for _ in range(size.layers)
        )
        self.trunk_norm = LayerNorm(size.width)
        self.head_class = Linear(size.width, len(facts.objects) + 1)
        self.head_box = MLP((size.width, size.width, size.width, 4))

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        wanted = batch.items["objects"]
        assert wanted.boxes is not None
        labels = wanted.value.masked_fill(~wanted.valid, IGNORE)
        found = [detection(*layer, labels, wanted.boxes) for layer in self._layers(batch, dtype)]
        chance = detection_chance(labels, wanted.boxes, self.head_class.out_features - 1, len(self.embed_queries))
        losses, chances, weights = dict(found[-1]), dict(chance), dict(WEIGHTS)
        for name in WEIGHTS if len(found) > 1 else ():
            # The paper adds up the losses of all layers; those of the earlier ones are shown as their mean.
            losses[f"{name}_earlier"] = torch.stack([layer[name] for layer in found[:-1]]).mean()
            chances[f"{name}_earlier"], weights[f"{name}_earlier"] = chance[name], WEIGHTS[name] * (len(found) - 1)
        return Losses(losses, chances, weights=weights)

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        logits, boxes = self._layers(batch, dtype)[-1]
        return {"objects": logits, "boxes": boxes}

    def _layers(self, batch: Batch, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        """After each decoder layer: logits [B, Q, C + 1] and boxes [B, Q, 4] as x0 y0 x1 y1."""
        grid = self.embed.map(batch.items["image"], dtype)
        x = self.embed_map(grid.flatten(2).mT)
        places = sinusoidal_2d(grid.shape[2], grid.shape[3], x.shape[-1]).to(x)[None]
        seen = Tokens(x, torch.ones_like(x[..., 0], dtype=torch.bool), (("image", 0, x.shape[1]),))
        memory = self.trunk_encoder(seen, places=places)
        queries = self.embed_queries.to(dtype).expand(len(x), -1, -1)
        state, valid = torch.zeros_like(queries), torch.ones_like(queries[..., 0], dtype=torch.bool)
        found: list[tuple[Tensor, Tensor]] = []
        for layer in self.trunk_decoder:
            tokens = Tokens(state, valid, (("query", 0, queries.shape[1]),))
            state = layer(tokens, memory=memory, places=queries, memory_places=places).x
            normed = self.trunk_norm(state)
            found.append((self.head_class(normed).float(), corners(self.head_box(normed).float().sigmoid())))
        return found


def tasks(size: DetrSize) -> tuple[Task, ...]:
    return (Task("detection", (Picture(size.side), Objects(size.queries))),)


DETR = Spec(
    name="detr",
    title="DETR",
    paper="Carion et al. 2020, arXiv 2005.12872",
    inputs=("image",),
    fusion="cross-attention of object queries to the picture",
    objectives=("set prediction of objects: class, box distance, generalised IoU",),
    differs="batch normalisation is trained; square pictures; no dropout",
    attends="places of the map ↔ places of the map\nobject queries ↔ object queries\nobject queries → places of the map",
    tiny=DetrSize(),
    published=Published(
        DetrSize.model_validate(
            {**RESNET50, "side": 800, "width": 256, "heads": 8, "layers": 6, "hidden": 2048, "queries": 100}
        ),
        Facts(vocabulary=0, objects=tuple(map(str, range(91)))),
        parameters=41_524_768,
        note="the public DETR-R50 counts 41,524,768 (the paper: 41 million): there the 53,120 gains and biases of batch normalisation are frozen "
        "buffers, here they are parameters",
    ),
    tasks=tasks,
    make=Detr,
    measure=Measure("detection", "objects", lambda size: tasks(size)[0]),
)
