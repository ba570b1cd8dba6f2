"""`chiasm import`: what it says of public weights, and how it ends where they cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from cli_cases import chiasm, ok

from chiasm.train.system_model import read_system


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A GPT-2 of one small block, as its library writes it."""
    config = {"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 4, "vocab_size": 10}
    square = {"attn.c_attn": (8, 24), "attn.c_proj": (8, 8), "mlp.c_fc": (8, 32), "mlp.c_proj": (32, 8)}
    tensors = {"wte.weight": torch.ones(10, 8), "wpe.weight": torch.ones(4, 8), "surplus": torch.ones(1)}
    for name, (rows, columns) in square.items():
        tensors |= {f"h.0.{name}.weight": torch.ones(rows, columns), f"h.0.{name}.bias": torch.ones(columns)}
    for name in ("ln_f", "h.0.ln_1", "h.0.ln_2"):
        tensors |= {f"{name}.weight": torch.ones(8), f"{name}.bias": torch.ones(8)}
    folder = tmp_path / "public"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    return folder


def test_it_says_what_it_wrote(public: Path, tmp_path: Path) -> None:
    done = ok("import", public, tmp_path / "out")
    assert "GPT-2" in done.stdout
    assert "surplus" in done.stderr
    assert "tokenizer" in done.stderr
    assert f"init={tmp_path / 'out'}" in done.stderr
    found = read_system(tmp_path / "out")
    assert found.spec.name == "gpt"
    assert sum(p.numel() for p in found.model().parameters()) == sum(t.numel() for t in found.tensors.values())


def test_it_ends_with_the_errors_code(public: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert chiasm("import", tmp_path / "nowhere", out).exit_code == 4
    ok("import", public, out)
    assert chiasm("import", public, out).exit_code == 2
    (public / "model.safetensors").rename(public / "pytorch_model.bin")
    done = chiasm("import", public, tmp_path / "other")
    assert done.exit_code == 4
    assert "pickled" in done.stderr
