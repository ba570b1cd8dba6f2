"""Near-duplicates against the usual libraries: minhash against datasketch, picture hash against imagededup (P12).

    pip install --target PEERS --no-deps imagededup datasketch PyWavelets
    PYTHONPATH=PEERS python benchmarks/near_duplicates.py --data FOLDER [--rounds 5] [--threads 1]

FOLDER holds multi30k (captions) and cifar10 (photographs, laid out as 1024 × 768 JPEG files). Both sides do the whole work: files or texts in, pairs
out, one process, one thread. Texts: candidates by 128 permutations, then the Jaccard similarity itself, at 0.8 over the same shingles.
Pictures: pHash of 64 bits, pairs within 10; "ours, parts" finds copies that were cut as well, which the peer does not look for. Every fifth item is
a copy with a small change; `copies` tells how many of them were found.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import multiprocessing
import resource
import sys
import tempfile
import types
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from _measure import cpu_seconds, interleave, report

JACCARD, RADIUS, PICTURES, TEXTS = 0.8, 10, 400, 6_000
Pairs = set[tuple[int, int]]


def captions(data: Path) -> list[str]:
    lines = (data / "multi30k/train.jsonl").read_text(encoding="utf8").splitlines()[: TEXTS * 4 // 5]
    texts = [json.loads(line)["texts"]["en"] for line in lines]
    random = np.random.default_rng(0)
    for index in random.permutation(len(texts))[: TEXTS // 5]:
        words = texts[index].split()
        texts.append(" ".join([*words[:-1], words[-1].rstrip(".") + "s."]))
    return texts


def plain_shingles(text: str) -> set[str]:
    from chiasm.dataset.signatures import SHINGLE, plain_text

    padded = f" {plain_text(text)} ".ljust(SHINGLE)
    return {padded[at : at + SHINGLE] for at in range(len(padded) - SHINGLE + 1)}


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def our_texts(texts: list[str]) -> Pairs:
    from chiasm.dataset.near import jaccards, minhash_pairs
    from chiasm.dataset.signatures import minhashes, shingles

    values, starts = shingles(texts)
    pairs = minhash_pairs(minhashes(values, starts), JACCARD)
    near = jaccards(values, starts, pairs) >= JACCARD
    return {(a, b) for a, b in pairs[near].tolist()}


def their_texts(texts: list[str], batched: bool) -> Pairs:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=JACCARD, num_perm=128)
    sets = [plain_shingles(text) for text in texts]
    found: Pairs = set()
    for number, members in enumerate(sets):
        sketch = MinHash(num_perm=128)
        if batched:
            sketch.update_batch([member.encode() for member in members])
        else:
            for member in members:
                sketch.update(member.encode())
        found |= {(other, number) for other in index.query(sketch) if jaccard(sets[other], sets[number]) >= JACCARD}
        index.insert(number, sketch)
    return found


def photographs(data: Path, folder: Path) -> None:
    """Mosaics of 6 × 8 photographs: as much detail as a camera's picture has, and no two alike."""
    import pyarrow.parquet as pq
    from PIL import Image

    column = pq.read_table(data / "cifar10/train.parquet", columns=["image"])["image"].to_pylist()
    cells = [
        Image.open(io.BytesIO(cell["bytes"] if isinstance(cell, dict) else cell)).convert("RGB") for cell in column
    ]
    random = np.random.default_rng(0)
    originals: list[Image.Image] = []
    for number in range(PICTURES):
        if number % 5 == 4:
            picture = originals[number // 5]
            if number % 2:
                picture = picture.resize((800, 600))
            picture.save(folder / f"{number:05}.jpg", quality=60)
            continue
        picture = cells[int(random.integers(len(cells)))].resize((1024, 768), Image.Resampling.BICUBIC)
        for _ in range(12):
            cell = cells[int(random.integers(len(cells)))].resize((160, 160), Image.Resampling.BICUBIC)
            picture.paste(cell, (int(random.integers(0, 864)), int(random.integers(0, 608))))
        originals.append(picture)
        picture.save(folder / f"{number:05}.jpg", quality=90)


def our_pictures(folder: Path, parts: bool) -> Pairs:
    from chiasm.dataset.measure import content
    from chiasm.dataset.near import as_words, hamming_search
    from chiasm.dataset.signatures import grey, picture_hash
    from chiasm.modalities.image import picture_size, read_image

    hashes: list[bytes] = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        hashes.append(picture_hash(content(grey(read_image(data, 128)), *picture_size(data))))
    words = as_words(hashes)
    asked = words if parts else words[:, :1]
    pairs = hamming_search(asked.reshape(-1, 1), words[:, :1], RADIUS)
    pairs[:, 0] //= asked.shape[1]
    return {(min(a, b), max(a, b)) for a, b in pairs.tolist() if a != b}


def their_pictures(folder: Path) -> Pairs:
    import imagededup

    # Its packages import torchvision's networks, which the hashes do not use.
    for name in ("methods", "utils"):
        package = types.ModuleType(f"imagededup.{name}")
        package.__path__ = [str(Path(imagededup.__path__[0]) / name)]
        sys.modules[package.__name__] = package
    from imagededup.methods.hashing import PHash

    # Its pool of processes, forked, knows the packages above.
    multiprocessing.set_start_method("fork", force=True)
    hasher = PHash(verbose=False)
    codes = hasher.encode_images(image_dir=str(folder), num_enc_workers=0)
    found = hasher.find_duplicates(encoding_map=codes, max_distance_threshold=RADIUS, num_dist_workers=0)
    return {
        (min(a, b), max(a, b))
        for a, b in ((int(one[:5]), int(other[:5])) for one, others in found.items() for other in others)
    }


def work(find: functools.partial[Pairs], warm: functools.partial[Pairs], copies: Pairs, keep: Path) -> dict[str, float]:
    warm()
    found: list[Pairs] = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = cpu_seconds(lambda: found.append(find()))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # imagededup works in a pool of processes
    seconds += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    keep.write_text(json.dumps(sorted(found[0])))
    return {"CPU-seconds": seconds, "pairs": len(found[0]), "copies": len(found[0] & copies)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("texts", "pictures"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, few = Path(temporary) / "all", Path(temporary) / "few"
        folder.mkdir()
        few.mkdir()
        photographs(given.data, folder)
        for path in sorted(folder.iterdir())[:2]:
            (few / path.name).write_bytes(path.read_bytes())
        planted = {(number // 5 + number // 5 // 4, number) for number in range(4, PICTURES, 5)}
        texts = captions(given.data)
        count = len(texts) - TEXTS // 5
        copied = {
            (int(index), count + at)
            for at, index in enumerate(np.random.default_rng(0).permutation(count)[: TEXTS // 5])
        }

        def contender(name: str, find: functools.partial[Pairs], warm: functools.partial[Pairs], copies: Pairs):
            return name, functools.partial(work, find, warm, copies, Path(temporary) / f"{name}.json")

        everything = {}
        for kind, against, contenders in (
            (
                "texts",
                "datasketch, update_batch",
                [
                    contender(
                        "ours, minhash",
                        functools.partial(our_texts, texts),
                        functools.partial(our_texts, texts[:9]),
                        copied,
                    ),
                    contender(
                        "datasketch, update",
                        functools.partial(their_texts, texts, False),
                        functools.partial(their_texts, texts[:9], False),
                        copied,
                    ),
                    contender(
                        "datasketch, update_batch",
                        functools.partial(their_texts, texts, True),
                        functools.partial(their_texts, texts[:9], True),
                        copied,
                    ),
                ],
            ),
            (
                "pictures",
                "imagededup, PHash",
                [
                    contender(
                        "ours, pHash",
                        functools.partial(our_pictures, folder, False),
                        functools.partial(our_pictures, few, False),
                        planted,
                    ),
                    contender(
                        "ours, parts",
                        functools.partial(our_pictures, folder, True),
                        functools.partial(our_pictures, few, True),
                        planted,
                    ),
                    contender(
                        "imagededup, PHash",
                        functools.partial(their_pictures, folder),
                        functools.partial(their_pictures, few),
                        planted,
                    ),
                ],
            ),
        ):
            if given.only not in (None, kind):
                continue
            found = interleave(dict(contenders), given.rounds, given.threads)
            report(found, against, None)
            everything |= found
            pairs = {
                name: {tuple(pair) for pair in json.loads((Path(temporary) / f"{name}.json").read_text())}
                for name in found
            }
            for name in found:
                missed, more = len(pairs[against] - pairs[name]), len(pairs[name] - pairs[against])
                print(f"{name}: {missed} of the {len(pairs[against])} pairs of {against} not found, {more} more")
    if given.json:
        given.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
