"""A hidden rotation is found from two shuffled sets of which no pair is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from chiasm.objectives.unsupervised import align_unpaired, cycle_consistency, procrustes, similarity_profiles, unpaired


def cloud(n: int, width: int, clusters: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = 1.5 * torch.randn(clusters, width, generator=generator)
    member = torch.randint(clusters, (n,), generator=generator)
    return centres[member] + 0.4 * torch.randn(n, width, generator=generator)


def rotation(width: int, seed: int) -> Tensor:
    return torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(seed)))[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "width", "clusters", "noise"), [(100, 8, 5, 0.01), (200, 16, 10, 0.3)])
def test_a_hidden_rotation_is_recovered(n: int, width: int, clusters: int, noise: float, seed: int) -> None:
    a, turn = cloud(n, width, clusters, seed), rotation(width, 100 + seed)
    generator = torch.Generator().manual_seed(200 + seed)
    order = torch.randperm(n, generator=generator)
    b = (a @ turn + noise * torch.randn(n, width, generator=generator))[order]
    found = align_unpaired(a, b)
    assert (order[found.plan.argmax(1)] == torch.arange(n)).float().mean() >= 0.9
    nearest = torch.cdist(a @ found.map, b).argmin(1)
    assert (order[nearest] == torch.arange(n)).float().mean() >= 0.9
    torch.testing.assert_close(found.map, turn, rtol=0, atol=0.1)
    torch.testing.assert_close(found.map @ found.map.T, torch.eye(width), rtol=0, atol=1e-4)
    assert found.plan.sum().item() == pytest.approx(1, abs=1e-4)


def test_sets_of_different_sizes_align() -> None:
    a, turn = cloud(200, 16, 10, 0), rotation(16, 1)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(2))[:180]
    found = align_unpaired(a, (a @ turn)[order])
    nearest = torch.cdist((a @ turn)[order] @ found.map.T, a).argmin(1)
    assert (nearest == order).float().mean() >= 0.9


def test_profiles_do_not_see_rotation_or_order() -> None:
    a, order = cloud(50, 8, 4, 0), torch.randperm(50, generator=torch.Generator().manual_seed(0))
    mine, theirs = similarity_profiles(a, 30), similarity_profiles((a @ rotation(8, 1))[order], 30)
    torch.testing.assert_close(mine[order], theirs, rtol=1e-4, atol=1e-4)


def test_procrustes_undoes_a_rotation_by_pairs_or_by_a_plan() -> None:
    a, turn = cloud(30, 6, 3, 0).double(), rotation(6, 1).double()
    torch.testing.assert_close(procrustes(a, a @ turn), turn)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    plan = torch.eye(30, dtype=torch.float64)[:, order] / 30
    torch.testing.assert_close(procrustes(a, (a @ turn)[order], plan), turn)


def test_cycle_consistency_is_zero_for_a_map_and_its_inverse() -> None:
    a, turn = cloud(30, 6, 3, 0), rotation(6, 1)
    assert cycle_consistency(a, lambda x: x @ turn, lambda x: x @ turn.T).item() < 1e-9
    forgotten = cycle_consistency(a, torch.zeros_like, torch.zeros_like)
    torch.testing.assert_close(forgotten, a.square().sum(-1).mean())


def test_maps_learn_to_land_on_the_other_set_and_to_lead_back() -> None:
    torch.manual_seed(0)
    a, b = cloud(60, 4, 3, 0), cloud(60, 4, 3, 1) + 1
    ab, ba = nn.Linear(4, 4), nn.Linear(4, 4)
    optimizer = torch.optim.Adam([*ab.parameters(), *ba.parameters()], lr=0.03)

    def step() -> dict[str, float]:
        losses = unpaired(a, b, ab, ba)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        return {name: loss.item() for name, loss in losses.items()}

    first = step()
    assert set(first) == {"transport", "cycle"}
    last = [step() for _ in range(150)][-1]
    assert last["transport"] < first["transport"] / 3
    assert last["cycle"] < first["cycle"] / 3
