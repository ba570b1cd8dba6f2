"""Layers that compute in the type of their input and keep their parameters in float32.

The precision of a pass is decided once, where tokens are embedded; from there every layer follows its input. This
replaces autocast: no per-operation bookkeeping, and nothing is promoted to float32 by accident (a float32 position table
added to a bfloat16 stream promotes the whole stream, which costs half the speed).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PACK_UP_TO = 64
"""Rows up to which a product is bound by reading its weights, so that packing these pays (benchmarks/generate.py)."""

_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)


@contextmanager
def weights_kept() -> Generator[None, None, None]:
    """Inside, each parameter is cast once and each matrix of few rows' products packed once: for decoding, where a step's work is
    less than that. Costs the weights' memory again.

    For inference: parameters must not change inside, and no gradient flows through what is kept. Within another, it is the same one.
    """
    token = _kept.set(_kept.get() or _Kept())
    try:
        yield
    finally:
        _kept.reset(token)


def cast(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """The parameter in the type that a layer computes in."""
    if parameter.dtype == dtype:
        return parameter
    kept = _kept.get()
    return parameter.to(dtype) if kept is None else kept.get("cast", parameter, dtype)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, gelu: str | None = None) -> Tensor:
    """y = x Wᵀ + b in x's type. x: [..., D]; weight: [C, D].

    gelu: GELU(y) instead, exact (`none`) or by `tanh`, in the same kernel where there is one."""
    kept = _kept.get()
    bias = None if bias is None else cast(bias, x.dtype)
    if kept is None or x.dim() != 2 or x.shape[0] > PACK_UP_TO or x.device.type != "cpu" or x.dtype not in PACKED:
        y = F.linear(x, cast(weight, x.dtype), bias)
    elif x.shape[0] == 1 and x.dtype == torch.float32:
        turned = kept.get("turned", weight, x.dtype)
        y = torch.mm(x, turned) if bias is None else torch.addmm(bias, x, turned)
    else:
        packed = kept.get("packed", weight, x.dtype)
        # torch's own name for a product by a packed matrix, which its compiler emits; there is no public one without a copy of x.
        return _product(x, packed, bias, "none" if gelu is None else "gelu", [], gelu or "")
    return y if gelu is None else F.gelu(y, approximate=gelu)


class _Kept:
    """What parameters were made into, each with the parameter itself: an id is one's own only as long as the object lives."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int, torch.dtype], tuple[Tensor, Tensor]] = {}

    def get(self, kind: str, parameter: Tensor, dtype: torch.dtype) -> Tensor:
        key = (kind, id(parameter), dtype)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = (parameter, _make(kind, parameter.detach().to(dtype)))
        return found[1]


def _make(kind: str, weight: Tensor) -> Tensor:
    if kind == "packed":
        return torch.ops.mkldnn._reorder_linear_weight(weight, PACK_UP_TO)
    return weight.t().contiguous() if kind == "turned" else weight


def _packable() -> tuple[torch.dtype, ...]:
    """Types whose products this build of torch can pack."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return ()
    bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (torch.float32, torch.bfloat16) if bf16 else (torch.float32,)


PACKED = _packable()
_product: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.default if PACKED else F.linear


class Linear(nn.Linear):
    """y = x Wᵀ + b in x's type."""

    bias: nn.Parameter | None  # type: ignore[assignment]
    stacked: int = 1
    """Matrices that W holds one below the other, of equal height: an optimizer that works on whole matrices takes each by itself."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)

    def gelu(self, input: Tensor, approximate: str) -> Tensor:
        """GELU of y, see `linear`."""
        return linear(input, self.weight, self.bias, approximate)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation (arXiv 1607.06450) in x's type; statistics are float32 inside the kernel."""

    bias: nn.Parameter | None  # type: ignore[assignment]

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else cast(self.bias, input.dtype)
        return F.layer_norm(input, self.normalized_shape, cast(self.weight, input.dtype), bias, self.eps)


class RMSNorm(nn.Module):
    """Root-mean-square normalisation (arXiv 1910.07467) in x's type, with a gain and no bias."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), cast(self.weight, x.dtype), self.eps)


def make_norm(kind: str, width: int, eps: float = 1e-5) -> nn.Module:
    """`layer_norm` or `rms_norm` over the last axis."""
    if kind == "layer_norm":
        return LayerNorm(width, eps=eps)
    if kind == "rms_norm":
        return RMSNorm(width, eps=eps)
    raise ValueError(f"norm must be layer_norm or rms_norm, not {kind!r}")
