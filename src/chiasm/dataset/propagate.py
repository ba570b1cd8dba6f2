"""A nearest-neighbour graph over rows, and labels that spread along it.

Letters: n rows · d features · k classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BLOCK = 1024
"""Rows compared with all others at once, at most."""

SIMILARITIES = 2**25
"""Similarities in memory at once, whatever n."""

SHARPNESS = 3
"""A tie weighs its cosine to this power (Iscen et al. 2019, arXiv 1904.04717, equation 9)."""


def nearest_neighbours(x: NDArray[np.float32], neighbours: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices and cosines [n, min(neighbours, n − 1)] of the nearest rows of unit-length x [n, d], exact, nearest first, never the row itself."""
    n = len(x)
    count = max(min(neighbours, n - 1), 0)
    index = np.zeros((n, count), np.int64)
    cosine = np.zeros((n, count), np.float32)
    if not count:
        return index, cosine
    size = max(1, min(BLOCK, SIMILARITIES // n))
    for start in range(0, n, size):
        block = x[start : start + size] @ x.T
        rows = np.arange(len(block))
        block[rows, start + rows] = -np.inf
        near = np.argpartition(-block, count - 1, axis=1)[:, :count]
        value = np.take_along_axis(block, near, 1)
        order = np.lexsort((near, -value), axis=1)  # of equal cosines the earlier row first
        index[start : start + size] = np.take_along_axis(near, order, 1)
        cosine[start : start + size] = np.take_along_axis(value, order, 1)
    return index, cosine


def neighbour_graph(x: NDArray[np.float32], neighbours: int) -> csr_matrix:
    """The symmetric weights [n, n] of the graph in which every row is tied to its nearest: max(cosine, 0) to the power SHARPNESS.

    x: unit-length [n, d]; a row of zeros is tied to nothing.
    """
    from scipy.sparse import csr_matrix

    index, cosine = nearest_neighbours(x, neighbours)
    n = len(x)
    weight = np.maximum(cosine.astype(np.float64), 0.0) ** SHARPNESS
    rows = np.repeat(np.arange(n), index.shape[1])
    graph = csr_matrix((weight.ravel(), (rows, index.ravel())), shape=(n, n))
    graph = graph.maximum(graph.T).tocsr()
    graph.eliminate_zeros()
    return graph


def normalise(graph: csr_matrix) -> csr_matrix:
    """D^(−1/2) W D^(−1/2); a row without ties stays without."""
    from scipy.sparse import diags

    degree = np.asarray(graph.sum(axis=1)).ravel()
    scale = diags(np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1e-12)), 0.0))
    return (scale @ graph @ scale).tocsr()


def spread_labels(
    graph: csr_matrix,
    labels: NDArray[np.int64],
    classes: int,
    *,
    alpha: float = 0.9,
    iterations: int = 500,
    tolerance: float = 1e-6,
) -> NDArray[np.float64]:
    """Label spreading (Zhou et al. 2004): F ← α S F + (1 − α) Y until it stands still, S the normalised graph.

    labels: int64 [n], −1 where unknown. Returns each row's shares of the classes [n, k]; rows that no label reaches are zero. Each class
    begins with the same mass, so that a frequent one does not flood the graph.
    """
    known = labels >= 0
    start = np.zeros((len(labels), classes))
    start[known, labels[known]] = 1 / np.bincount(labels[known], minlength=classes)[labels[known]]
    matrix = normalise(graph)
    spread = start
    for _ in range(iterations):
        fresh = alpha * (matrix @ spread) + (1 - alpha) * start
        moved = float(np.abs(fresh - spread).max(initial=0.0))
        spread = fresh
        if moved < tolerance * max(float(spread.max(initial=0.0)), 1e-300):
            break
    total = spread.sum(axis=1, keepdims=True)
    return np.divide(spread, total, out=np.zeros_like(spread), where=total > 1e-300)
