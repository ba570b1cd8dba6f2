"""Runs of named systems that embed texts and pictures apart (CLIP, SigLIP), ready to be searched and measured like any other model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chiasm.batches.image_views import Picture
from chiasm.batches.text_views import Caption
from chiasm.config import SystemRunConfig, load_run
from chiasm.errors import ModelError
from chiasm.modalities.image import read_image
from chiasm.modalities.text import Tokenizer
from chiasm.systems.system import Spec
from chiasm.train.machine import choose_dtype
from chiasm.train.model import LoadedModel, decode_all, image_items, text_items
from chiasm.train.step import to_device
from chiasm.train.system_model import SystemCheckpoint, describe, read_system
from chiasm.types import Batch, Items, Media, Text


class SystemEmbedder(LoadedModel):
    """A system whose `predict` gives "text" and "image", each from its own items alone."""

    def __init__(self, found: SystemCheckpoint, tokenizer: Tokenizer, device: torch.device, remember: bool) -> None:
        """Raises ModelError where weights and system do not fit."""
        super().__init__(device, found.path, remember)
        self._found, self._tokenizer = found, tokenizer
        self._model = found.model().to(device).eval()
        config = load_run(found.path / "config.yaml") if (found.path / "config.yaml").is_file() else None
        precision = config.train.precision if isinstance(config, SystemRunConfig) else "auto"
        self.dtype = choose_dtype(precision, device)
        views = found.spec.measure.task(found.size).views
        self._length = next(view.length for view in views if isinstance(view, Caption))
        self._side = next(view.side for view in views if isinstance(view, Picture))
        self._dimension = self._compute("text", [Text("a")]).shape[1]

    @property
    def modalities(self) -> tuple[str, ...]:
        return ("text", "image")

    @property
    def dimension(self) -> int:
        return self._dimension

    def _weights(self) -> tuple[str, Mapping[str, Tensor]]:
        found = self._found
        return describe(found.spec.name, found.size, found.facts, found.adapters), self._model.state_dict()

    @property
    def network(self) -> nn.Module:
        return self._model

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    @torch.no_grad()
    def _compute(self, modality: str, items: Sequence[Text | Media]) -> NDArray[np.float32]:
        return self.vectors(modality, self.prepare(modality, items), self.dtype).cpu().numpy()

    def prepare(self, modality: str, items: Sequence[Text | Media]) -> Items:
        if modality == "text":
            made = text_items(items, self._tokenizer, self._length)
        else:
            made = image_items(decode_all(items, lambda data: read_image(data, size=self._side)))
        return to_device(Batch((), made.owner, {modality: made}), self.device).items[modality]

    def vectors(self, modality: str, items: Items, dtype: torch.dtype = torch.float32) -> Tensor:
        rows = torch.arange(len(items.owner), device=self.device)
        return self._model.predict(Batch(("",) * len(rows), rows, {modality: items}), dtype)[modality].float()


def load_embedder(path: Path, device: torch.device, remember: bool = False) -> SystemEmbedder:
    """The embedder in a checkpoint folder. Raises ModelError for a system that has no such embeddings."""
    found = read_system(path)
    name = found.spec.name
    if not embeds(found.spec):
        raise ModelError(
            f"{path}: a run of {name}, which does not embed texts and pictures each alone; "
            "measure it with `chiasm evaluate RUN TABLE`, or read it with chiasm.train.system_model.read_system"
        )
    if found.tokenizer is None:
        raise ModelError(
            f"{path}: imported weights of {name} without a tokenizer of chiasm's; train from them: "
            f"chiasm train TABLE.lance system={name} init={path}"
        )
    return SystemEmbedder(found, found.tokenizer, device, remember)


def embeds(spec: Spec[Any]) -> bool:
    """Whether the system gives embeddings of a text alone and of a picture alone."""
    return spec.measure.kind == "retrieval" and set(spec.inputs) == {"text", "image"}
