"""What a build finds of faults that were planted: corrupt files, exact and near copies, wrong labels, copies across splits.

`python benchmarks/planted.py [--items 10000] [--data FOLDER] [--seed 0] [--leaked 0.05] [--keep FOLDER] [--json FILE]`.
FOLDER holds openclipart and cifar10 (5,023 drawings, 10,000 photographs); without it the pictures are the emoji of the `demo` extra. Pictures
that are copies of each other already, by dedup itself, are left out before anything is planted: what the real collections hold is looked at by
eye, not counted here.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import numpy as np
from PIL import Image

from chiasm.building import DedupConfig, LabelConfig, LabelErrorsConfig, SplitConfig
from chiasm.config import BuildConfig
from chiasm.dataset.build import BuildResult, build
from chiasm.types import Record

SHARES = {"corrupt": 0.01, "exact": 0.03, "near": 0.03, "leaked": 0.05}
MISLABELLED = 0.02
Item = dict[str, Any]


def pictures(data: Path | None) -> list[Item]:
    """Every picture that there is: its bytes, a text and a label."""
    if data is None:
        from chiasm.sources import open_source

        source = open_source("emoji", BuildConfig(voices=()))
        source.prepare(None)
        return [
            {"data": record.image[0].data, "text": record.texts[0].text, "label": record.labels[0].value}
            for record in source.records()
            if isinstance(record, Record)
        ]
    rows = [json.loads(line) for line in (data / "openclipart/manifest.jsonl").read_text(encoding="utf8").splitlines()]
    drawings = [
        {"data": (data / "openclipart" / row["image"]).read_bytes(), "text": row["text"], "label": row["label"]}
        for row in rows
    ]
    import pyarrow.parquet as pq

    table = pq.read_table(data / "cifar10/train.parquet", columns=["image", "text", "label"]).to_pylist()
    photos = [
        {
            "data": row["image"]["bytes"] if isinstance(row["image"], dict) else row["image"],
            "text": row["text"],
            "label": str(row["label"]),
        }
        for row in table
    ]
    return drawings + photos


def without_copies(items: list[Item], work: Path) -> list[Item]:
    """Those that dedup keeps."""
    write([{**item, "text": None} for item in items], work / "all")
    config = BuildConfig(test=0.0, validation=0.0, dedup=DedupConfig(near="remove"))
    build(str(work / "all"), work / "all.lance", config)
    kept = lance.dataset(str(work / "all.lance")).to_table(columns=["id"])["id"].to_pylist()
    return [items[int(key.split("-")[0])] for key in kept]


def write(items: list[Item], folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    with (folder / "manifest.jsonl").open("w", encoding="utf8") as file:
        for number, item in enumerate(items):
            key = item.get("id", f"{number:05}-x")
            (folder / "images" / f"{key}.bin").write_bytes(item["data"])
            row = {
                "id": key,
                "image": f"images/{key}.bin",
                "text": item["text"],
                "label": item["label"],
                "split": item.get("split"),
            }
            file.write(json.dumps({name: value for name, value in row.items() if value is not None}) + "\n")


def flat(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    canvas = Image.new("RGB", picture.size, "white")
    canvas.paste(picture, (0, 0), picture)
    return canvas


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def resized(item: Item, random: np.random.Generator) -> Item:
    picture, scale = flat(item["data"]), random.uniform(0.5, 2.0)
    size = (max(8, round(picture.width * scale)), max(8, round(picture.height * scale)))
    return {**item, "data": encode(picture.resize(size, Image.Resampling.BICUBIC))}


def encoded(item: Item, random: np.random.Generator) -> Item:
    return {**item, "data": encode(flat(item["data"]), "JPEG", quality=int(random.integers(50, 91)))}


def cropped(item: Item, random: np.random.Generator) -> Item:
    """90 to 97 % of both sides, from anywhere."""
    picture, share = flat(item["data"]), random.uniform(0.9, 0.97)
    size = (max(8, round(picture.width * share)), max(8, round(picture.height * share)))
    x, y = (int(random.integers(0, whole - part + 1)) for whole, part in zip(picture.size, size, strict=True))
    return {**item, "data": encode(picture.crop((x, y, x + size[0], y + size[1])))}


def recased(item: Item, random: np.random.Generator) -> Item:
    """The picture encoded anew, and the text in other case and punctuation."""
    text = item["text"].upper() if random.random() < 0.5 else item["text"].title() + "."
    return {**encoded(item, random), "text": text}


CHANGES: tuple[Callable[[Item, np.random.Generator], Item], ...] = (resized, encoded, cropped, recased)


def broken(item: Item, number: int) -> bytes:
    data = item["data"]
    return (b"", data[: len(data) // 3], data[:20], b"not a picture at all", bytes(200))[number % 5]


def plant(base: list[Item], items: int, seed: int, leaked: float) -> tuple[list[Item], dict[str, str], set[str]]:
    """The items in a random order, the original of each copy by id, and the ids that were given a wrong label. leaked: share of copies across
    splits."""
    random = np.random.default_rng(seed)
    counts = {kind: round(share * items) for kind, share in (SHARES | {"leaked": leaked}).items()}
    clean = items - sum(counts.values())
    if len(base) < clean + counts["corrupt"]:
        raise SystemExit(f"{len(base)} different pictures are too few for {items} items")
    chosen = [base[index] for index in random.permutation(len(base))[: clean + counts["corrupt"]]]
    splits = ("train", "test", "validation")
    made: list[Item] = [
        {**item, "id": f"clean{n:05}", "split": str(random.choice(splits, p=(0.8, 0.1, 0.1)))}
        for n, item in enumerate(chosen[:clean])
    ]
    originals: dict[str, str] = {}
    sources = random.permutation(clean)
    copies: list[Item] = []
    for number in range(counts["exact"] + counts["near"] + counts["leaked"]):
        origin = made[sources[number]]
        kind = (
            "exact" if number < counts["exact"] else "near" if number < counts["exact"] + counts["near"] else "leaked"
        )
        change = CHANGES[number % len(CHANGES)]
        exact = kind == "exact" or (kind == "leaked" and number % 2 == 0)
        copy = {
            **(dict(origin) if exact else change(origin, random)),
            "id": f"{kind}{number:05}-{'same' if exact else change.__name__}",
        }
        if kind == "leaked":
            copy["split"] = "test" if origin["split"] == "train" else "train"
        originals[copy["id"]] = origin["id"]
        copies.append(copy)
    wrong = {made[index]["id"] for index in sources[-round(MISLABELLED * items) :]}
    labels = sorted({item["label"] for item in made})
    for item in made:
        if item["id"] in wrong:
            item["label"] = str(random.choice([label for label in labels if label != item["label"]]))
    corrupt = [
        {"id": f"corrupt{n:05}", "data": broken(item, n), "text": None, "label": item["label"], "split": "train"}
        for n, item in enumerate(chosen[clean:])
    ]
    whole = made + copies + corrupt
    return [whole[index] for index in random.permutation(len(whole))], originals, wrong


def figures(out: Path, ledger: Path, originals: dict[str, str], items: list[Item]) -> dict[str, Any]:
    rows = [json.loads(line) for line in ledger.read_text(encoding="utf8").splitlines()]
    removed = {row["id"]: row for row in rows if row["reason"] == "duplicate"}
    table = lance.dataset(str(out)).to_table(columns=["id", "split"])
    split = dict(zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True))
    family = {str(item["id"]): originals.get(str(item["id"]), str(item["id"])) for item in items}
    members = Counter(family.values())
    left = Counter(family[key] for key in split)
    found = sum(left[origin] == 1 for origin in originals.values())
    true = sum(1 for key in removed if members[family[key]] > 1)
    missed = Counter(copy.split("-")[1] for copy, origin in originals.items() if left[origin] > 1)
    corrupt = {item["id"] for item in items if item["id"].startswith("corrupt")}
    refused = {row["id"] for row in rows if row["reason"] not in ("duplicate",)}
    where: dict[str, set[str]] = {}
    for key, name in split.items():
        where.setdefault(family[str(key)], set()).add(str(name))
    return {
        "given": len(items),
        "rows": len(split),
        "ledger": len(rows),
        "sums agree": len(items) == len(split) + len({row["id"] for row in rows if row["part"] == "record"}),
        "corrupt planted": len(corrupt),
        "corrupt in the ledger": len(corrupt & refused),
        "others refused": len(refused - corrupt),
        "copies planted": len(originals),
        "recall": found / len(originals),
        "precision": true / max(1, len(removed)),
        "missed": dict(missed),
        "missed ids": [copy for copy, origin in originals.items() if left[origin] > 1][:40],
        "families in two splits": sum(len(found) > 1 for found in where.values()),
        "of them": [origin for origin, found in where.items() if len(found) > 1][:20],
        "wrong": [(key, removed[key]["message"]) for key in removed if members[family[key]] == 1][:20],
    }


def groups(result: BuildResult) -> dict[str, Any]:
    """How many rows lie in a group with others, and how large the groups are that keep them in one split."""
    facts = {report.step: report.facts for report in result.steps}
    sizes = Counter(lance.dataset(str(result.path)).to_table(columns=["group"])["group"].to_pylist())
    return {
        "rows in a group": sum(size for size in sizes.values() if size > 1),
        "largest group": max(sizes.values()),
        "pairs tied": facts["dedup"]["tied"],
        "likenesses left out": facts["dedup"]["untied"],
    }


def label_errors(table: Path, out: Path, feature: str, wrong: set[str]) -> dict[str, Any]:
    """What the step *label*, with nothing but `feature` to go by, tells of the labels that were planted.

    Texts of the photographs name their class."""
    errors = {"label": LabelErrorsConfig(features=(feature,), action="mark")}
    build(str(table), out, BuildConfig(steps=("label",), test=0.0, validation=0.0, label=LabelConfig(errors=errors)))
    rows = lance.dataset(str(out)).to_table(columns=["id", "labels"])
    told: dict[str, bool] = {
        key: any(label["name"] == "label:suggested" for label in labels or ())
        for key, labels in zip(rows["id"].to_pylist(), rows["labels"].to_pylist(), strict=True)
    }
    hit, planted = sum(told[key] for key in wrong & told.keys()), len(wrong & told.keys())
    found = sum(told.values())
    return {
        f"wrong labels by {feature}": f"{hit} of {planted}, {found} told",
        f"recall by {feature}": hit / max(1, planted),
        f"precision by {feature}": hit / max(1, found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for what is built, else a temporary one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--leaked", type=float, default=SHARES["leaked"], help="share of copies across splits")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = given.keep or Path(temporary)
        found = pictures(given.data)
        some = np.random.default_rng(given.seed).permutation(len(found))[: given.items * 5 // 4]
        base = without_copies([found[index] for index in np.sort(some)], work)
        items, originals, wrong = plant(base, given.items, given.seed, given.leaked)
        write(items, work / "planted")
        started = time.monotonic()
        config = BuildConfig(
            test=0.0, validation=0.0, dedup=DedupConfig(near="remove"), split=SplitConfig(prescribed="repair")
        )
        result = build(str(work / "planted"), work / "planted.lance", config)
        found = figures(result.path, result.ledger, originals, items)
        found |= {
            "base": len(base),
            "mislabelled": len(wrong),
            "leaks by the build": result.leaks_total,
            **groups(result),
            "seconds": time.monotonic() - started,
        }
        for feature in ("text", "image"):
            found |= label_errors(result.path, work / f"labels_{feature}.lance", feature, wrong)
        for name, value in found.items():
            print(f"{name:24} {value}")
        if given.json:
            given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
