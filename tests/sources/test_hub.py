"""hf:// without a network: what the hub's cache holds is read, and everything else is a typed error."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_trees import picture

from chiasm.config import BuildConfig
from chiasm.errors import ConfigError, MachineError
from chiasm.sources import open_source
from chiasm.types import Label, Record

constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture(autouse=True)
def own_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def cached(root: Path, name: str, files: dict[str, pa.Table], revision: str = "main") -> None:
    """A data set as huggingface_hub keeps it."""
    folder = root / f"datasets--{name.replace('/', '--')}"
    sha = "a" * 40
    (folder / "refs" / revision).parent.mkdir(parents=True, exist_ok=True)
    (folder / "refs" / revision).write_text(sha)
    (folder / "snapshots" / sha).mkdir(parents=True)
    for path, table in files.items():
        (folder / "snapshots" / sha / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "snapshots" / sha / path)


def rows(label: int) -> pa.Table:
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    table = pa.table({"image": [{"bytes": picture(label), "path": None}], "label": [label]})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def test_what_is_cached_is_read(tmp_path: Path) -> None:
    files = {"data/test-00000-of-00001.parquet": rows(1), "data/train-00000-of-00001.parquet": rows(0)}
    cached(tmp_path, "own/pets", files)
    source = open_source("hf://own/pets", BuildConfig())
    assert "own/pets" in source.found and source.name == "own/pets"
    records = [item for item in source.records() if isinstance(item, Record)]
    assert [(record.split, record.labels) for record in records] == [
        ("train", (Label("label", "cat"),)), ("test", (Label("label", "dog"),)),
    ]  # fmt: skip
    assert records[0].image[0].data == picture(0)


def test_a_configuration_is_chosen(tmp_path: Path) -> None:
    files = {
        f"{name}/{split}/0000.parquet": rows(n) for n, name in enumerate(("en", "fr")) for split in ("train", "test")
    }
    cached(tmp_path, "own/many", files)
    for spec, label in (("hf://own/many", "cat"), ("hf://own/many/fr", "dog"), ("hf://datasets/own/many/en", "cat")):
        found = [item for item in open_source(spec, BuildConfig()).records() if isinstance(item, Record)]
        assert {record.labels[0].value for record in found} == {label}
        assert [record.split for record in found] == ["train", "test"]


def test_the_hubs_own_conversion_is_used(tmp_path: Path) -> None:
    cached(tmp_path, "own/odd", {"default/train/0000.parquet": rows(0)}, "refs/convert/parquet")
    folder = tmp_path / "datasets--own--odd"
    (folder / "refs" / "main").write_text("b" * 40)
    (folder / "snapshots" / ("b" * 40)).mkdir()
    assert len(list(open_source("hf://own/odd", BuildConfig()).records())) == 1


def test_without_a_network_the_error_says_so() -> None:
    with pytest.raises(MachineError, match="cannot be reached"):
        open_source("hf://nobody/nothing", BuildConfig())
    for spec in ("hf://", "hf://one", "hf://a/b/c/d", "hf://../x"):
        with pytest.raises(ConfigError, match="OWNER/NAME"):
            open_source(spec, BuildConfig())
