"""What ERNIE-M does with texts in two languages: who sees whom across them, and room for a translation."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.modalities.text import EOS, MASK
from chiasm.types import IGNORE, Items


def languages(text: Items, other: Tensor | None = None) -> Tensor:
    """The number of each token's language: int64 [B, N], −1 where it is unknown. other: int64 [B], the second segment's."""
    assert text.language is not None
    first = text.language[:, None].expand_as(text.value)
    return first if other is None or text.segment is None else torch.where(text.segment == 1, other[:, None], first)


def across(side: Tensor, target: Tensor) -> Tensor:
    """Who may look at whom in CAMLM (arXiv 2012.15674, 2.2): bool [B, N, N].

    side: int64 [B, N], which of two languages · target: int64 [B, N], IGNORE where nothing is predicted. What is predicted sees the other side and
    itself, the rest its own side; nobody sees what is predicted, or a word could learn of its neighbours by way of the other side.
    """
    predicted = target != IGNORE
    other = side[:, :, None] != side[:, None, :]
    seen = (other == predicted[:, :, None]) & ~predicted[:, None, :]
    return seen | torch.eye(side.shape[1], dtype=torch.bool, device=side.device)


def with_room(text: Items) -> Items:
    """A masked text made whole, and after it <mask> for each of its words and <eos>: int64 [B, N] → [B, 2N−1].

    segment: 0 and 1 · target: 0 where the room is, IGNORE elsewhere.
    """
    assert text.target is not None
    whole = torch.where(text.target == IGNORE, text.value, text.target)
    # Laid out as the text is, <bos> excepted.
    word = (whole[:, 1:] != EOS) & text.valid[:, 1:]
    none = torch.full_like(whole, IGNORE)
    return replace(
        text,
        value=torch.cat([whole, torch.where(word, MASK, whole[:, 1:])], 1),
        valid=torch.cat([text.valid, text.valid[:, 1:]], 1),
        segment=torch.cat([torch.zeros_like(whole), torch.ones_like(whole[:, 1:])], 1),
        target=torch.cat([none, none[:, 1:].masked_fill(word, 0)], 1),
    )


def joined(text: Items, room: Items, words: Tensor) -> Items:
    """The masked text, its room filled with `words`, int64 [P]; what is predicted is the text's."""
    assert text.target is not None and room.target is not None
    N = text.value.shape[1]
    value = room.value.masked_scatter(room.target != IGNORE, words)
    target = F.pad(text.target, (0, N - 1), value=IGNORE)
    return replace(room, value=torch.cat([text.value, value[:, N:]], 1), target=target)
