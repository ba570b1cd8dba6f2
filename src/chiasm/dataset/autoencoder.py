"""Small networks that bring features to a few dimensions and back: an autoencoder, and a variational one (arXiv 1312.6114)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = NDArray[np.float32]

BATCH = 64
RATE = 1e-3


@contextmanager
def one_thread(seed: int) -> Generator[None]:
    """torch on one thread and from `seed`, so that the same input gives the same bytes; both are as before afterwards."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


class Autoencoder:
    """x [n, d] → codes [n, z] → x̂ [n, d]: one hidden layer on either side (GELU), mean squared error.

    vae: codes are the means of Gaussians that are sampled while it learns, and the loss is the evidence lower bound for data of unit
    variance in each feature: ½‖x − x̂‖² + KL, summed over features. Features are expected at mean 0 and deviation 1.
    """

    def __init__(
        self, features: int, dimensions: int, hidden: int, kind: Literal["autoencoder", "vae"], seed: int
    ) -> None:
        from torch import nn

        self._kind, self._seed, self._dimensions = kind, seed, dimensions
        codes = dimensions * (2 if kind == "vae" else 1)
        with one_thread(seed):
            self._encode: nn.Module = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, codes))
            self._decode: nn.Module = nn.Sequential(
                nn.Linear(dimensions, hidden), nn.GELU(), nn.Linear(hidden, features)
            )

    def fit(
        self, x: Floats, rows: NDArray[np.int64], epochs: int, progress: Callable[[int], None] | None = None
    ) -> list[float]:
        """Learns from the `rows` of x for `epochs` passes in batches of BATCH; returns the mean loss a feature of each pass.

        x may lie on disk: a batch of it is in memory.
        """
        import torch

        weights = [*self._encode.parameters(), *self._decode.parameters()]
        steps = max(1, -(-len(rows) // BATCH)) * epochs
        losses: list[float] = []
        with one_thread(self._seed + 1):
            optimizer = torch.optim.Adam(weights, lr=RATE)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            for epoch in range(epochs):
                total = 0.0
                for batch in torch.randperm(len(rows)).split(BATCH):
                    loss = self._loss(torch.from_numpy(x[rows[batch.numpy()]]))
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                    total += float(loss.detach()) * len(batch) / len(rows)
                losses.append(total / x.shape[1])
                if progress is not None:
                    progress(epoch + 1)
        return losses

    def encode(self, x: Floats) -> Floats:
        """Codes [n, z]; the means where it is variational."""
        return self._apply(x, lambda batch: self._encode(batch)[:, : self._dimensions])

    def decode(self, codes: Floats) -> Floats:
        """Codes [n, z] → x̂ [n, d]."""
        return self._apply(codes, self._decode)

    def _loss(self, x: Tensor) -> Tensor:
        import torch

        codes = self._encode(x)
        if self._kind == "autoencoder":
            return (self._decode(codes) - x).square().sum(1).mean()
        mean, log_variance = codes.chunk(2, 1)
        log_variance = log_variance.clamp(-10, 10)
        sampled = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
        return ((self._decode(sampled) - x).square().sum(1) / 2 + divergence).mean()

    def _apply(self, x: Floats, run: Callable[[Tensor], Tensor]) -> Floats:
        import torch

        with one_thread(self._seed), torch.no_grad():
            return run(torch.from_numpy(np.ascontiguousarray(x))).numpy()
