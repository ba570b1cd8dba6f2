"""Several processes, one model: the only file that talks to torch.distributed.

Launched by torchrun, or by `chiasm train train.processes=N` (launch.py); one process is the default and needs none of it.
The loss is computed on every process over the gathered embeddings of all, so each holds the exact gradient of the global loss with respect
to its own items; parameters' gradients are then summed. No autograd passes through a collective.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """This process among all. `rank` 0 writes files and talks to the user."""

    rank: int = 0
    size: int = 1

    @property
    def device(self) -> str:
        """Where tensors must lie that the processes exchange."""
        return "cuda" if self.size > 1 and dist.get_backend() == "nccl" else "cpu"

    @classmethod
    def join(cls, device: str = "auto") -> World:
        """The world that torchrun's environment variables describe, or a world of one. `device`: as in the configuration."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        cuda = device in ("auto", "cuda") and torch.cuda.is_available()
        if cuda:
            # Before any collective: each process has a device of its own, and all that says "cuda" means that one.
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        if not dist.is_initialized():
            dist.init_process_group("nccl" if cuda else "gloo")
        return cls(dist.get_rank(), size)

    @classmethod
    def meet(cls, point: Path, rank: int, size: int) -> World:
        """A world of processes of this machine that find each other through the file `point`."""
        dist.init_process_group("gloo", init_method=f"file://{point}", rank=rank, world_size=size)
        return cls(rank, size)

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def gather(self, x: Tensor) -> tuple[Tensor, slice]:
        """Rows of all processes in rank order, and where this process's rows are among them. Numbers of rows may differ."""
        if self.size == 1:
            return x, slice(0, len(x))
        counts = [torch.zeros(1, dtype=torch.int64, device=x.device) for _ in range(self.size)]
        dist.all_gather(counts, torch.tensor([len(x)], device=x.device))
        lengths = [int(c) for c in counts]
        longest = max(lengths)
        padded = x.new_zeros(longest, *x.shape[1:])
        padded[: len(x)] = x
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        start = sum(lengths[: self.rank])
        return torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)]), slice(start, start + len(x))

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by its sum over all processes, in one transfer. A parameter unused here counts as zero."""
        if self.size == 1:
            return
        parameters = list(parameters)
        for p in parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        flat = torch.cat([p.grad.view(-1) for p in parameters if p.grad is not None])
        dist.all_reduce(flat)
        for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            p.grad = part.view_as(p)

    def agree(self, *values: float) -> tuple[float, ...]:
        """Rank 0's values, on every process."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return tuple(shared.tolist())

    def wait(self) -> None:
        if self.size > 1:
            dist.barrier()

    def leave(self) -> None:
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()
