"""Next-token losses against a loop and against transformers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from chiasm.objectives.generative import language_model_bits, next_token, next_tokens
from chiasm.types import IGNORE

TOKENS = torch.tensor([[5, 3, 8, 1], [2, 7, 0, 0]])
VALID = torch.tensor([[True] * 4, [True, True, False, False]])


def logits() -> Tensor:
    return torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_next_tokens_are_moved_by_one_and_end_with_the_sequence() -> None:
    assert next_tokens(TOKENS, VALID).tolist() == [[3, 8, 1, IGNORE], [7, IGNORE, IGNORE, IGNORE]]
    # Padding before the text, as decoders take it: nothing is predicted from padding.
    assert next_tokens(TOKENS[1:].flip(1), VALID[1:].flip(1)).tolist() == [[IGNORE, IGNORE, 2, IGNORE]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_next_token_is_the_mean_over_what_is_predicted(smoothing: float) -> None:
    scores, target = logits(), next_tokens(TOKENS, VALID)
    expected = []
    for i, n in (target != IGNORE).nonzero().tolist():
        wanted = torch.full((9,), smoothing / 9, dtype=torch.float64)
        wanted[target[i, n]] += 1 - smoothing
        expected.append(-(wanted * scores[i, n].log_softmax(0)).sum())
    torch.testing.assert_close(next_token(scores, target, smoothing), torch.stack(expected).mean())
    torch.testing.assert_close(next_token(torch.zeros(2, 4, 9), target, smoothing).item(), math.log(9))


def test_padding_changes_nothing() -> None:
    scores, target = logits(), next_tokens(TOKENS, VALID)
    longer = torch.cat([scores, torch.full((2, 3, 9), torch.nan, dtype=torch.float64)], dim=1)
    padded = torch.cat([target, torch.full((2, 3), IGNORE)], dim=1)
    torch.testing.assert_close(next_token(longer, padded), next_token(scores, target))


def test_equals_the_causal_loss_of_transformers() -> None:
    from transformers.loss.loss_utils import ForCausalLMLoss

    scores = logits().float()
    labels = TOKENS.where(VALID, IGNORE)
    theirs = ForCausalLMLoss(scores, labels, vocab_size=9)
    torch.testing.assert_close(next_token(scores, next_tokens(TOKENS, VALID)), theirs)


def test_bits_do_not_depend_on_how_text_is_cut() -> None:
    assert language_model_bits(math.log(256), tokens=100, units=100) == pytest.approx(8)
    # A token of two bytes at twice the loss is the same model.
    assert language_model_bits(2 * math.log(256), tokens=50, units=100) == pytest.approx(8)
