"""Progressive fusion: modalities join stage by stage, and each stage is trained before the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from chiasm.fusion.fusion import Fused
from chiasm.fusion.sequences import joined, mean, parted
from chiasm.nn.transformer import Transformer
from chiasm.types import Features, Tokens


class Progressive(nn.Module):
    """Stage s reads what stage s − 1 made of the earlier modalities and its own one's tokens, as one sequence. Before its turn a modality is
    not looked at. joint: the mean of the last stage's valid tokens; zeros for a record that has no modality that has joined.

    begins: the share of the run at which each stage begins, the first 0. The stage that the run is in is a buffer, which only `advance` moves:
    a checkpoint holds it, and an untrained model is in its first.
    freeze: False, what earlier stages learned goes on learning beside the new one, as in progressive growing (Karras 2018, arXiv 1710.10196, 2);
    True, it stays as it is, with the encoders that feed it, as in progressive networks (Rusu 2016, arXiv 1606.04671, 2).
    """

    def __init__(self, stages: Mapping[str, Transformer], begins: Sequence[float], freeze: bool = False) -> None:
        """Raises ValueError for shares that do not rise from 0, one a stage."""
        super().__init__()
        if len(begins) != len(stages) or begins[0] != 0 or sorted(set(begins)) != list(begins) or begins[-1] >= 1:
            raise ValueError(f"{len(stages)} stages need as many rising shares from 0 to below 1, not {list(begins)}")
        self.stages = nn.ModuleDict(dict(stages))
        self.begins, self.freeze = tuple(begins), freeze
        self.stage: Tensor
        self.register_buffer("stage", torch.ones((), dtype=torch.int64))

    def advance(self, progress: float) -> None:
        """Move to the stage of a run that is `progress` (0 … 1) done."""
        self.stage.fill_(sum(progress >= begin for begin in self.begins))

    def forward(self, parts: Mapping[str, Features | Tokens]) -> Fused:
        names = list(self.stages)[: int(self.stage)]
        read: dict[str, Features] = {}
        joint: Tensor | None = None
        for name in names:
            features = self.stages[name](joined({**read, name: parts[name]}))
            if self.freeze and name != names[-1]:
                features = Features(features.x.detach(), features.valid, features.segments)
            read, joint = parted(features), mean(features)
        assert joint is not None
        later = {name: parts[name] for name in self.stages if name not in read}
        return Fused(joint, {**read, **{n: Features(p.x, p.valid, p.segments) for n, p in later.items()}})
