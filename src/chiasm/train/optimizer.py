"""The optimizer and its schedule."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from chiasm.config import OptimizerConfig
from chiasm.nn.linear import Linear


class Optimizer:
    """AdamW (arXiv 1711.05101), or Muon for the trunks' matrices beside it, under one learning-rate schedule.

    Weight decay is for matrices only: gains, biases, positions, embeddings and the temperature have none.
    """

    def __init__(self, model: nn.Module, config: OptimizerConfig) -> None:
        self.config = config
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self._names = {id(p): name for name, p in model.named_parameters()}
        # A table of vectors that is also the output layer (tied, as in BERT and GPT) is no Linear's weight, and stays with AdamW.
        linears = [m for m in model.modules() if isinstance(m, Linear) and m.weight.requires_grad]
        matrices = list({m.weight: None for m in linears})
        kernels = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d) and m.weight.requires_grad]
        chosen = {id(p) for p in (*matrices, *kernels)}
        rest = [p for p in self.parameters if id(p) not in chosen]
        self._fused = fused = all(p.device.type in ("cpu", "cuda") for p in self.parameters)
        groups: list[dict[str, Any]] = [{"params": rest, "weight_decay": 0.0}]
        self._parts: list[torch.optim.Optimizer] = []
        decayed = [] if config.kind == "muon" else matrices
        self._slices: list[tuple[nn.Parameter, Tensor, slice]] = []
        if config.kind == "muon" and matrices:
            stacked = {id(m.weight): m.stacked for m in linears}
            self._parts.append(
                torch.optim.Muon(
                    [part for weight in matrices for part in self._split(weight, stacked[id(weight)])],
                    lr=config.matrix_learning_rate,
                    weight_decay=config.weight_decay,
                    ns_steps=config.orthogonal_steps,
                )
            )
        if decayed or kernels:
            groups.append({"params": [*decayed, *kernels], "weight_decay": config.weight_decay})
        self._parts.append(torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused))
        self._peaks = [[float(group["lr"]) for group in part.param_groups] for part in self._parts]

    def _split(self, weight: Tensor, stacked: int) -> list[Tensor]:
        """The matrices that a weight holds, each over its memory: of queries, keys and values made orthogonal as one, those of the values,
        whose gradients are by far the largest, would leave the others next to no update."""
        if stacked == 1:
            return [weight]
        made: list[Tensor] = []
        for k in range(stacked):
            rows = slice(k * len(weight) // stacked, (k + 1) * len(weight) // stacked)
            part = nn.Parameter(weight.detach()[rows])
            self._names[id(part)] = f"{self._names[id(weight)]}.{k}"
            self._slices.append((part, weight, rows))
            made.append(part)
        return made

    def set_progress(self, progress: float) -> float:
        """Set the learning rates for a run that is `progress` (0 … 1) done; AdamW's is returned."""
        share = schedule(progress, self.config.warmup, self.config.final)
        for part, peaks in zip(self._parts, self._peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * share
        return self.config.learning_rate * share

    def step(self) -> None:
        for part, whole, rows in self._slices:
            part.grad = None if whole.grad is None else whole.grad[rows]
        for part in self._parts:
            part.step()
        for part, _, _ in self._slices:
            part.grad = None

    def clear(self) -> None:
        for p in self.parameters:
            p.grad = None

    def state(self) -> dict[str, Tensor]:
        """Every state tensor by "parameter/state name", for safetensors."""
        return {
            f"{self._names[id(p)]}/{key}": value.detach() if isinstance(value, Tensor) else torch.tensor(value)
            for part in self._parts
            for p, state in part.state.items()
            for key, value in state.items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        by_name: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            name, _, state = key.rpartition("/")
            by_name.setdefault(name, {})[state] = value
        for part, whole, rows in self._slices:  # a run from before matrices were told apart
            kept = by_name.get(self._names[id(whole)])
            if kept:
                by_name.setdefault(self._names[id(part)], {k: v[rows] if v.ndim else v for k, v in kept.items()})
        for part in self._parts:
            for group in part.param_groups:
                for p in group["params"]:
                    kept = by_name.get(self._names[id(p)])
                    if kept:
                        part.state[p] = {
                            key: value.to(p.device) if value.ndim or self._fused else value.clone()
                            for key, value in kept.items()
                        }


def schedule(progress: float, warmup: float, final: float) -> float:
    """Linear warm-up over the share `warmup` of the run, then half a cosine down to `final` of the peak."""
    if warmup > 0 and progress < warmup:
        # Never exactly zero: a first step that changes nothing would be wasted.
        return max(progress / warmup, 1e-2)
    along = min((progress - warmup) / (1 - warmup), 1.0)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * along))
