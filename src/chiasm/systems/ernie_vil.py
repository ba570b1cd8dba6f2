"""ERNIE-ViL: Knowledge Enhanced Vision-Language Representations Through Scene Graph (Yu et al., arXiv 2006.16934).

Takes in     text; regions of the picture, the whole picture first; the caption's objects, attributes and relations
Trunk        ViLBERT's two streams with co-attention
Objectives   ViLBERT's three (masked words, masked regions, matching) + scene-graph prediction: words that name an object, an attribute
             (its object in sight) or a relation (both its objects in sight) are masked, 30 % of each kind
Differs      the scene graph is the record's own (boxes and relations), where the paper parses the caption; a step is either of scene graphs
             or of ViLBERT's three; regions come from boxes or a grid, not from a Faster R-CNN; no dropout
"""

from __future__ import annotations

import math

import torch

from chiasm.batches.grounded_views import SceneCaption
from chiasm.batches.image_views import Regions
from chiasm.batches.task import Task
from chiasm.objectives.relational import scene_graph
from chiasm.systems.pairs import PUBLISHED_FACTS, fill_in, provided, target_of
from chiasm.systems.system import Measure, Published, Spec
from chiasm.systems.vilbert import PUBLISHED_SIZE, Vilbert, VilbertSize
from chiasm.systems.vilbert import tasks as vilbert_tasks
from chiasm.types import IGNORE, Batch, Losses


class ErnieVil(Vilbert):
    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        if batch.task != "scene_graph":
            return super().losses(batch, dtype)
        text, _ = self.read(batch, dtype)
        items = batch.items["text"]
        words, target = fill_in(self.head_words, self.embed.words, text, items)
        losses = scene_graph(words, target, batch.labels["category"][target_of(items) != IGNORE])
        return Losses(losses, dict.fromkeys(losses, math.log(words.shape[-1])))


def tasks(size: VilbertSize) -> tuple[Task, ...]:
    graph = Task("scene_graph", (SceneCaption(size.length), Regions(size.regions, whole=True)))
    return (*vilbert_tasks(size), graph)


ERNIE_VIL = Spec(
    name="ernie_vil",
    title="ERNIE-ViL",
    paper="Yu et al. 2020, arXiv 2006.16934",
    inputs=("text", "regions", "scene graph"),
    fusion="co-attention of two streams",
    objectives=(
        "masked words",
        "masked regions (KL)",
        "alignment",
        "masked objects, attributes and relations of the scene graph",
    ),
    differs="scene graphs are the records' own instead of parsed; regions from boxes or a grid instead of a detector; no dropout",
    attends="words ↔ words; regions ↔ regions; in the last layers, before each: words → regions and regions → words",
    tiny=VilbertSize(),
    published=Published(
        PUBLISHED_SIZE,
        PUBLISHED_FACTS,
        counted=("embed", "trunk", "head"),
        note="the paper gives no count; it is ViLBERT's model, and the scene graph needs no parameters of its own",
    ),
    tasks=tasks,
    make=ErnieVil,
    measure=Measure("label", "matched", lambda size: tasks(size)[0]),
    regions=provided,
)
