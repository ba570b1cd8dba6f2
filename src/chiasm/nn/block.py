"""One Transformer block, assembled from parts that are handed in."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from chiasm.nn.cache import BlockCache
from chiasm.nn.layout import Layout


class Block(nn.Module):
    """Residual sub-layers: attention, cross-attention to a memory where there is one, feed-forward.

    norm_first: x + f(norm(x)) (pre-norm, arXiv 2002.04745); otherwise norm(x + f(x)) (post-norm, arXiv 1706.03762, 3.1).

    The feed-forward part is a mapping from modality to expert (multiway, arXiv 2111.02358): a token passes the expert of its
    modality. A single-modality trunk is the same block with one expert.

    `attention_adapters` and `expert_adapters` are empty until nn/adapters.py fills them: one an expert, applied to what the
    sub-layer gives before it is added to the stream.

    A block without self-attention (None) only looks at the memory: co-attention (ViLBERT, arXiv 1908.02265, 3.1).
    """

    def __init__(
        self,
        attention: nn.Module | None,
        experts: Mapping[str, nn.Module],
        attention_norm: nn.Module | None,
        expert_norms: Mapping[str, nn.Module],
        *,
        norm_first: bool = True,
        cross: nn.Module | None = None,
        cross_norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if (cross is None) != (cross_norm is None) or (attention is None) != (attention_norm is None):
            raise ValueError("attention and its norm come together")
        self.norm_first = norm_first
        self.attention = attention
        self.attention_norm = attention_norm
        self.cross = cross
        self.cross_norm = cross_norm
        self.experts = nn.ModuleDict(dict(experts))
        self.expert_norms = nn.ModuleDict(dict(expert_norms))
        self.attention_adapters: nn.ModuleDict | None = None
        self.expert_adapters: nn.ModuleDict | None = None

    def forward(
        self,
        x: Tensor,
        layout: Layout,
        memory: tuple[Tensor, Layout] | None = None,
        bias: Tensor | None = None,
        cache: BlockCache | None = None,
        places: Tensor | None = None,
        memory_places: Tensor | None = None,
    ) -> Tensor:
        """x: packed tokens [P, D]. memory: packed [Q, C] and its layout. bias: added to the scores of self-attention.
        places, memory_places: packed [P, D] and [Q, C], added to what queries and keys are made of."""
        first = self.norm_first
        if self.attention is not None and self.attention_norm is not None:
            mixed = self.attention(self.attention_norm(x) if first else x, layout, bias, cache, places)
            if self.attention_adapters is not None:
                mixed = by_span(self.attention_adapters, mixed, layout)
            x = x + mixed if first else self.attention_norm(x + mixed)
        if self.cross is not None and self.cross_norm is not None:
            seen, seen_layout = memory or (None, None)
            mixed = self.cross(
                self.cross_norm(x) if first else x, layout, seen, seen_layout, cache, places, memory_places
            )
            x = x + mixed if first else self.cross_norm(x + mixed)
        changed = by_span(self.experts, x, layout, self.expert_norms if first else None)
        if self.expert_adapters is not None:
            changed = by_span(self.expert_adapters, changed, layout)
        return x + changed if first else by_span(self.expert_norms, x + changed, layout)


def by_span(modules: nn.ModuleDict, x: Tensor, layout: Layout, before: nn.ModuleDict | None = None) -> Tensor:
    """Each modality's packed rows through its own module (and through the one `before` it): [P, D] → [P, D]."""
    parts: list[Tensor] = []
    for m, start, stop in layout.spans:
        part = x[start:stop]
        parts.append(modules[m](part if before is None else before[m](part)))
    return parts[0] if len(parts) == 1 else torch.cat(parts)
