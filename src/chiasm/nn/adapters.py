"""Small trainable parts put into a trained model, with everything else frozen.

    names = adapt(model, "houlsby", 64, trainable=("heads.",))

The names of the frozen weights stay what they were, so a trunk's checkpoint still loads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.nn.attention import CrossAttention, SelfAttention
from chiasm.nn.block import Block
from chiasm.nn.feedforward import ACTIVATIONS
from chiasm.nn.linear import Linear

KINDS = ("houlsby", "pfeiffer", "lora")
"""Bottlenecks after attention and after the feed-forward part (arXiv 1902.00751, 2.1) · after the feed-forward part only
(arXiv 2005.00247, 4.3) · low-rank updates of the query and value projections (arXiv 2106.09685, 4.1)."""


class Adapter(nn.Module):
    """x + up(activation(down(x))), [..., D] → [..., D] through `size` values; the identity until it is trained."""

    def __init__(self, width: int, size: int, activation: str = "gelu") -> None:
        super().__init__()
        self.down = Linear(width, size)
        self.up = Linear(size, width)
        self.activation = ACTIVATIONS[activation]
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(_present(self.up.bias))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(self.activation(self.down(x)))


class LoRA(Linear):
    """A Linear whose chosen rows of outputs have a low-rank update: W + BA there, α = rank. `weight` and `bias` are the base's own.

    rows: (start, stop) of the outputs of one projection; several for a matrix that holds several.
    """

    def __init__(self, base: Linear, rows: Sequence[tuple[int, int]], rank: int) -> None:
        nn.Module.__init__(self)  # no weights of its own: nothing is allocated, no random number is drawn
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias, self.stacked = base.weight, base.bias, base.stacked
        self.rows = tuple(rows)
        like = self.weight.detach()
        self.lora_a = nn.Parameter(
            like.new_empty(len(rows), rank, self.in_features).normal_(std=self.in_features**-0.5)
        )
        self.lora_b = nn.ParameterList(like.new_zeros(stop - start, rank) for start, stop in rows)

    def forward(self, input: Tensor) -> Tensor:
        parts: list[Tensor] = []
        filled = 0
        for a, b, (start, stop) in zip(self.lora_a, self.lora_b, self.rows, strict=True):
            if start > filled:
                parts.append(input.new_zeros(*input.shape[:-1], start - filled))
            parts.append(F.linear(F.linear(input, a.to(input.dtype)), b.to(input.dtype)))
            filled = stop
        if filled < self.out_features:
            parts.append(input.new_zeros(*input.shape[:-1], self.out_features - filled))
        return super().forward(input) + (parts[0] if len(parts) == 1 else torch.cat(parts, -1))


def adapt(model: nn.Module, kind: str, size: int, trainable: Iterable[str] = ()) -> list[str]:
    """Put adapters of `size` (bottleneck or rank) into every Block of the model and freeze the rest; → the names of what trains.

    What trains: the adapters, for bottlenecks the norms inside the blocks too (arXiv 1902.00751, 2.1), and every parameter whose
    name begins with one of `trainable` (heads). The model computes what it did before until a step is made.

    Raises ValueError for an unknown kind, a model without blocks, or one that has adapters already.
    """
    if kind not in KINDS:
        raise ValueError(f"adapters must be one of {', '.join(KINDS)}, not {kind!r}")
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    if not blocks:
        raise ValueError("the model has no Transformer blocks to put adapters into")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for block in blocks:
        if kind == "lora":
            _add_low_rank(block, size)
        else:
            _add_bottlenecks(block, size, after_attention=kind == "houlsby")
    prefixes = tuple(trainable)
    for name, parameter in model.named_parameters():
        if name.startswith(prefixes):
            parameter.requires_grad_(True)
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def _add_bottlenecks(block: Block, size: int, after_attention: bool) -> None:
    if block.expert_adapters is not None:
        raise ValueError("the model has adapters already")
    for name, module in block.named_children():
        if name.endswith(("_norm", "_norms")):
            module.requires_grad_(True)
    parameter = next(block.parameters())

    def adapters() -> nn.ModuleDict:
        """One an expert: on a multiway trunk every modality tunes its own."""
        width = {name: _width(norm) for name, norm in block.expert_norms.items()}
        return nn.ModuleDict({name: Adapter(D, size) for name, D in width.items()}).to(parameter.device)

    block.expert_adapters = adapters()
    if after_attention:
        block.attention_adapters = adapters()


def _add_low_rank(block: Block, rank: int) -> None:
    for module in list(block.modules()):
        if isinstance(module, SelfAttention):
            d = module.inner
            module.qkv = _low_rank(module.qkv, [(0, d), (2 * d, 3 * d)], rank)
        elif isinstance(module, CrossAttention):
            d = module.inner
            module.q = _low_rank(module.q, [(0, d)], rank)
            module.kv = _low_rank(module.kv, [(d, 2 * d)], rank)


def _low_rank(base: Linear, rows: Sequence[tuple[int, int]], rank: int) -> LoRA:
    if isinstance(base, LoRA):
        raise ValueError("the model has adapters already")
    return LoRA(base, rows, rank)


def _width(norm: nn.Module) -> int:
    """D, from the gain that every norm has."""
    return next(norm.parameters()).shape[0]


def _present(bias: nn.Parameter | None) -> nn.Parameter:
    assert bias is not None
    return bias
