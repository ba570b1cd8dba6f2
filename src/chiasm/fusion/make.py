"""Fusion as one switch: every kind by its name, of about equal depth, for the same encoded modalities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import nn

from chiasm.fusion.bottleneck import Bottleneck
from chiasm.fusion.co_attention import Stream, make_co_attention
from chiasm.fusion.conversion import Conversion, make_converters
from chiasm.fusion.cross_attention import CrossFusion
from chiasm.fusion.early import Early
from chiasm.fusion.joins import Bilinear, Concat, Gated, Max, Sum, Weighted
from chiasm.fusion.late import Late
from chiasm.fusion.multiway import Multiway
from chiasm.fusion.progressive import Progressive
from chiasm.nn.transformer import Transformer, make_transformer

FusionKind = Literal[
    "early", "late_concat", "late_sum", "late_weighted", "late_gated", "late_max", "late_bilinear", "cross_attention",
    "co_attention", "conversion", "bottleneck", "multiway", "progressive",
]  # fmt: skip
KINDS: tuple[FusionKind, ...] = get_args(FusionKind)
"""Every kind of fusion, in the order in which tables list them."""
LAST_JOINS = 0.3
"""The share of a run after which a progressive fusion has all its modalities."""


def make_fusion(kind: FusionKind, modalities: Sequence[str], width: int, heads: int, layers: int) -> nn.Module:
    """A Fusion (fusion/fusion.py) of `layers` blocks, in which every modality passes as many (progressive: those that join earlier pass the
    later stages' too). All modalities have `width`; the first is the one that reads, and the one that a progressive fusion begins with.

    Raises ValueError for a kind that does not exist or does not fit so few layers (bottleneck: 2).
    """

    def trunk(cross: bool = False) -> Transformer:
        return make_transformer({"all": layers}, width=width, heads=heads, cross=cross)

    names, reader = tuple(modalities), modalities[0]
    if kind == "early":
        return Early(trunk())
    if kind.startswith("late_"):
        return Late({name: trunk() for name in names}, _join(kind, len(names), width))
    if kind == "cross_attention":
        return CrossFusion(trunk(cross=True), reader)
    if kind == "co_attention":
        streams = {name: Stream(width, heads, layers) for name in names}
        return make_co_attention(streams, layers, heads=heads, head_width=width // heads)
    if kind == "conversion":
        return Conversion(trunk(), make_converters(names[1:], width, width), reader)
    if kind == "bottleneck":
        return Bottleneck({name: trunk() for name in names}, width)
    if kind == "multiway":
        return Multiway(names, width, heads, layers)
    if kind == "progressive":
        begins = [LAST_JOINS * index / max(len(names) - 1, 1) for index in range(len(names))]
        return Progressive({name: trunk() for name in names}, begins)
    raise ValueError(f"a fusion is one of {', '.join(KINDS)}, not {kind!r}")


def joint_width(kind: FusionKind, modalities: int, width: int) -> int:
    """The width of the joint vector that such a fusion makes."""
    return modalities * width if kind in ("late_concat", "co_attention") else width


def _join(kind: str, modalities: int, width: int) -> nn.Module:
    if kind == "late_concat":
        return Concat()
    if kind == "late_sum":
        return Sum()
    if kind == "late_weighted":
        return Weighted(modalities)
    if kind == "late_gated":
        return Gated(modalities, width)
    if kind == "late_max":
        return Max()
    if kind == "late_bilinear":
        return Bilinear(modalities, width, width)
    raise ValueError(f"a fusion is one of {', '.join(KINDS)}, not {kind!r}")
