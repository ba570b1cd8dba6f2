"""The page of an explanation: one HTML file that needs nothing else; or the maps alone, as one picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from chiasm.dataset.table import Table
from chiasm.errors import ConfigError
from chiasm.evaluate.explain.draw import beside, overlay, shade, spectrum_picture
from chiasm.evaluate.explain.explain import METHODS, Explanation, Map
from chiasm.evaluate.pages.charts import Series, line_chart
from chiasm.evaluate.pages.embedded import data_uri, webp
from chiasm.evaluate.pages.facts import NOUN
from chiasm.evaluate.pages.page import render, write_page
from chiasm.evaluate.retrieval.items import collect
from chiasm.modalities.audio import encode_audio, log_mel, read_audio
from chiasm.modalities.image import read_image
from chiasm.modalities.media import read_bytes
from chiasm.train.model import LoadedModel, as_item
from chiasm.types import MODALITIES, Media, Text

SEARCHED = 5_000
"""Records of a table that neighbours are looked for among, drawn evenly."""
SECONDS = 60.0


def write_explanation(
    out: Path,
    found: Explanation,
    given: Mapping[str, str | Path],
    name: str,
    neighbours: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> Path:
    """Write the page (.html), or the maps as a picture (.png). given: the text, and the files of the picture and the sound.

    neighbours: what `nearest` gives. Raises ConfigError for another ending, MachineError where it cannot be written.
    """
    if out.suffix == ".png":
        pictures = [whole for one in _shown(found, given) for whole in one["pictures"]]
        if not pictures:
            raise ConfigError(
                f"{out}: there is no map of a picture or a sound to draw; a page shows words: name it .html"
            )
        file = io.BytesIO()
        Image.fromarray(beside(pictures)).save(file, "PNG")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(file.getvalue())
        return out
    if out.suffix not in (".html", ".htm"):
        raise ConfigError(f"{out}: a page is named .html, a picture .png")
    shown = [one | {"pictures": [_uri(p) for p in one["pictures"]]} for one in _shown(found, given)]
    page = render(
        "explain.html",
        name=name,
        found=found,
        meaning=_MEANING[found.method],
        shown=shown,
        words=_by_word(found, given),
        neighbours=neighbours or {},
        noun=NOUN,
    )
    write_page(out, page)
    return out


def nearest(
    model: LoadedModel, table: Table, given: Mapping[str, str | Path], k: int = 5
) -> dict[str, list[dict[str, Any]]]:
    """{given modality: the k records of the table nearest to it, [{id, text, score, picture}, …]}, by their pictures where it has any, else by
    their texts; among SEARCHED records at most."""
    rows = np.unique(np.linspace(0, len(table) - 1, min(len(table), SEARCHED)).round().astype(np.int64))
    sides = collect(model, table, rows=rows, raw=False).sides
    found: dict[str, list[dict[str, Any]]] = {}
    for name, value in given.items():
        place = next((m for m in ("image", *MODALITIES) if m in sides and m != name), None)
        if place is None:
            continue
        vector = model.embed_items(name, [as_item(name, value)])[0]
        scores = sides[place].embedding @ vector
        best = np.argsort(-scores, kind="stable")[:k]
        found[name] = [_neighbour(table, int(sides[place].rows[i]), float(scores[i]), place) for i in best]
    return found


def _neighbour(table: Table, row: int, score: float, modality: str) -> dict[str, Any]:
    record = table.records([row])[0]
    said = record.texts[0].text if record.texts else record.id
    picture = None
    if modality == "image":
        picture = _uri(read_image(table.read(record.image[0]), 96))
    return {"id": record.id, "text": said[:200], "score": round(score, 6), "picture": picture}


def _shown(found: Explanation, given: Mapping[str, str | Path]) -> list[dict[str, Any]]:
    """What the template shows of each thing: its pictures (the thing, then its map), its sound, its words, its curves."""
    shown: list[dict[str, Any]] = []
    for name, one in found.maps.items():
        entry: dict[str, Any] = {
            "modality": name,
            "toward": found.toward[name],
            "pictures": [],
            "sound": None,
            "words": [],
        }
        if name == "text":
            largest = float(np.abs(one.values).max())
            entry["words"] = [(w, shade(v, largest), v) for w, v in zip(one.names, one.values.tolist(), strict=True)]
        elif name == "image":
            picture = _square(given["image"])
            entry["pictures"] = [picture, overlay(picture, one.values)]
        else:
            entry["pictures"], entry["sound"] = _sound(given["audio"], one)
        entry |= {"chart": _chart(one), "curves": one.curves}
        shown.append(entry)
    return shown


def _sound(value: str | Path, one: Map) -> tuple[list[NDArray[np.uint8]], str]:
    wave = read_audio(_bytes(value), SECONDS)
    mel = log_mel(wave)
    heard = spectrum_picture(mel[: len(one.values) * max(1, round(len(mel) / len(one.values)))])
    values = one.values[None] if one.spectrum is None else one.spectrum.T[::-1]
    return [heard, overlay(heard, values, side=heard.shape[1])], data_uri("audio/flac", encode_audio(wave))


def _chart(one: Map) -> Markup:
    if one.curves is None:
        return Markup("")
    lines = {"deleted, most relevant first": one.curves.deletion, "inserted, most relevant first": one.curves.insertion}
    lines["inserted in random order"] = one.curves.random
    series = [
        Series(name, list(zip((100 * one.curves.shares).tolist(), line.tolist(), strict=True)), place + 1)
        for place, (name, line) in enumerate(lines.items())
    ]
    return line_chart(series, title="Similarity as parts go and come", x_label="% of the parts", floor=0.0)


def _by_word(found: Explanation, given: Mapping[str, str | Path]) -> list[dict[str, Any]]:
    """The picture once for each word, with what each patch and the word add to the likeness together."""
    if "image" not in found.pairs or "image" not in found.maps:
        return []
    picture, values, text = _square(given["image"]), found.pairs["image"], found.maps["text"]
    largest = float(np.abs(values).max())
    shape = found.maps["image"].values.shape
    return [
        {"word": word, "picture": _uri(overlay(picture, row.reshape(shape), largest, 120)), "sum": float(row.sum())}
        for word, row in zip(text.names, values, strict=True)
    ]


def _square(value: str | Path) -> NDArray[np.uint8]:
    """The picture in the square that a model sees."""
    return read_image(_bytes(value), 320)


def _bytes(value: str | Path) -> bytes:
    item = as_item("image", value)
    assert isinstance(item, Media) and not isinstance(item, Text)
    return read_bytes(item)


def _uri(pixels: NDArray[np.uint8]) -> str:
    return data_uri("image/webp", webp(pixels))


_MEANING: dict[str, str] = dict(
    zip(
        METHODS,
        (
            "Gradient-weighted attention (Chefer et al. 2021): through which patches and words attention carried what raises the likeness.",
            "Attention rollout (Abnar & Zuidema 2020): where attention went in all, whatever the other thing is.",
            "Occlusion: how much likeness is lost when a part and its neighbours are taken away; blue parts speak against it.",
            "Contribution: what each of the trunk's last tokens adds to the likeness; blue ones take away from it.",
        ),
        strict=True,
    )
)
