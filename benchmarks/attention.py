"""The two attention kernels of nn/attention.py at the lengths of this field: forward + backward, CPU-seconds.

    python benchmarks/attention.py [--rounds 3] [--threads 1]

Decides FUSED_FROM: the explicit products as long as they are faster.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _measure import arguments, cpu_seconds, interleave, report

LENGTHS = (16, 64, 256, 512, 1024)
TOKENS = 16_384


def work(fused: bool, precision: str) -> dict[str, float]:
    import torch

    from chiasm.nn import attention
    from chiasm.train.machine import quiet_allocator

    quiet_allocator()
    attention.FUSED_FROM = 1 if fused else 10**9
    dtype = getattr(torch, precision)
    found: dict[str, float] = {}
    for length in LENGTHS:
        q, k, v = (torch.randn(TOKENS // length, 4, length, 64, dtype=dtype, requires_grad=True) for _ in range(3))

        def step(q: torch.Tensor = q, k: torch.Tensor = k, v: torch.Tensor = v) -> None:
            attention.attend(q, k, v).sum().backward()

        step()
        found[f"CPU-seconds at {length} tokens"] = cpu_seconds(lambda step=step: [step() for _ in range(5)]) / 5
    return found


if __name__ == "__main__":
    options = arguments(__doc__ or "", rounds=3)
    kinds = {
        f"{name}, {p}": functools.partial(work, name == "fused", p)
        for p in ("bfloat16", "float32")
        for name in ("explicit", "fused")
    }
    report(interleave(kinds, options.rounds, options.threads), "fused, bfloat16", options.json)
