"""Writers of codes and labels of cells, against what they are in formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from chiasm.heads.cells import CellHead
from chiasm.heads.writers import Writer

D = 8
END = 4


@pytest.fixture
def sound() -> Writer:
    """Three groups of 5 (the end among them), 4 and 3 codes."""
    torch.manual_seed(0)
    return Writer("audio", (5, 4, 3), 6, D, END)


def naive(writer: Writer, x: torch.Tensor, codes: list[int]) -> list[torch.Tensor]:
    """The log-probabilities of every group, one after the other, of a single step."""
    found: list[torch.Tensor] = []
    for group in range(writer.groups):
        h = x
        if group:
            told = x + sum(writer.tables[g][codes[g]] for g in range(group))
            inner, outer = writer.inner[group - 1], writer.outer[group - 1]
            h = x + outer(F.gelu(inner(told)))
        found.append((writer.tables[group] @ h).log_softmax(0))
    return found


def test_what_is_read_counts_as_much_more_as_asked() -> None:
    torch.manual_seed(0)
    writer = Writer("audio", (5, 4), 6, D, END, scale=3.0)
    read = writer.read(torch.tensor([[[1, 2]]]), 2, torch.float32)[0, 0]
    assert torch.allclose(read, 3 * (writer.tables[0][1] + writer.tables[1][2]) + writer.positions[2], atol=1e-6)
    x = torch.randn(1, D)
    assert torch.equal(writer.logits(x, ()), x @ writer.tables[0].T), "and is written as it is"


def test_each_group_is_predicted_from_those_before_it(sound: Writer) -> None:
    x, codes = torch.randn(2, D), [[1, 3, 2], [0, 1, 0]]
    columns = torch.tensor(codes)
    for row in range(2):
        for group, expected in enumerate(naive(sound, x[row], codes[row])):
            made = sound.logits(x, [columns[:, g] for g in range(group)])
            assert made.shape == (2, sound.sizes[group]) and made.dtype == torch.float32
            torch.testing.assert_close(made[row].log_softmax(0), expected)
    other = sound.logits(x, [columns[:, 0], (columns[:, 1] + 1) % 4])
    assert not torch.allclose(other, sound.logits(x, [columns[:, 0], columns[:, 1]]))


def test_the_loss_is_the_mean_over_steps_and_groups_and_an_end_has_one_group(sound: Writer) -> None:
    x, codes = torch.randn(3, D), [[1, 3, 2], [END, 0, 0], [0, 1, 1]]
    terms = [-log[c] for row in (0, 2) for log, c in zip(naive(sound, x[row], codes[row]), codes[row], strict=True)]
    terms.append(-naive(sound, x[1], codes[1])[0][END])
    torch.testing.assert_close(sound.loss(x, torch.tensor(codes)), torch.stack(terms).mean())
    changed = torch.tensor([codes[0], [END, 3, 2], codes[2]])
    assert torch.equal(sound.loss(x, changed), sound.loss(x, torch.tensor(codes)))


def test_no_steps_are_no_loss(sound: Writer) -> None:
    assert sound.loss(torch.zeros(0, D), torch.zeros(0, 3, dtype=torch.int64)).item() == 0


def test_a_step_is_read_as_the_sum_of_its_groups_at_its_place(sound: Writer) -> None:
    codes = torch.tensor([[[1, 3, 2], [0, 1, 0]]])
    made = sound.read(codes, 2, torch.float32)
    for step in range(2):
        expected = sum(sound.tables[g][codes[0, step, g]] for g in range(3)) + sound.positions[2 + step]
        torch.testing.assert_close(made[0, step], expected)
    known = torch.tensor([[True, False]])
    masked = sound.read(codes, 2, torch.float32, known)
    assert torch.equal(masked[0, 0], made[0, 0])
    torch.testing.assert_close(masked[0, 1], sound.unknown + sound.positions[3])
    other = codes.clone()
    other[0, 1] = 2
    assert torch.equal(sound.read(other, 2, torch.float32, known), masked), "what is not known is not seen"


def test_a_shared_table_stays_its_owners(sound: Writer) -> None:
    table = nn.Parameter(torch.randn(7, D))
    writer = Writer("text", (7,), 6, D, 2, table)
    assert not any(p is table for p in writer.parameters())
    assert not len(writer.tables)
    x = torch.randn(2, D)
    torch.testing.assert_close(writer.logits(x, ()), x @ table.T)
    writer.loss(x, torch.tensor([[3], [2]])).backward()
    assert table.grad is not None and table.grad.abs().sum() > 0


def test_a_cells_label_ends_up_at_its_place() -> None:
    """Weights by hand: patch p, cell (i, j) and class c give 1000 p + C (2 i + j) + c."""
    cells, classes, n = 2, 3, 3
    head = CellHead(1, cells, classes)
    with torch.no_grad():
        for linear in (head.inner, head.outer):
            linear.weight.zero_()
        assert head.inner.bias is not None and head.outer.bias is not None
        head.inner.bias.zero_()
        head.inner.weight[0, 0] = 1
        head.outer.weight[:, 0] = 1
        head.outer.bias.copy_(torch.arange(cells * cells * classes))
    patches = 1000.0 * torch.arange(n * n)
    made = head(torch.stack([patches, patches.flip(0)])[..., None])
    assert made.shape == (2, n * cells, n * cells, classes)
    for y in range(n * cells):
        for x in range(n * cells):
            patch = (y // cells) * n + x // cells
            cell = (y % cells) * cells + x % cells
            expected = 1000 * patch + cell * classes + torch.arange(classes)
            torch.testing.assert_close(made[0, y, x], expected.float())
            torch.testing.assert_close(
                made[1, y, x], (1000 * (n * n - 1 - patch) + cell * classes + torch.arange(classes)).float()
            )
