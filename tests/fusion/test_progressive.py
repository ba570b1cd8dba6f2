"""Progressive fusion: who is looked at when, and what learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from fusion_cases import HEADS, WIDTH, asked, gradients, parts, shake

from chiasm.fusion.progressive import Progressive
from chiasm.nn.transformer import make_transformer

THREE = ("text", "image", "audio")


def progressive(freeze: bool = False, begins: tuple[float, ...] = (0.0, 0.2, 0.5)) -> Any:
    torch.manual_seed(0)
    stages = {name: make_transformer({"all": 1}, width=WIDTH, heads=HEADS) for name in THREE}
    return shake(Progressive(stages, begins, freeze))


def test_modalities_join_one_after_the_other() -> None:
    given, made = parts(THREE), progressive()
    for progress, joined in ((0.0, 1), (0.19, 1), (0.2, 2), (0.49, 2), (0.5, 3), (1.0, 3)):
        made.advance(progress)
        assert int(made.stage) == joined
        joint = made(given).joint
        for index, name in enumerate(THREE):
            other = made({**given, name: replace(given[name], x=given[name].x + 1)}).joint
            assert torch.equal(other, joint) == (index >= joined)


def test_later_stages_wait_and_earlier_ones_go_on_unless_frozen() -> None:
    for freeze in (False, True):
        made = progressive(freeze)
        made.advance(0.3)
        leaves = {name: replace(part, x=part.x.clone().requires_grad_()) for name, part in parts(THREE).items()}
        asked(made(leaves).joint).backward()
        learns = {name: max(gradients(made.stages[name]).values()) > 0 for name in THREE}
        assert learns == {"text": not freeze, "image": True, "audio": False}
        assert (leaves["text"].x.grad is None) == freeze
    torch.testing.assert_close(progressive(True)(parts(THREE)).joint, progressive(False)(parts(THREE)).joint)


def test_the_stage_is_state() -> None:
    made, other = progressive(), progressive()
    made.advance(0.6)
    made(parts(THREE))
    assert int(made.stage) == 3
    other.load_state_dict(made.state_dict())
    assert int(other.stage) == 3
    assert torch.equal(other(parts(THREE)).joint, made(parts(THREE)).joint)


def test_a_schedule_that_makes_no_sense_is_refused() -> None:
    for begins in ((0.0, 0.5), (0.1, 0.2, 0.3), (0.0, 0.4, 0.4), (0.0, 0.5, 1.0)):
        with pytest.raises(ValueError, match="rising shares"):
            progressive(begins=begins)
