"""InfoNCE at N × 512: the tiled loss against the full similarity matrix (as CLIP implementations write it).

    python benchmarks/info_nce.py [--rounds 5] [--threads 1]

Prints CPU-seconds of forward + backward, the memory that it added to the process at its peak, and the relative error of the gradient.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _measure import arguments, cpu_seconds, interleave, peak_mib, report

N, E = 16_384, 512


def inputs():
    import torch
    import torch.nn.functional as F

    generator = torch.Generator().manual_seed(0)
    a, b = (F.normalize(torch.randn(N, E, generator=generator), dim=1) for _ in range(2))
    b = F.normalize(a + b, dim=1)  # pairs that belong together somewhat, as in training
    return a.requires_grad_(), b.requires_grad_(), torch.tensor(14.3, requires_grad=True)


def full(a, b, scale):
    """The usual CLIP loss."""
    import torch
    import torch.nn.functional as F

    logits = scale * a @ b.T
    target = torch.arange(len(a))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def tiled(a, b, scale, tile: int):
    import torch

    from chiasm.objectives.contrastive import info_nce

    index = torch.arange(len(a))
    return info_nce(a, b, index, index, scale, tile)


def work(kind: str, tile: int = 0) -> dict[str, float]:
    a, b, scale = inputs()
    loss_of = full if kind == "full" else functools.partial(tiled, tile=tile)
    tiny = [x[:64].detach().requires_grad_() for x in (a, b)]
    loss_of(*tiny, scale).backward()  # warm up kernels and imports outside of the measurement
    scale.grad = None
    before = peak_mib()
    seconds = cpu_seconds(lambda: loss_of(a, b, scale).backward())
    added = peak_mib() - before
    import torch

    probe = torch.randn(N, E, generator=torch.Generator().manual_seed(1))
    return {"CPU-seconds": seconds, "MiB added": added, "gradient projection": float((a.grad * probe).sum())}


def gradient_error(tile: int) -> float:
    """Relative error of the tiled gradient at 4,096 rows, against the full matrix in float64."""
    import torch

    a, b, scale = inputs()
    a, b = (x[:4096].detach().requires_grad_() for x in (a, b))
    tiled(a, b, scale, tile).backward()
    a64, b64 = (x.detach().double().requires_grad_() for x in (a, b))
    full(a64, b64, torch.tensor(14.3, dtype=torch.float64)).backward()
    return max(float((x.grad - y.grad).norm() / y.grad.norm()) for x, y in ((a, a64), (b, b64)))


if __name__ == "__main__":
    options = arguments(__doc__ or "", rounds=5)
    contenders = {f"tiled, {t} rows": functools.partial(work, "tiled", t) for t in (256, 512, 1024)}
    found = interleave({"full": functools.partial(work, "full"), **contenders}, options.rounds, options.threads)
    report(found, "full", options.json)
    for tile in (256, 1024):
        print(
            f"\nrelative error of the gradient at 4,096 rows, tile {tile}, against float64: {gradient_error(tile):.2g}"
        )
