"""Rating sheets for people: blind, in random order, each a page of its own; and what the filled ones say.

make   results of one or several systems → sheet.html, and sheet.key.json that says what is whose. The page knows codes only.
read   what the page saved → means by system, wins against the baseline, agreement of the raters.

A line of results is {"id", "given": {"text" | "image" | "audio": …}, "made": {…}}, media as paths beside the file; or {"id", "candidate"} as
`chiasm metrics caption` takes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from chiasm.errors import ConfigError, DataError, MediaError
from chiasm.evaluate.pages.embedded import data_uri, webp
from chiasm.evaluate.pages.page import render, write_page
from chiasm.modalities.audio import encode_audio, read_audio
from chiasm.modalities.image import read_image
from chiasm.modalities.media import read_bytes, resolve
from chiasm.types import Media

SCALES = {
    "quality": "How good is it in itself?",
    "relevance": "How well does it fit what was given?",
}
POINTS = 5
SIDE, SECONDS = 384, 30.0
BUDGET = 60_000_000
"""Characters of pictures and sounds a sheet."""
MAX_BYTES = 64 * 2**20
KINDS = ("text", "image", "audio")


@dataclass(frozen=True, slots=True)
class Result:
    """What one system made of one thing. given, made: by kind, a text, or the path of a medium."""

    id: str
    given: Mapping[str, str]
    made: Mapping[str, str]


def read_results(path: Path) -> dict[str, Result]:
    """By id. Raises DataError, with the line, for what is no result or names an id twice."""
    found: dict[str, Result] = {}
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path}, line {number}"
        if "id" not in line or not ("made" in line or "candidate" in line):
            raise DataError(f'{where}: a result is {{"id", "given", "made"}} or {{"id", "candidate"}}')
        made = line["made"] if "made" in line else {"text": line["candidate"]}
        one = Result(str(line["id"]), _parts(line.get("given", {}), where, path), _parts(made, where, path))
        if one.id in found:
            raise DataError(f"{where}: the id {one.id!r} comes twice")
        if not one.made:
            raise DataError(f"{where}: nothing was made")
        found[one.id] = one
    if not found:
        raise DataError(f"{path}: no results")
    return found


def _parts(value: Any, where: str, path: Path) -> dict[str, str]:
    if not isinstance(value, dict) or not set(cast("dict[str, Any]", value)) <= set(KINDS):
        raise DataError(f"{where}: `given` and `made` have {', '.join(KINDS)}")
    parts = {kind: str(one) for kind, one in cast("dict[str, Any]", value).items()}
    try:
        return {kind: one if kind == "text" else str(resolve(one, path.parent)) for kind, one in parts.items()}
    except MediaError as error:  # a sheet is passed on: it shows no file from elsewhere on the machine
        raise DataError(f"{where}: {error}") from None


def make_sheet(
    systems: Mapping[str, Mapping[str, Result]],
    out: Path,
    *,
    baseline: str | None = None,
    items: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write the sheet to `out` and its key beside it (NAME.key.json); returns the key.

    systems: results by name of the system. Asked are the things that all have results of, at most `items`, drawn by `seed`: each result on
    both scales, and, where there are two systems or more, each against the baseline's (None: the first system's).
    Raises ConfigError for an unknown baseline, DataError where the systems share nothing, MediaError for a medium that cannot be read.
    """
    names = list(systems)
    baseline = names[0] if baseline is None else baseline
    if baseline not in systems:
        raise ConfigError(f"baseline: {baseline!r} is none of {', '.join(names)}")
    shared = [one for one in systems[names[0]] if all(one in results for results in systems.values())]
    if not shared:
        raise DataError("the systems have no id in common: there is nothing to compare")
    rng = np.random.default_rng(seed)
    chosen = [shared[i] for i in np.sort(rng.permutation(len(shared))[:items])]
    told = json.dumps(
        [
            seed,
            items,
            baseline,
            [[name, [[r.id, dict(r.given), dict(r.made)] for r in systems[name].values()]] for name in names],
        ]
    )
    sheet = hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
    _check_other(key_of(out), sheet)
    left = [BUDGET]
    cards: list[dict[str, Any]] = []
    key: dict[str, Any] = {"sheet": sheet, "baseline": baseline, "systems": names, "items": {}, "pairs": {}}
    rated = [(one, name) for one in chosen for name in names]
    for place, index in enumerate(rng.permutation(len(rated)), 1):
        one, name = rated[index]
        code, result = f"i{place}", systems[name][one]
        key["items"][code] = {"id": one, "system": name}
        cards.append({"code": code, "given": _shown(result.given, left), "made": [_shown(result.made, left)]})
    pairs = [(one, name) for one in chosen for name in names if name != baseline]
    for place, index in enumerate(rng.permutation(len(pairs)), 1):
        one, name = pairs[index]
        sides = [baseline, name] if rng.random() < 0.5 else [name, baseline]
        code, given = f"p{place}", systems[name][one].given
        key["pairs"][code] = {"id": one, "A": sides[0], "B": sides[1]}
        both = [_shown(systems[side][one].made, left) for side in sides]
        cards.append({"code": code, "given": _shown(given, left), "made": both})
    page = render("rate.html", sheet=sheet, cards=cards, scales=SCALES, points=POINTS)
    write_page(out, page)
    write_page(key_of(out), json.dumps(key, ensure_ascii=False, indent=2) + "\n")
    return key


def _check_other(key: Path, sheet: str) -> None:
    """Raises ConfigError where `key` is that of another sheet, whose ratings could not be read without it."""
    if not key.is_file():
        return
    try:
        same = json.loads(key.read_text(encoding="utf8")).get("sheet") == sheet
    except (ValueError, AttributeError):
        same = False
    if not same:
        raise ConfigError(
            f"{key} belongs to another sheet, whose ratings need it: choose another --out, or remove it first"
        )


def key_of(sheet: Path) -> Path:
    return sheet.with_suffix(".key.json")


def _shown(parts: Mapping[str, str], left: list[int]) -> dict[str, str]:
    """Texts as they are, pictures and sounds as data URIs."""
    found: dict[str, str] = {}
    for kind, value in parts.items():
        if kind == "text":
            found[kind] = value
            continue
        if not Path(value).is_file():
            raise MediaError("missing", f"{value}: no such file")
        data = read_bytes(Media(path=value))
        if kind == "image":
            uri = data_uri("image/webp", webp(read_image(data, SIDE), 90))
        else:
            uri = data_uri("audio/flac", encode_audio(read_audio(data, SECONDS)))
        left[0] -= len(uri)
        if left[0] < 0:
            raise ConfigError(f"the sheet would be larger than {BUDGET // 1_000_000} MB: ask fewer items (--items)")
        found[kind] = uri
    return found


def read_lines(path: Path) -> Iterable[dict[str, Any]]:
    """JSON objects, a line each. Raises DataError, with the line, for anything else."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: larger than {MAX_BYTES >> 20} MiB")
    for number, line in enumerate(path.read_text(encoding="utf8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise DataError(f"{path}, line {number}: not JSON") from None
        if not isinstance(value, dict):
            raise DataError(f"{path}, line {number}: not a JSON object")
        yield cast("dict[str, Any]", value)


def read_key(path: Path) -> dict[str, Any]:
    """Raises DataError where it is no key of a sheet."""
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: no key: it was written beside the sheet as NAME.key.json")
    try:
        key = json.loads(path.read_text(encoding="utf8"))
        _ = key["sheet"], key["baseline"], key["systems"], key["items"], key["pairs"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(f"{path}: not the key of a rating sheet") from None
    return cast("dict[str, Any]", key)


def systems_of(files: Sequence[Path]) -> dict[str, dict[str, Result]]:
    """Results by system, named by their files; of equal names by the folders too. Raises DataError."""
    stems = [file.stem for file in files]
    names = stems if len(set(stems)) == len(stems) else [str(file) for file in files]
    if len(set(names)) < len(names):
        raise ConfigError("a file of results is given twice")
    return {name: read_results(file) for name, file in zip(names, files, strict=True)}
