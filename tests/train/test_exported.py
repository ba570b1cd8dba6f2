"""A run handed on: half the size, the same model, no path of the machine it came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from chiasm.config import RunConfig, load_kept
from chiasm.errors import ConfigError
from chiasm.modalities.modality import word_scale
from chiasm.train import checkpoint
from chiasm.train.exported import export
from chiasm.train.model import EmbeddingModel, load


def test_half_the_size_and_nearly_the_same_embeddings(finished: Path, tmp_path: Path) -> None:
    done = export(finished, tmp_path / "out")
    whole = checkpoint.newest(finished) / "model.safetensors"
    assert done.bytes < 0.6 * whole.stat().st_size
    one, two = (
        load(finished).embed(text=["red circle", "blue"]),
        load(tmp_path / "out").embed(text=["red circle", "blue"]),
    )
    assert np.abs(one - two).max() < 0.01
    assert not np.array_equal(one, two), "float16 rounds"
    assert not list((tmp_path).glob(".*")), "nothing is left beside it"


def test_float32_is_bitwise_the_same(finished: Path, tmp_path: Path) -> None:
    export(finished, tmp_path / "out", "fp32")
    kept, given = checkpoint.load(tmp_path / "out").model, checkpoint.load(checkpoint.newest(finished)).model
    assert all(torch.equal(kept[name], tensor) for name, tensor in given.items())


def test_the_mean_of_runs_of_one_make(finished: Path, tmp_path: Path) -> None:
    given = dict(checkpoint.load(checkpoint.newest(finished)).model)
    moved = {name: t * 3 if t.is_floating_point() and name.endswith("weight") else t for name, t in given.items()}
    other, texts = tmp_path / "other", ("config.yaml", "tokenizer.json")
    read = {name: (checkpoint.newest(finished) / name).read_text(encoding="utf8") for name in texts}
    checkpoint.save(other / "checkpoints", 1, moved, {}, {}, read, keep=1)
    export(finished, tmp_path / "out", "fp32", [other, finished])
    made = checkpoint.load(tmp_path / "out").model
    assert any(not torch.equal(moved[name], given[name]) for name in given)
    for name, tensor in given.items():
        torch.testing.assert_close(made[name], (2 * tensor + moved[name]) / 3 if tensor.is_floating_point() else tensor)
    assert "the mean of those of" in (tmp_path / "out" / "README.md").read_text(encoding="utf8")
    read["tokenizer.json"] += " "
    checkpoint.save(tmp_path / "third" / "checkpoints", 1, moved, {}, {}, read, keep=1)
    with pytest.raises(ConfigError, match=r"has another tokenizer\.json"):
        export(finished, tmp_path / "no", "fp32", [tmp_path / "third"])
    checkpoint.save(tmp_path / "less" / "checkpoints", 1, dict(list(moved.items())[1:]), {}, {}, read, keep=1)
    with pytest.raises(ConfigError, match="only runs of one make have a mean"):
        export(finished, tmp_path / "no", "fp32", [tmp_path / "less"])
    assert not (tmp_path / "no").exists()


def test_no_paths_go_with_it(finished: Path, tmp_path: Path) -> None:
    export(finished, tmp_path / "out")
    for name in ("config.yaml", "README.md"):
        text = (tmp_path / "out" / name).read_text(encoding="utf8")
        assert str(tmp_path.anchor) + "tmp" not in text and str(finished.parent) not in text


def test_a_run_from_before_words_were_scaled_reads_them_as_it_did(finished: Path, tmp_path: Path) -> None:
    tree = yaml.safe_load((finished / "config.yaml").read_text(encoding="utf8"))
    assert tree["model"]["text"].pop("scale", 0) is None, "a new run says that it takes the usual scale"
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf8")
    for path, scale in ((finished / "config.yaml", 16**0.5), (file, 1.0)):
        config = load_kept(path)
        assert isinstance(config, RunConfig)
        assert word_scale(config.model.model_copy(update={"width": 16})) == scale


@pytest.mark.parametrize(
    ("words", "said", "codes"), [({}, {}, 1.0), ({"scale": None}, {}, 4.0), ({"scale": 2.0}, {}, 2.0), ({"scale": None}, {"code_scale": 1.0}, 1.0)]
)  # fmt: skip
def test_a_run_from_before_codes_were_told_from_words_reads_them_as_it_did(
    finished: Path, tmp_path: Path, words: dict[str, float | None], said: dict[str, float], codes: float
) -> None:
    tree = yaml.safe_load((finished / "config.yaml").read_text(encoding="utf8"))
    assert tree["conversion"].pop("code_scale") == 1.0
    assert tree["conversion"].pop("history_mean") == 2.0
    del tree["model"]["text"]["scale"]
    tree["model"]["width"] = 16
    tree["model"]["text"] |= words
    tree["conversion"] |= said
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf8")
    config = load_kept(file)
    assert isinstance(config, RunConfig) and config.conversion.code_scale == codes
    assert config.conversion.history_mean == 0.0


@pytest.mark.parametrize(
    "damage",
    [{"model": 3}, {"model": {"text": "x"}}, {"conversion": [1]},
     *({"model": {"width": width, "text": {"scale": None}}, "conversion": {}} for width in ("x", None, -4, 0, 2.5, [16]))],
)  # fmt: skip
def test_a_kept_configuration_that_is_damaged_is_refused_with_its_place(
    finished: Path, tmp_path: Path, damage: dict[str, object]
) -> None:
    tree = yaml.safe_load((finished / "config.yaml").read_text(encoding="utf8")) | damage
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf8")
    with pytest.raises(ConfigError, match=r"config\.yaml: .*(model|conversion)"):
        load_kept(file)


def test_a_run_from_before_words_were_scaled_is_still_who_it_was(finished: Path) -> None:
    model = load(finished)
    assert isinstance(model, EmbeddingModel)
    text = model.config.model.text.model_copy(update={"scale": 1.0})
    config = model.config.model_copy(update={"model": model.config.model.model_copy(update={"text": text})})
    before = EmbeddingModel(config, model.model, model.tokenizer, model.device, model.path)
    told, _ = before._weights()
    assert "scale" not in told and '"length"' in told
    assert before.identity != model.identity, "it makes other vectors"


def test_what_exists_is_not_overwritten(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        export(finished, tmp_path)
