"""Public weights into a run folder: what is written can be read and trained from; what cannot be used says why."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from chiasm.errors import ConfigError, MachineError, ModelError
from chiasm.systems.bert import BertSize
from chiasm.systems.catalogue import find
from chiasm.systems.family import MOST_LAYERS
from chiasm.train.imported import import_public
from chiasm.train.system_model import read_system

CONFIG: dict[str, Any] = {
    "model_type": "bert", "vocab_size": 40, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20,
    "max_position_embeddings": 16, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
}  # fmt: skip


def tensors() -> dict[str, torch.Tensor]:
    """BERT's trunk by its public names, with the prefix and the norms' names of the oldest files."""
    D, H = 12, 20
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (40, D),
        "embeddings.position_embeddings.weight": (16, D),
        "embeddings.token_type_embeddings.weight": (2, D),
    }
    linear = {"attention.self.query": (D, D), "attention.self.key": (D, D), "attention.self.value": (D, D)}
    linear |= {"attention.output.dense": (D, D), "intermediate.dense": (H, D), "output.dense": (D, H)}
    norms = ["embeddings.LayerNorm"]
    for layer in ("encoder.layer.0.", "encoder.layer.1."):
        for name, (rows, columns) in linear.items():
            shapes |= {f"{layer}{name}.weight": (rows, columns), f"{layer}{name}.bias": (rows,)}
        norms += [f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"]
    for name in norms:
        shapes |= {f"{name}.gamma": (D,), f"{name}.beta": (D,)}
    torch.manual_seed(0)
    return {f"bert.{name}": torch.randn(shape) for name, shape in shapes.items()}


def write(folder: Path, config: dict[str, Any] = CONFIG, parts: dict[str, torch.Tensor] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf8")
    safetensors.torch.save_file(tensors() if parts is None else parts, folder / "model.safetensors")
    return folder


def test_what_is_written_is_a_system(tmp_path: Path) -> None:
    given = tensors()
    given["bert.encoder.surplus"] = torch.zeros(3)
    done = import_public(str(write(tmp_path / "given", parts=given)), tmp_path / "out")
    assert done.public.left_over == ("encoder.surplus",)
    assert {name.split(".")[0] for name in done.public.fresh} == {"pool", "head_words", "head_next"}
    assert not done.tokenizer
    found = read_system(tmp_path / "out")
    assert found.spec is find("bert")
    assert found.tokenizer is None
    assert found.size == BertSize(width=12, heads=3, layers=2, hidden=20, length=16)
    weights = dict(found.model().named_parameters())
    assert torch.equal(weights["embed.norm.weight"], given["bert.embeddings.LayerNorm.gamma"])
    query = given["bert.encoder.layer.1.attention.self.query.weight"]
    assert torch.equal(weights["trunk.blocks.1.attention.qkv.weight"][:12], query)
    # As `init` of a run of another vocabulary: all but what counts words.
    model = found.spec.make(found.size, type(found.facts)(vocabulary=99))
    assert set(found.give(model)) == {"embed.table", "head_words.bias"}
    with pytest.raises(ConfigError, match="already holds"):
        import_public(str(tmp_path / "given"), tmp_path / "out")


def test_shards(tmp_path: Path) -> None:
    whole = import_public(str(write(tmp_path / "whole")), tmp_path / "a").public.tensors
    folder = write(tmp_path / "parts")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors())
    index: dict[str, str] = {}
    for number, part in enumerate((names[:9], names[9:])):
        index |= dict.fromkeys(part, f"model-{number}.safetensors")
        safetensors.torch.save_file({name: tensors()[name] for name in part}, folder / f"model-{number}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    found = import_public(str(folder), tmp_path / "b").public.tensors
    assert all(torch.equal(found[name], tensor) for name, tensor in whole.items())
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model-1\.safetensors: cannot be read"):
        import_public(str(folder), tmp_path / "c")
    index["x"] = "../whole/model.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    shutil.copy(tmp_path / "whole/model.safetensors", folder / "model-1.safetensors")
    with pytest.raises(ModelError, match="no safetensors file beside it"):
        import_public(str(folder), tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "bart"}, "model_type 'bart' cannot be imported; .*bert"),
        ({"hidden_size": 10**12}, "hidden_size is 1000000000000; expected a whole number from 1"),
        ({"hidden_size": "12"}, "hidden_size is '12'"),
        ({"num_hidden_layers": MOST_LAYERS + 1}, "num_hidden_layers"),
        ({"num_hidden_layers": 3}, r"lacks what bert needs: trunk\.blocks\.2"),
        ({"num_attention_heads": 5}, "width 12 is not a multiple of heads 5"),
        ({"vocab_size": 3_999_999}, "not of the sizes that config.json says: embed.table"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', which this system cannot do"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
    ],
)
def test_a_config_that_cannot_be(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    folder = write(tmp_path / "given", CONFIG | change)
    with pytest.raises(ModelError, match=said):
        import_public(str(folder), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    def refused(said: str, source: Path) -> None:
        with pytest.raises(ModelError, match=said):
            import_public(str(source), tmp_path / "out")

    lacking = tensors()
    del lacking["bert.encoder.layer.1.output.dense.bias"]
    refused(r"no tensor 'encoder\.layer\.1\.output\.dense\.bias'", write(tmp_path / "lacking", parts=lacking))
    odd = tensors() | {"bert.encoder.layer.0.attention.self.key.weight": torch.zeros(3)}
    refused("cannot be made into bert", write(tmp_path / "odd", parts=odd))
    folder = write(tmp_path / "given")
    refused("a file, where a folder", folder / "config.json")
    (folder / "model.safetensors").write_bytes(b"no tensors")
    refused("model.safetensors: cannot be read", folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused("pickled weights can run code and are not read; .*save_pretrained", folder)
    (folder / "pytorch_model.bin").unlink()
    refused("holds no model.safetensors", folder)
    (folder / "config.json").write_text("[" * 100_000)
    refused("config.json: cannot be read", folder)
    (folder / "config.json").write_text("[]")
    refused("no JSON object", folder)
    (folder / "config.json").unlink()
    refused("config.json: no such file", folder)


def test_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        import_public("../nowhere", tmp_path / "out")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MachineError, match="fetch it where there is a network"):
        import_public("nobody/nothing", tmp_path / "out")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MachineError, match="install huggingface_hub"):
        import_public("nobody/nothing", tmp_path / "out")
