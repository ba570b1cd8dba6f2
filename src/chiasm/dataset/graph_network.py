"""A small graph convolutional network (Kipf & Welling 2017, arXiv 1609.02907): classes of all rows from those of a few and their ties."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.autoencoder import one_thread
from chiasm.dataset.propagate import normalise

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

HIDDEN = 64
STEPS = 200
RATE, DECAY, DROPOUT = 0.01, 5e-4, 0.5
"""As in the paper (5.2), with a wider hidden layer, and without dropout of the features, which are dense here."""


def fit_graph_network(
    x: NDArray[np.float32], graph: csr_matrix, labels: NDArray[np.int64], classes: int, seed: int = 0
) -> NDArray[np.float64]:
    """Logits [n, classes] of all rows after STEPS full-batch steps on the labelled ones: Â·relu(Â·x·W₀)·W₁, Â the normalised graph
    with self-loops.

    x: float32 [n, d] · graph: symmetric weights [n, n] · labels: int64 [n], −1 where unknown. The same seed gives the same logits:
    one thread, and a random state of its own.
    """
    import torch
    import torch.nn.functional as F
    from scipy.sparse import eye_array

    with one_thread(seed):
        matrix = normalise((graph + eye_array(len(x))).tocsr()).tocoo()
        places = torch.from_numpy(np.stack([matrix.row, matrix.col]).astype(np.int64))
        weights = torch.from_numpy(matrix.data.astype(np.float32))
        ties = torch.sparse_coo_tensor(places, weights, matrix.shape, check_invariants=False).coalesce()
        near = torch.from_numpy((matrix @ x).astype(np.float32))  # Â·x, which no step changes
        target = torch.from_numpy(labels)
        known = target >= 0
        first, second = torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, classes)
        optimizer = torch.optim.Adam(
            [{"params": first.parameters(), "weight_decay": DECAY}, {"params": second.parameters()}], lr=RATE
        )

        def forward(training: bool) -> torch.Tensor:
            hidden = F.relu(first(near))
            return torch.sparse.mm(ties, second(F.dropout(hidden, DROPOUT, training)))

        for _ in range(STEPS):
            optimizer.zero_grad()
            F.cross_entropy(forward(True)[known], target[known]).backward()
            optimizer.step()
        with torch.no_grad():
            return forward(False).double().numpy()
