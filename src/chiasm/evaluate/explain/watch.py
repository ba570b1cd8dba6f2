"""What a network looks at in one pass, noted without changing the pass.

Attention does not keep its weights: below a length it makes them and throws them away, above it the fused kernel never has them. So the
hooks note what each attention was given, from which `SelfAttention.weights` makes them again, and what it mixed. The gradient with
respect to the weights needs no other pass either: the mixture is O = A V, so ∂y/∂A = ∂y/∂O Vᵀ.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from chiasm.modalities.embed import AudioEmbedder, ImageEmbedder, TextEmbedder
from chiasm.nn.attention import SelfAttention
from chiasm.nn.layout import Layout
from chiasm.nn.transformer import Transformer
from chiasm.types import Features, Items

Front = TextEmbedder | ImageEmbedder | AudioEmbedder


@dataclass(frozen=True, slots=True)
class Look:
    """One self-attention of a pass. given: packed [P, D]; mixed: packed [P, H·d], what the heads took, before the projection."""

    module: SelfAttention
    given: Tensor
    layout: Layout
    bias: Tensor | None
    places: Tensor | None
    mixed: Tensor

    def weights(self) -> tuple[Tensor, Tensor]:
        """Weights [I, H, N, N] and values [I, H, N, d], without gradients."""
        with torch.no_grad():
            return self.module.weights(self.given, self.layout, self.bias, self.places)

    def heads(self, mixed: Tensor) -> Tensor:
        """Packed [P, H·d] → [I, H, N, d]."""
        shape = (self.layout.batch, self.layout.length, self.module.heads, self.module.head_width)
        return self.layout.unpack(mixed).view(shape).transpose(1, 2)


class Watch:
    """Inside, every self-attention, every trunk's result and every embedder of `network` that runs is noted, in order."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._handles: list[RemovableHandle] = []
        self._given: dict[nn.Module, tuple[Any, ...]] = {}
        self.looks: list[Look] = []
        self.features: list[Features] = []
        self.fronts: list[Front] = []

    def __enter__(self) -> Watch:
        for module in self._network.modules():
            if isinstance(module, SelfAttention):
                self._handles.append(module.register_forward_pre_hook(self._enter))
                self._handles.append(module.out.register_forward_pre_hook(self._mixed(module)))
            elif isinstance(module, Transformer):
                self._handles.append(module.register_forward_hook(self._leave))
            elif isinstance(module, Front):
                self._handles.append(module.register_forward_hook(self._front))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def _enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._given[module] = args

    def _mixed(self, owner: SelfAttention) -> Any:
        def note(_: nn.Module, args: tuple[Any, ...]) -> None:
            x, layout, *rest = self._given[owner]
            bias, _cache, places = (*rest, None, None, None)[:3]
            self.looks.append(Look(owner, x, layout, bias, places, args[0]))

        return note

    def _leave(self, _: nn.Module, __: tuple[Any, ...], features: Features) -> None:
        self.features.append(features)

    def _front(self, module: nn.Module, _: tuple[Any, ...], __: Any) -> None:
        assert isinstance(module, Front)
        self.fronts.append(module)


@dataclass(frozen=True, slots=True)
class Sight:
    """A pass: unit-length vectors [I, E], the attentions on the way, the tokens [I, N, D] that the head pooled, and who made tokens."""

    vectors: Tensor
    looks: list[Look]
    features: Features
    front: Front


def look(model: Any, modality: str, items: Items) -> Sight:
    """Embed prepared items in float32 with gradients on, and note what happens. model: a train.model.LoadedModel."""
    with torch.enable_grad(), Watch(model.network) as watch:
        vectors = model.vectors(modality, items)
    return Sight(vectors, watch.looks, watch.features[-1], watch.fronts[-1])
