"""Published layouts of pictures with words, as small trees: COCO, VQA v2, Flickr30k, a folder a class."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from source_trees import clip, coco, picture, read, sound, write

from chiasm.errors import MediaError
from chiasm.sources import json_stream
from chiasm.sources.json_stream import json_items
from chiasm.sources.listing import Listing
from chiasm.sources.outlines import draw_mask, unpack_counts
from chiasm.types import Box, Label, Text


def test_coco(tmp_path: Path) -> None:
    found = read(coco(tmp_path))
    assert found.source.found.startswith("coco: annotations/captions_val2017.json … with captions and instances")
    assert set(found.records) == {"val2017/139", "val2017/285"}
    cat = found.records["val2017/139"]
    assert cat.texts == (Text("A cat.", "en"), Text("A cat, asleep.", "en"))
    assert cat.boxes == (Box(0, 0, 0.5, 0.5, "cat"), Box(0.5, 0, 1, 1, "plant"))  # the second is cut at the side
    assert cat.labels == (Label("category", "cat"), Label("category", "plant"))
    assert (cat.group, cat.split, cat.licence) == ("coco:139", "val", "Attribution License")
    assert cat.mask is not None and cat.mask.data is not None
    mask = np.asarray(Image.open(io.BytesIO(cat.mask.data)))
    assert mask.shape == (10, 20)
    assert mask[2, 2] == 1 and mask[0, 10] == 2 and mask[9, 11] == 2 and mask[9, 0] == 0
    assert found.records["val2017/285"].mask is None
    assert found.refused == [("val2017/632", "missing")]
    # The same by one of its files, and by force.
    assert set(read(tmp_path / "annotations" / "captions_val2017.json").records) == set(found.records)
    assert set(read(tmp_path, layout="folder").records) == {"val2017/000000000139", "val2017/000000000285"}


def test_coco_that_is_broken_is_told_to_the_annotation(tmp_path: Path) -> None:
    objects = [
        {"image_id": 285, "bbox": [1, 1, 0, 5], "category_id": 17, "id": 3, "segmentation": []},
        {"image_id": 285, "bbox": [1, 1, 5, 5], "category_id": 99, "id": 4, "segmentation": []},
        {"image_id": 285, "bbox": "no", "category_id": 17, "id": 5, "segmentation": []},
        {"image_id": 999, "bbox": [1, 1, 5, 5], "category_id": 17, "id": 6, "segmentation": []},
        {"image_id": 285, "bbox": [1, 1, 5, 5], "category_id": 17, "id": 7, "segmentation": [[1, 2]]},
    ]
    coco(tmp_path, objects, captions=[{"caption": "of nothing"}])
    write(tmp_path, {"val2017/stray.png": picture(3)})
    found = read(tmp_path)
    assert [(item.id, item.part) for item in found.remarks] == [("val2017/285", "box")] * 3 + [("val2017/285", "mask")]
    said = [(item.reason, item.message) for item in found.remarks[:3]]
    assert said == [
        ("format", "annotation 3: its bbox has no area within the picture"),
        ("unknown_category", "annotation 4: its category '99' is not among `categories` (the 2 listed)"),
        ("format", "annotation 5: its bbox is no [x, y, width, height]"),
    ]
    assert sorted(found.refused) == [
        ("annotations/captions_val2017.json:annotations:5", "malformed"), ("val2017/632", "missing"),
        ("val2017/annotation 6", "missing"), ("val2017/stray.png", "unlisted"),
    ]  # fmt: skip
    cut = (tmp_path / "annotations" / "instances_val2017.json").read_bytes()
    (tmp_path / "annotations" / "instances_val2017.json").write_bytes(cut[: len(cut) // 2])
    cut_found = read(tmp_path)
    assert "malformed" in {item.reason for item in cut_found.rejected}
    assert len(cut_found.records["val2017/139"].texts) == 2


def test_a_forced_layout_counts_what_it_does_not_read(tmp_path: Path) -> None:
    files = {"cat.png": picture(1), "cat.txt": "a cat", "dog.de.txt": "ein Hund", "README.txt": "about it"}
    found = read(write(tmp_path / "plain", files), layout="coco")
    assert found.source.found == "coco: as asked for by layout=; nothing in it says so (text: 2, image: 1)"
    assert sorted(found.refused) == [("cat.png", "unlisted"), ("cat.txt", "unlisted"), ("dog.de.txt", "unlisted")]
    assert read(tmp_path / "plain").source.found.endswith("one record (text: 2, image: 1)")
    # Recognised, only what is a medium's text by its name is looked for beside the lists.
    coco(tmp_path / "coco")
    write(tmp_path / "coco", {"val2017/stray.png": picture(3), "val2017/stray.txt": "a stray", "val2017/list.txt": "1"})
    refused = read(tmp_path / "coco").refused
    assert {name for name, reason in refused if reason == "unlisted"} == {"val2017/stray.png", "val2017/stray.txt"}


def test_captions_without_pictures_are_texts(tmp_path: Path) -> None:
    coco(tmp_path)
    for path in (tmp_path / "val2017").iterdir():
        path.unlink()
    found = read(tmp_path)
    assert len(found.records) == 3 and not found.rejected
    assert all(record.boxes == () and record.mask is None for record in found.records.values())


def test_run_lengths_are_pycocotools() -> None:
    masks = pytest.importorskip("pycocotools.mask")
    shape = np.random.default_rng(0).random((37, 53)) > 0.7
    shape[5:30, 10:50] = True
    packed = masks.encode(np.asfortranarray(shape.astype(np.uint8)))["counts"].decode()
    outline = {"size": [37, 53], "counts": packed}
    assert (draw_mask([outline], 53, 37).astype(bool) == shape).all()
    assert sum(unpack_counts(packed)) == 37 * 53


@pytest.mark.parametrize("outline", [None, 5, [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, float("nan")]], {"counts": [5], "size": [10, 20]},
                                     {"counts": [-5, 205], "size": [10, 20]}, {"counts": "zzz\x7f", "size": [10, 20]}])  # fmt: skip
def test_outlines_that_are_none(outline: Any) -> None:
    with pytest.raises(MediaError):
        draw_mask([outline], 20, 10)
    with pytest.raises(MediaError, match="limit"):
        draw_mask([], 10**6, 10**6)


def test_json_comes_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {"a": [1, 23, {"x": "é" * 50}], "info": {"b": [2]}, "n": 12345, "empty": [], "last": [[1], "s"]}
    expected = [
        ("a", 1),
        ("a", 23),
        ("a", {"x": "é" * 50}),
        ("info", {"b": [2]}),
        ("n", 12345),
        ("last", [1]),
        ("last", "s"),
    ]
    files = Listing(write(tmp_path, {"x.json": json.dumps(whole, indent=1, ensure_ascii=False), "l.json": "[1, 2]"}))
    for chunk in (1, 3, 2**18):
        monkeypatch.setattr(json_stream, "_CHUNK", chunk)
        assert list(json_items(files, "x.json")) == expected
        assert list(json_items(files, "l.json")) == [("", 1), ("", 2)]
    monkeypatch.setattr(json_stream, "_CHUNK", 64)
    monkeypatch.setattr(json_stream, "MAX_ITEM", 1000)
    bad = {'{"a": [1, 2': "malformed", '{"a": [1 2]}': "malformed", "": "malformed", '{"a": ["' + "x" * 5000 + '"]}': "too_long",
           '{"a": ' + "[" * 900 + "]" * 900 + "}": None, '{"a": "\udcff"}': "encoding", "{1: 2}": "malformed"}  # fmt: skip
    for text, reason in bad.items():
        (tmp_path / "bad.json").write_bytes(text.encode("utf8", "surrogateescape"))
        if reason is None:
            list(json_items(files, "bad.json"))
            continue
        with pytest.raises(MediaError) as caught:
            list(json_items(files, "bad.json"))
        assert caught.value.reason == reason, text[:20]


def vqa(root: Path) -> Path:
    ask = [{"image_id": 42, "question": "What is it?", "question_id": 42000}, {"image_id": 42, "question": "Two?", "question_id": 42001},
           {"image_id": 73, "question": "Why?", "question_id": 73000}]  # fmt: skip

    def answers(number: int, image_id: int, words: list[str]) -> dict[str, Any]:
        given = [
            {"answer": word, "answer_confidence": "yes", "answer_id": place} for place, word in enumerate(words, 1)
        ]
        return {"question_type": "what", "multiple_choice_answer": "dog", "answers": given, "image_id": image_id,
                "answer_type": "other", "question_id": number}  # fmt: skip

    told = [answers(42000, 42, ["cat", "dog", "dog", "puppy"] + ["dog"] * 6), answers(42001, 42, ["no"] * 10)]
    told.append(answers(99, 1, ["x"] * 10))
    kind = {"info": {}, "task_type": "Open-Ended", "data_type": "mscoco", "license": {}, "data_subtype": "val2014"}
    return write(root, {
        "v2_OpenEnded_mscoco_val2014_questions.json": json.dumps({**kind, "questions": ask}),
        "v2_mscoco_val2014_annotations.json": json.dumps({**kind, "annotations": told}),
        "v2_OpenEnded_mscoco_test-dev2015_questions.json": json.dumps(
            {**kind, "questions": [{"image_id": 1, "question": "Where?", "question_id": 10}, {"image_id": "x"}]}
        ),
        "val2014/COCO_val2014_000000000042.jpg": picture(1, "JPEG"),
        "test2015/COCO_test2015_000000000001.jpg": picture(2, "JPEG"),
    })  # fmt: skip


def test_vqa(tmp_path: Path) -> None:
    found = read(vqa(tmp_path), decode=False)
    assert found.source.found.startswith("vqa: v2_OpenEnded_mscoco_test-dev2015_questions.json …")
    first = found.records["val2014/42"]
    assert [(q.question, len(q.answers)) for q in first.questions] == [("What is it?", 10), ("Two?", 10)]
    assert first.questions[0].answers == ("dog",) * 8 + ("cat", "puppy")
    assert (first.split, first.group) == ("val", "coco:42")
    test = found.records["test-dev2015/1"]
    assert test.questions[0].answers == () and test.split == "test"
    assert test.image[0].path == "test2015/COCO_test2015_000000000001.jpg"
    assert sorted(found.refused) == [
        ("v2_OpenEnded_mscoco_test-dev2015_questions.json:2", "malformed"), ("val2014/73", "missing"),
        ("val2014/answers 99", "missing"),
    ]  # fmt: skip


def karpathy_rows() -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["raw", "sentids", "split", "filename", "img_id"])
    writer.writerow([json.dumps(["Two men.", 'A "man", alone.']), "[0, 1]", "train", "1.jpg", 0])
    writer.writerow([json.dumps(["A dog."]), "[2]", "test", "2.jpg", 1])
    return file.getvalue()


FLICKR = {
    "results.csv": "image_name| comment_number| comment\n1.jpg| 0| Two men.\n1.jpg| 1| A \"man\", alone.\n2.jpg| 0| A dog.\n",
    "results_20130124.token": "1.jpg#0\tTwo men.\n1.jpg#1\tA \"man\", alone.\n2.jpg#0\tA dog.\n",
    "captions.txt": "image,caption\n1.jpg,Two men.\n1.jpg,A \"man\", alone.\n2.jpg,A dog.\n",
    "flickr_annotations_30k.csv": karpathy_rows(),
    "dataset_flickr30k.json": json.dumps({"images": [
        {"sentids": [0, 1], "imgid": 0, "sentences": [{"tokens": [], "raw": "Two men.", "imgid": 0}, {"raw": 'A "man", alone.'}],
         "split": "train", "filename": "1.jpg"},
        {"sentences": [{"raw": "A dog."}], "split": "test", "filename": "2.jpg"}], "dataset": "flickr30k"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FLICKR)
def test_flickr30k(name: str, tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            name: FLICKR[name],
            "flickr30k_images/1.jpg": picture(1, "JPEG"),
            "flickr30k_images/2.jpg": picture(2, "JPEG"),
        },
    )
    found = read(tmp_path)
    assert found.source.found.startswith(f"flickr30k: {name}")
    assert found.rejected == []
    assert [text.text for text in found.records["1"].texts] == ["Two men.", 'A "man", alone.']
    assert [text.text for text in found.records["2"].texts] == ["A dog."]
    splits = {record.split for record in found.records.values()}
    assert splits == ({"train", "test"} if name.startswith(("flickr_", "dataset")) else {None})


def test_flickr30k_rows_that_are_broken(tmp_path: Path) -> None:
    broken = FLICKR["results.csv"] + "2199200615.jpg| 4   A dog runs across the grass .\n3.jpg| 0| Gone.\n"
    write(
        tmp_path,
        {
            "results.csv": broken.encode() + b"1.jpg| 2| \xff\n",
            "images/1.jpg": picture(1, "JPEG"),
            "images/2.jpg": picture(2, "JPEG"),
        },
    )
    found = read(tmp_path)
    assert found.refused == [("results.csv:5", "malformed"), ("results.csv:7", "encoding"), ("3.jpg", "missing")]
    assert found.rejected[0].message.startswith("line 5: ")


@pytest.mark.parametrize("head", ["", "train/"])
def test_a_folder_a_class(head: str, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {f"{head}{name}/{i}.png": picture(i) for name in ("cat", "dog") for i in range(3)}
    if head:
        files |= {f"val/{name}/{9}.png": picture(9) for name in ("cat", "dog")}
    found = read(write(tmp_path, {**files, "README.md": "about"}))
    assert (
        found.source.found.startswith("classes: every file lies in a")
        and "it could also be folder" in found.source.found
    )
    assert found.records[f"{head}cat/0"].labels == (Label("class", "cat"),)
    assert found.records[f"{head}cat/0"].split == ("train" if head else None)
    assert found.refused == [("README.md", "unknown_kind")]
    assert found.source.total == len(files) + 1


def test_what_is_no_folder_a_class(tmp_path: Path) -> None:
    captioned = {
        f"{name}/{i}.{end}": picture(i) if end == "png" else "words"
        for name in "ab"
        for i in range(3)
        for end in ("png", "txt")
    }
    assert read(write(tmp_path / "captioned", captioned)).source.found.startswith("folder")
    splits = {f"{name}/{i}.wav": sound(i) for name in ("train", "test") for i in range(3)}
    assert read(write(tmp_path / "splits", splits)).source.found.startswith("folder")
    clips = {f"{name}/{i}.mp4": clip(i) for name in ("run", "jump") for i in range(2)}
    assert read(write(tmp_path / "clips", clips)).records["run/0"].labels == (Label("class", "run"),)
