"""The reversal turns the gradient and nothing else; the games' values at chance."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from chiasm.objectives.adversarial import (
    Discriminator,
    discriminator_loss,
    generator_loss,
    modality_adversarial,
    reversal_strength,
    reverse_gradient,
)


def test_reversal_is_the_identity_with_a_turned_gradient() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    y = reverse_gradient(x, 0.3)
    assert torch.equal(y, x)
    (gradient,) = torch.autograd.grad((y**2).sum(), x)
    torch.testing.assert_close(gradient, -0.3 * 2 * x.detach())


def test_the_strength_rises_from_0_to_1() -> None:
    values = [reversal_strength(p / 10) for p in range(11)]
    assert values[0] == 0
    assert values == sorted(values)
    assert values[-1] == pytest.approx(math.tanh(5))


def test_the_discriminator_learns_to_tell_and_its_input_not_to_be_told() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(4, 2)
    x = torch.cat([torch.randn(40, 4) + 1, torch.randn(40, 4) - 1]).requires_grad_()
    modality = torch.arange(2).repeat_interleave(40)
    loss = modality_adversarial(discriminator(x), modality)
    loss.backward()
    with torch.no_grad():
        moved = modality_adversarial(discriminator(x - 10 * x.grad), modality)
        for parameter in discriminator.parameters():
            parameter -= 0.1 * parameter.grad
        learned = modality_adversarial(discriminator(x), modality)
    assert learned < loss < moved


def test_training_through_the_reversal_makes_modalities_alike() -> None:
    """Two modalities that differ in their first coordinate only: the map in front of the discriminator unlearns it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 4, generator=generator)
    modality = torch.arange(2).repeat_interleave(100)
    x[:, 0] += 4 * modality - 2
    torch.manual_seed(0)
    encoder, discriminator = torch.nn.Linear(4, 4), Discriminator(4, 2)
    optimizer = torch.optim.Adam([*encoder.parameters(), *discriminator.parameters()], lr=0.01)

    def gap() -> float:
        with torch.no_grad():
            features = encoder(x)
            apart = features[modality == 0].mean(0) - features[modality == 1].mean(0)
            return float(apart.norm() / features.std(0).norm())

    before = gap()
    for _ in range(300):
        optimizer.zero_grad()
        loss = modality_adversarial(discriminator(encoder(x)), modality)
        loss.backward()
        optimizer.step()
    assert gap() < before / 4
    assert loss.item() > 0.8 * math.log(2)


def test_modality_adversarial_chance() -> None:
    assert modality_adversarial(torch.zeros(5, 3), torch.tensor([0, 1, 2, 0, 1])).item() == pytest.approx(math.log(3))


def test_gan_losses() -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(5, generator=generator), torch.randn(7, generator=generator)
    expected = -real.sigmoid().log().mean() - (1 - fake.sigmoid()).log().mean()
    torch.testing.assert_close(discriminator_loss(real, fake), expected)
    torch.testing.assert_close(generator_loss(fake), F.binary_cross_entropy_with_logits(fake, torch.ones(7)))
    zero = torch.zeros(4)
    assert discriminator_loss(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert generator_loss(zero).item() == pytest.approx(math.log(2))
    hinge = sum(max(0.0, 1 - r) for r in real.tolist()) / 5 + sum(max(0.0, 1 + f) for f in fake.tolist()) / 7
    assert discriminator_loss(real, fake, "hinge").item() == pytest.approx(hinge, rel=1e-5)
    assert discriminator_loss(zero, zero, "hinge").item() == 2
    assert generator_loss(fake, "hinge").item() == pytest.approx(-fake.mean().item())
    with pytest.raises(ValueError, match="hing"):
        generator_loss(fake, "hing")
    with pytest.raises(ValueError, match="hing"):
        discriminator_loss(real, fake, "hing")
