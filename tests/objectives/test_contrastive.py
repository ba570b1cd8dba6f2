"""The tiled losses against the full similarity matrix."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.objectives.contrastive import Contrastive, info_nce, sigmoid
from chiasm.types import Output


def data(n: int, m: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a = F.normalize(torch.randn(n, 16, generator=generator, dtype=torch.float64), dim=1).requires_grad_()
    b = F.normalize(torch.randn(m, 16, generator=generator, dtype=torch.float64), dim=1).requires_grad_()
    return a, b, torch.arange(n), torch.arange(m)


def naive_info_nce(a: Tensor, b: Tensor, ia: Tensor, ib: Tensor, scale: Tensor) -> Tensor:
    logits = scale * a @ b.T
    positive = ia[:, None] == ib[None, :]

    def one_way(s: Tensor, p: Tensor) -> Tensor:
        rows = [-(s[i].log_softmax(0)[p[i]]).mean() for i in range(len(s)) if p[i].any()]
        return torch.stack(rows).mean()

    return 0.5 * (one_way(logits, positive) + one_way(logits.T, positive.T))


@pytest.mark.parametrize("tile", [1, 7, 64, 1000])
@pytest.mark.parametrize("shape", [(32, 32), (33, 20), (20, 33), (1, 5)])
@pytest.mark.parametrize("kind", ["pairs", "several", "unmatched"])
def test_info_nce_and_its_gradients_equal_the_full_matrix(tile: int, shape: tuple[int, int], kind: str) -> None:
    a, b, ia, ib = data(*shape)
    if kind == "several":
        ia, ib = ia % 6, ib % 4
    if kind == "unmatched":
        ia, ib = ia + 2 * (ia % 2) * 100, ib
    scale = torch.tensor(14.0, dtype=torch.float64, requires_grad=True)
    fast = torch.autograd.grad(loss := info_nce(a, b, ia, ib, scale, tile), (a, b, scale))
    slow = torch.autograd.grad(expected := naive_info_nce(a, b, ia, ib, scale), (a, b, scale))
    torch.testing.assert_close(loss, expected)
    for mine, theirs in zip(fast, slow, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_info_nce_survives_the_largest_scale_in_float32() -> None:
    a, b, ia, ib = (x.detach().float() if x.is_floating_point() else x for x in data(64, 64))
    loss = info_nce(torch.cat([a, -a]), torch.cat([b, -b]), ia.repeat(2), ib.repeat(2), torch.tensor(100.0), 16)
    assert loss.isfinite()


def test_info_nce_of_equal_pairs_is_cross_entropy() -> None:
    a, b, ia, ib = data(16, 16)
    logits = 10 * a @ b.T
    target = torch.arange(16)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(info_nce(a, b, ia, ib, torch.tensor(10.0, dtype=torch.float64), 4), expected)


@pytest.mark.parametrize("tile", [1, 5, 100])
def test_sigmoid_and_its_gradients_equal_the_full_matrix(tile: int) -> None:
    a, b, ia, ib = data(12, 9)
    ia = ia % 9
    scale, bias = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (10.0, -3.0))
    sign = torch.where(ia[:, None] == ib[None], 1.0, -1.0).double()
    expected = -F.logsigmoid(sign * (scale * a @ b.T + bias)).sum() / 12
    loss = sigmoid(a, b, ia, ib, scale, bias, tile)
    torch.testing.assert_close(loss, expected)
    for mine, theirs in zip(
        torch.autograd.grad(loss, (a, b, scale, bias)),
        torch.autograd.grad(expected, (a, b, scale, bias)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_every_pair_of_modalities_present_and_no_other() -> None:
    a, b, ia, ib = data(4, 4)
    loss = Contrastive(weights={"image-text": 0.5, "text-audio": 2.0})
    output = Output({"text": a, "image": b, "audio": a * -1}, torch.tensor(10.0, dtype=torch.float64))
    losses = loss(output, {"text": ia, "image": ib, "audio": ia + 2})
    assert list(losses) == ["text-image", "text-audio", "image-audio"]
    expected = 0.5 * losses["text-image"] + 2.0 * losses["text-audio"] + losses["image-audio"]
    torch.testing.assert_close(loss.total(losses), expected)
    apart = loss(output, {"text": ia, "image": ib, "audio": ia + 100})
    assert list(apart) == ["text-image"]


def test_a_text_and_a_voice_are_positives_in_one_language_only() -> None:
    """Record 0 has texts in languages 0 and 1 and a voice in 1; record 1 text and voice in 0; record 2 a voice of unknown language."""
    text, audio, _, _ = data(4, 3)
    it, ia = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 2])
    lt, la = torch.tensor([0, 1, 0, 1]), torch.tensor([1, 0, -1])
    output = Output({"text": text, "audio": audio}, torch.tensor(10.0, dtype=torch.float64))
    found = Contrastive()(output, {"text": it, "audio": ia}, {"text": lt, "audio": la})["text-audio"]
    kept = text[[1, 2, 3]]
    expected = naive_info_nce(kept, audio, torch.arange(3), torch.arange(3), output.scale)
    torch.testing.assert_close(found, expected)


def test_languages_are_ignored_where_no_record_has_both_sides_in_one() -> None:
    text, audio, it, ia = data(4, 4)
    output = Output({"text": text, "audio": audio}, torch.tensor(10.0, dtype=torch.float64))
    found = Contrastive()(
        output, {"text": it, "audio": ia}, {"text": torch.zeros_like(it), "audio": torch.ones_like(ia)}
    )
    torch.testing.assert_close(found["text-audio"], naive_info_nce(text, audio, it, ia, output.scale))
