"""What a folder is found to be, what it could also be, and what `layout` forces; and the manifests beside JSONL, CSV and Parquet."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pytest
from source_trees import picture, read, write

from chiasm.config import BuildConfig
from chiasm.errors import ConfigError, DataError
from chiasm.sources import EMBEDDED, open_source
from chiasm.sources.layout import Found
from chiasm.sources.listing import Listing, split_of
from chiasm.sources.recognise import LAYOUTS, recognise


def test_the_sentence() -> None:
    found = Found("coco", "a.json with captions", {"pictures": 1234, "sounds": 0}, ("manifest",))
    assert (
        found.sentence
        == "coco: a.json with captions (pictures: 1,234); it could also be manifest (layout=NAME forces one)"
    )


def test_a_manifest_by_that_name_comes_first_and_says_what_else(tmp_path: Path) -> None:
    esc = "filename,fold,target,category,esc10,src_file,take\n"
    write(tmp_path, {"esc50.csv": esc, "manifest.jsonl": json.dumps({"text": "x"}) + "\n"})
    assert recognise(tmp_path).layout == "manifest"
    assert recognise(tmp_path).others == ("esc50",)
    (tmp_path / "manifest.jsonl").rename(tmp_path / "train.jsonl")
    assert (recognise(tmp_path).layout, recognise(tmp_path).others) == ("esc50", ("manifest",))


def test_a_layout_is_forced_by_its_name(tmp_path: Path) -> None:
    write(tmp_path, {"a/1.png": picture(1), "a/2.png": picture(2), "b/1.png": picture(3), "b/2.png": picture(4)})
    assert read(tmp_path).source.found.startswith("classes")
    assert read(tmp_path, layout="folder").source.found.startswith("folder")
    with pytest.raises(ConfigError, match="did you mean 'classes'"):
        read(tmp_path, layout="clases")
    with pytest.raises(ConfigError, match="there are vqa, coco"):
        read(tmp_path, layout="zzz")
    # One that does not fit finds nothing; all that is there is then in the ledger.
    wrong = read(tmp_path, layout="coco")
    assert "nothing in it says so" in wrong.source.found
    assert len(wrong.rejected) == 4 and not wrong.records


@pytest.mark.parametrize("layout", [layout.name for layout in LAYOUTS])
def test_every_layout_can_be_forced_on_anything(layout: str, tmp_path: Path) -> None:
    write(tmp_path, {"a.png": picture(1), "b.txt": "words", "c.json": "{", "d.csv": "x,y\n1\n", "e.xyz": b"\0"})
    try:
        found = read(tmp_path, layout=layout)
    except (DataError, ConfigError):
        return
    assert found.source.found.startswith(layout)


@pytest.mark.parametrize("name", ["a.json", "dataset_x.json", "captions_x.json", "v2_OpenEnded_mscoco_val2014_questions.json", "results.csv",
                                  "esc50.csv", "trainlist01.txt", "1-2.trans.txt", "a.trans.txt", "train.en", "AllVideoDescriptions.txt", "x.tokens",
                                  "manifest.jsonl", "manifest.csv", "x.tar", "x.zip", "metadata.csv", "sents_train.txt", "x.token"])  # fmt: skip
def test_no_content_breaks_the_recognition(name: str, tmp_path: Path) -> None:
    """Empty, binary, cut, one endless line: a typed error, or every input a record or a refusal."""
    contents = [
        b"",
        b"\0" * 100,
        b"\xff\xfe\x00",
        b"{" * 5000,
        b'"' * 5000,
        b"a," * 9000,
        b"\x1f\x8b\x08",
        b"x|y|z\n",
        b"[1,2",
        b'{"images": [',
    ]
    for content in contents:
        write(tmp_path, {name: content, "p.png": picture()})
        for path in (tmp_path, tmp_path / name):
            try:
                read(path, decode=False)
            except (DataError, ConfigError) as error:
                assert str(error)


def test_nothing_and_odd_things(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        recognise(tmp_path / "none")
    with pytest.raises(DataError, match="no such folder"):
        open_source("no\0name", BuildConfig())
    os.mkfifo(tmp_path / "results.csv")  # opening it would wait for ever
    write(tmp_path, {"a.png": picture()})
    assert recognise(tmp_path).layout == "folder"
    with pytest.raises(ConfigError, match=r"neither a folder nor a file that is known .*\.jsonl.*\.zip"):
        open_source(str(write(tmp_path, {"a.xyz": "?"}) / "a.xyz"), BuildConfig())


def test_lists_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"secret.csv": "filename,fold,target,category,src_file\nsecret,1,2,3,4\n", "data/a.png": picture()})
    (tmp_path / "data" / "esc50.csv").symlink_to(tmp_path / "secret.csv")
    assert recognise(tmp_path / "data").layout == "folder"


def test_named_sources_have_no_sentence() -> None:
    assert open_source("sentiment", BuildConfig()).found == "" if "sentiment" in EMBEDDED else True


@pytest.mark.parametrize(("name", "split"), [("train2017", "train"), ("val", "val"), ("validation-00", "validation"), ("test-clean", "test"),
                                             ("eval_segments.csv", "test"), ("training", "training"), ("trainer", None)])  # fmt: skip
def test_splits_by_name(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_a_listing_has_no_hidden_files_and_follows_no_links(tmp_path: Path) -> None:
    write(tmp_path, {"b/c.txt": "x", "a.txt": "x", ".h/x.txt": "x", "b/.x.txt": "x"})
    (tmp_path / "loop").symlink_to(tmp_path)
    assert Listing(tmp_path).files == ("a.txt", "b/c.txt")


TABLE = pa.table({"id": ["a", "b"], "text": ["one", "two"], "label": [1, 0]}).replace_schema_metadata(
    {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}})}
)


@pytest.mark.parametrize("form", ["file", "stream", "feather"])
def test_arrow_manifests(form: str, tmp_path: Path) -> None:
    path = tmp_path / ("m.feather" if form == "feather" else "m.arrow")
    if form == "feather":
        feather.write_feather(TABLE, str(path), compression="lz4")
    else:
        writer = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as sink, writer(sink, TABLE.schema) as file:
            file.write_table(TABLE)
    found = read(path)
    assert {key: (r.texts[0].text, r.labels[0].value) for key, r in found.records.items()} == {
        "a": ("one", "dog"),
        "b": ("two", "cat"),
    }
    whole = path.read_bytes()
    for cut in (0, 3, 8, len(whole) // 2, len(whole) - 4):
        path.write_bytes(whole[:cut])
        try:
            assert len(read(path).records) <= 2
        except DataError as error:
            assert str(path) in str(error)


def test_a_saved_data_set_of_the_datasets_library(tmp_path: Path) -> None:
    for split in ("test", "train"):
        folder = tmp_path / split
        folder.mkdir()
        with (
            pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink,
            pa.ipc.new_stream(sink, TABLE.schema) as file,
        ):
            file.write_table(TABLE.set_column(0, "id", [[f"{split}-a", f"{split}-b"]]))
    write(tmp_path, {"dataset_dict.json": "{}", "train/state.json": "{}"})
    assert {key: record.split for key, record in read(tmp_path).records.items()} == {
        "train-a": "train", "train-b": "train", "test-a": "test", "test-b": "test",
    }  # fmt: skip


def test_folders_of_media_with_metadata(tmp_path: Path) -> None:
    """Hugging Face's imagefolder: paths are relative to each split's folder."""
    for split in ("train", "test"):
        write(
            tmp_path,
            {f"{split}/metadata.csv": "file_name,text\nx/1.png,words\n", f"{split}/x/1.png": picture(len(split))},
        )
    found = read(tmp_path)
    assert found.source.found.startswith("manifest: train/metadata.csv … test/metadata.csv")
    assert {key: (record.split, record.image[0].path) for key, record in found.records.items()} == {
        "train/metadata:2": ("train", "train/x/1.png"), "test/metadata:2": ("test", "test/x/1.png"),
    }  # fmt: skip


def test_parquet_in_a_folder_of_its_own(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        pq.write_table(
            TABLE.set_column(0, "id", [[f"{split}-a", f"{split}-b"]]),
            tmp_path / "data" / f"{split}-00000-of-00001.parquet",
        )
    write(tmp_path, {"README.md": "a card"})
    assert [record.split for record in read(tmp_path).records.values()] == ["train", "train", "test", "test"]
