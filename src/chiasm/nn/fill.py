"""Parallel decoding of codes: all places at once, the surest kept, the others asked again (MaskGIT, arXiv 2202.04200, 3.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from chiasm.config import DecodingConfig
from chiasm.errors import ConfigError
from chiasm.nn.choose import guide, log_probability, pick
from chiasm.nn.linear import weights_kept

Predict = Callable[[Tensor, Tensor], Sequence[Tensor]]


def fill(
    predict: Predict,
    count: int,
    length: int,
    sizes: Sequence[int],
    rounds: int = 8,
    options: DecodingConfig | None = None,
    *,
    annealing: float = 4.5,
    rows: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """codes int64 [B, L, G] for B = count sequences of L places with G = len(sizes) codes each, in `rounds` passes.

    predict: (codes int64 [B, L, G], known bool [B, L]) → float32 logits [B, L, C_g] a group; where a place is not known its codes are 0
    and mean nothing. With guidance other than 1 it is asked for 2B sequences, the B with their condition first.
    Round r of T draws every unknown place and keeps all but the ⌊L cos(π r / 2T)⌋ least sure. Sureness is the place's log-probability +
    annealing · (1 − r/T) · Gumbel noise: much choice at first, none in the end (0: none at all). `greedy` takes the likeliest code of
    each place, with no noise.
    rows: the numbers of the rows' random streams, as in `generate`. Raises ConfigError for beams or candidates.
    """
    options = options or DecodingConfig(kind="sample")
    if options.kind == "beam" or options.candidates > 1:
        raise ConfigError("parallel filling is greedy or sampled, one candidate a row: use other row numbers for more")
    numbers = range(count) if rows is None else rows
    if len(numbers) != count or rounds < 1:
        raise ConfigError(f"{len(numbers)} row numbers for {count} rows, {rounds} rounds: give as many, and a round")
    streams = [np.random.default_rng((options.seed, number)) for number in numbers]
    codes = torch.zeros(count, length, len(sizes), dtype=torch.int64, device=device)
    known = torch.zeros(count, length, dtype=torch.bool, device=device)
    with torch.inference_mode(), weights_kept():
        for round_ in range(1, rounds + 1):
            drawn, sure = _draw(predict, codes, known, options, streams)
            noise = torch.from_numpy(np.stack([stream.gumbel(size=length) for stream in streams])).float().to(device)
            if options.kind == "sample":
                sure = sure + annealing * (1 - round_ / rounds) * noise
            open_ = min(int(length * math.cos(math.pi * round_ / (2 * rounds)) + 1e-9), length)
            # At least one place a round, so that no pass is for nothing.
            open_ = max(0, min(open_, int((~known[0]).sum()) - 1))
            order = sure.masked_fill(known, torch.inf).argsort(stable=True, dim=-1)
            new = torch.ones_like(known).scatter(-1, order[:, :open_], False)
            codes = torch.where((known | ~new)[..., None], codes, drawn)
            known = new
            if open_ == 0:
                break
    return codes.clone()


def _draw(
    predict: Predict, codes: Tensor, known: Tensor, options: DecodingConfig, streams: Sequence[np.random.Generator]
) -> tuple[Tensor, Tensor]:
    """A code for every place, [B, L, G], and the log-probability of each place's codes, [B, L]."""
    twice = options.guidance != 1
    asked = (torch.cat([codes, codes]), torch.cat([known, known])) if twice else (codes, known)
    count, length = known.shape
    drawn: list[Tensor] = []
    sure = torch.zeros(count, length, device=known.device)
    for logits in predict(*asked):
        flat = guide(logits.float(), options.guidance).flatten(0, 1)
        uniform = None
        if options.kind == "sample":
            uniform = torch.from_numpy(np.stack([stream.random(length) for stream in streams])).flatten()
        code = pick(flat, options, uniform)
        drawn.append(code.view(count, length))
        sure += log_probability(flat, code).view(count, length)
    return torch.stack(drawn, -1), sure
