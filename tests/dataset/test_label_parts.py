"""Calibration, label errors, neighbours, spreading, the graph network and clusters, each against a naive version or a planted truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from chiasm.dataset.calibration import expected_calibration_error, fit_temperature, softmax
from chiasm.dataset.cluster import NOISE, by_size, cluster_hdbscan, cluster_kmeans
from chiasm.dataset.graph_network import fit_graph_network
from chiasm.dataset.label_errors import confident_classes, error_probabilities, estimate_joint, find_label_errors
from chiasm.dataset.probe import assign_folds, out_of_sample, probe_logits
from chiasm.dataset.propagate import nearest_neighbours, neighbour_graph, normalise, spread_labels

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def blobs(n: int, k: int, spread: float, seed: int = 0, width: int = 8) -> tuple[Floats, Ints]:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((k, width)) * 3
    truth = random.integers(0, k, n)
    return (centres[truth] + spread * random.standard_normal((n, width))).astype(np.float32), truth


def unit(x: Floats) -> Floats:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_temperature_is_found_again() -> None:
    random = np.random.default_rng(1)
    logits = random.standard_normal((20_000, 3)) * 2
    truth = np.array([random.choice(3, p=row) for row in softmax(logits)])
    hot = logits * 3
    temperature = fit_temperature(hot, truth)
    assert temperature == pytest.approx(3, rel=0.05)
    assert expected_calibration_error(softmax(hot, temperature), truth) < 0.02
    assert expected_calibration_error(softmax(hot), truth) > 0.1
    assert fit_temperature(hot[:0], truth[:0]) == 1


def test_confident_joint_against_the_paper() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 3, 200)
    shares = random.dirichlet(np.ones(3), 200)
    threshold = [shares[labels == j, j].mean() for j in range(3)]
    counts = np.zeros((3, 3))
    for i in range(200):
        reached = [j for j in range(3) if shares[i, j] >= threshold[j]]
        if reached:
            counts[labels[i], max(reached, key=lambda j: shares[i, j])] += 1
    scaled = counts / counts.sum(1, keepdims=True) * np.bincount(labels)[:, None]
    joint = estimate_joint(labels, confident_classes(labels, shares), 3)
    assert joint == pytest.approx(scaled / scaled.sum())
    assert joint.sum() == pytest.approx(1)


@pytest.mark.parametrize("rank", ["likely", "confident", "noise_rate"])
def test_planted_errors_are_found(rank: str) -> None:
    x, truth = blobs(1000, 5, 0.8)
    random = np.random.default_rng(3)
    planted = random.choice(1000, 30, replace=False)
    labels = truth.copy()
    labels[planted] = (truth[planted] + random.integers(1, 5, 30)) % 5
    shares = out_of_sample(x, labels, 5, assign_folds(labels, [str(i) for i in range(1000)], 5, 0))
    found = find_label_errors(labels, shares, rank)  # type: ignore[arg-type]
    hit = np.isin(found.rows, planted)
    assert hit.sum() >= (0.95 if rank == "likely" else 0.6) * 30
    assert hit.mean() >= 0.9
    assert (found.suggested[hit] == truth[found.rows[hit]]).mean() > 0.95
    assert found.noise == pytest.approx(0.03, abs=0.01)
    assert (np.diff(found.quality[found.rows]) >= 0).all()
    assert found.quality[planted].max() < np.median(found.quality)


def test_noise_is_found_where_the_model_is_weak() -> None:
    """Labels drawn from the model's own probabilities, sharpened, and 5 % of them changed: temperature and noise are told apart."""
    random = np.random.default_rng(5)
    shares = random.dirichlet(np.full(4, 0.5), 20_000)
    sharp = shares**1.5 / (shares**1.5).sum(1, keepdims=True)
    truth = (sharp.cumsum(1) < random.random((20_000, 1))).sum(1).clip(0, 3)
    wrong = random.random(20_000) < 0.05
    labels = np.where(wrong, (truth + random.integers(1, 4, 20_000)) % 4, truth)
    said, noise = error_probabilities(labels, shares)
    assert noise == pytest.approx(0.05, abs=0.01)
    assert said[wrong].mean() > 5 * said[~wrong].mean()
    for low, high in ((0.1, 0.4), (0.4, 0.7), (0.7, 1.0)):
        rows = (said >= low) & (said < high)
        assert wrong[rows].mean() == pytest.approx(said[rows].mean(), abs=0.06)


def test_right_labels_are_left_alone() -> None:
    x, truth = blobs(600, 3, 0.3)
    shares = out_of_sample(x, truth, 3, assign_folds(truth, [str(i) for i in range(600)], 5, 0))
    assert not len(find_label_errors(truth, shares).rows)


def test_folds_keep_groups_and_balance() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    groups = [f"g{i // 3}" for i in range(300)]
    fold = assign_folds(labels, groups, 5, 0)
    assert all(len(set(fold[[i for i, g in enumerate(groups) if g == name]])) == 1 for name in set(groups))
    single = assign_folds(labels, [str(i) for i in range(300)], 5, 0)
    for value in range(3):
        counts = np.bincount(single[labels == value], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert np.array_equal(single, assign_folds(labels, [str(i) for i in range(300)], 5, 0))


def test_a_probe_that_never_saw_a_class() -> None:
    x, truth = blobs(60, 2, 0.3)
    logits = probe_logits(x, truth, x, 3)
    assert (logits[:, 2] == -50).all()
    assert (logits.argmax(1) == truth).all()
    assert (probe_logits(x[:5], np.ones(5, np.int64), x, 3).argmax(1) == 1).all()


def test_neighbours_against_a_full_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chiasm.dataset.propagate.BLOCK", 7)
    x = unit(blobs(50, 3, 1.0)[0])
    index, cosine = nearest_neighbours(x, 4)
    for row in range(50):
        others = sorted((j for j in range(50) if j != row), key=lambda j: -float(x[row] @ x[j]))[:4]
        assert index[row].tolist() == others
        assert cosine[row] == pytest.approx(x[others] @ x[row], abs=1e-6)
    assert nearest_neighbours(x[:1], 4)[0].shape == (1, 0)
    assert nearest_neighbours(x[:3], 10)[0].shape == (3, 2)


def test_spreading_is_the_closed_form() -> None:
    x, truth = blobs(80, 3, 1.0)
    graph = neighbour_graph(unit(x), 5)
    assert (graph != graph.T).nnz == 0
    labels = np.where(np.arange(80) % 4 == 0, truth, -1)
    start = np.eye(3)[truth] * (labels >= 0)[:, None] / np.bincount(truth[labels >= 0], minlength=3)
    exact = np.linalg.solve(np.eye(80) - 0.9 * normalise(graph).toarray(), 0.1 * start)
    found = spread_labels(graph, labels, 3, tolerance=1e-12, iterations=5000)
    assert found == pytest.approx(exact / exact.sum(1, keepdims=True), abs=1e-6)
    assert (found.argmax(1) == truth).mean() > 0.9


def test_what_no_label_reaches_stays_without() -> None:
    x = np.zeros((4, 2), np.float32)
    x[:2, 0] = 1
    x[2:, 1] = 1
    shares = spread_labels(neighbour_graph(x, 1), np.array([0, -1, -1, -1]), 2)
    assert shares[1].tolist() == [1, 0]
    assert not shares[2:].any()


def test_graph_network_learns_and_repeats() -> None:
    x, truth = blobs(300, 3, 2.0)
    graph = neighbour_graph(unit(x), 8)
    labels = np.where(np.arange(300) % 15 == 0, truth, -1)
    first = fit_graph_network(x, graph, labels, 3, seed=4)
    assert (first.argmax(1) == truth).mean() > 0.9
    assert np.array_equal(first, fit_graph_network(x, graph, labels, 3, seed=4))
    assert not np.array_equal(first, fit_graph_network(x, graph, labels, 3, seed=5))


@pytest.mark.parametrize("method", ["kmeans", "hdbscan"])
def test_clusters_are_the_blobs(method: str) -> None:
    x, truth = blobs(400, 4, 0.4)
    found = cluster_kmeans(x, None) if method == "kmeans" else cluster_hdbscan(x, 10)
    kept = found.labels != NOISE
    assert kept.mean() > 0.9
    assert len(set(zip(found.labels[kept].tolist(), truth[kept].tolist(), strict=True))) == 4
    assert found.silhouette > 0.6
    sizes = np.bincount(found.labels[kept])
    assert (np.diff(sizes) <= 0).all()
    if method == "kmeans":
        assert max(found.tried, key=lambda k: found.tried[k]) == 4


def test_cluster_numbers_and_edges() -> None:
    assert by_size(np.array([5, 2, 2, NOISE, 7])).tolist() == [1, 0, 0, NOISE, 2]
    x = blobs(3, 2, 0.1)[0]
    assert cluster_kmeans(x[:1], None).labels.tolist() == [0]
    assert cluster_hdbscan(x, 10).labels.tolist() == [NOISE] * 3
