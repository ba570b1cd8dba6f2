"""Adapters: the identity at the start, and nothing else trains."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from chiasm.nn.adapters import LoRA, adapt
from chiasm.nn.linear import Linear
from chiasm.nn.transformer import Transformer, make_transformer
from chiasm.types import Features, Tokens

KINDS = ["houlsby", "pfeiffer", "lora"]
ONE = torch.ones(2, 5, dtype=torch.bool)


class Model(nn.Module):
    """A trunk of two modalities that looks at a memory, with a head."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        self.trunk: Transformer = make_transformer(
            {"text": 1, "image": 2}, width=8, heads=2, cross=True, norm_first=norm_first
        )
        self.head = Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        memory = Features(x[:, 2:], ONE[:, 2:], (("image", 0, 3),))
        return self.head(self.trunk(Tokens(x, ONE, (("text", 0, 2), ("image", 2, 5))), 1, memory=memory).x)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_adapters_start_as_the_identity_and_alone_train(kind: str, norm_first: bool) -> None:
    torch.manual_seed(0)
    model, x = Model(norm_first), torch.randn(2, 5, 8)
    before, weights = model(x), {k: v.clone() for k, v in model.state_dict().items()}
    names = adapt(model, kind, 3, trainable=("head.",))
    assert torch.equal(model(x), before)
    after = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert all(torch.equal(after[name], weight) for name, weight in weights.items())
    assert names == [name for name, p in model.named_parameters() if p.requires_grad]
    own = ("adapters.", "_norm.", "_norms.", "head.") if kind != "lora" else ("lora_", "head.")
    assert all(any(part in name for part in own) for name in names)
    added = set(after) - set(weights)
    assert added
    assert added <= set(names)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):  # the second step reaches what lies before the zeros
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    moved = {name for name, weight in model.state_dict().items() if not torch.equal(weight, after[name])}
    # The first block is not passed; whatever is trainable elsewhere has moved.
    assert moved == {name for name in names if ".blocks.0." not in name}


def test_where_they_stand() -> None:
    def adapted(kind: str) -> set[str]:
        model = Model(True)
        before = set(model.state_dict())
        adapt(model, kind, 3)
        return set(model.state_dict()) - before

    assert {name.split(".")[3] for name in adapted("houlsby")} == {"attention_adapters", "expert_adapters"}
    assert {name.split(".")[3] for name in adapted("pfeiffer")} == {"expert_adapters"}
    assert {".".join(name.split(".")[3:5]) for name in adapted("lora")} == {"attention.qkv", "cross.q", "cross.kv"}
    # Every modality has its own on a multiway trunk, and only where it passes.
    assert {".".join(name.split(".")[2:5]) for name in adapted("pfeiffer")} == {
        "0.expert_adapters.image", "1.expert_adapters.image", "1.expert_adapters.text",
    }  # fmt: skip


def test_low_rank_updates_are_those_of_the_paper() -> None:
    """W + BA on the rows of queries and values, the keys' as they were."""
    torch.manual_seed(0)
    base = Linear(6, 12)
    layer = LoRA(base, [(0, 4), (8, 12)], 2)
    for b in layer.lora_b:
        nn.init.normal_(b)
    weight = base.weight.detach().clone()
    weight[:4] += layer.lora_b[0] @ layer.lora_a[0]
    weight[8:] += layer.lora_b[1] @ layer.lora_a[1]
    x = torch.randn(5, 6)
    torch.testing.assert_close(layer(x), x @ weight.T + base.bias)
    assert LoRA(base, [(4, 8)], 2)(x).shape == (5, 12)
    assert layer(x.bfloat16()).dtype == torch.bfloat16


def test_what_cannot_be_adapted() -> None:
    with pytest.raises(ValueError, match="houlsby, pfeiffer, lora"):
        adapt(Model(True), "prefix", 3)
    with pytest.raises(ValueError, match="no Transformer blocks"):
        adapt(nn.Linear(2, 2), "lora", 3)
    for kind in KINDS:
        model = Model(True)
        adapt(model, kind, 3)
        with pytest.raises(ValueError, match="already"):
            adapt(model, kind, 3)
