"""The queue of negatives: keys of the last batches, first in, first out (MoCo, arXiv 1911.05722, 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Queue(nn.Module):
    """Unit-length keys [K, E], saved with the checkpoint. Only the training loop moves it, with `push`, after an update."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        # Drawn once from torch's seeded generator when the model is made, as MoCo does: the first steps have negatives too.
        self.keys: Tensor
        self.at: Tensor
        self.register_buffer("keys", torch.nn.functional.normalize(torch.randn(length, width), dim=-1))
        self.register_buffer("at", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Replace the oldest keys by these [n, E]; of more than K, the last K stay."""
        length = len(self.keys)
        keys = keys.detach()[-length:].to(self.keys.dtype)
        start = int(self.at)
        index = torch.arange(start, start + len(keys), device=self.keys.device) % length
        self.keys[index] = keys
        self.at.fill_((start + len(keys)) % length)
