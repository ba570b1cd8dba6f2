"""Models of the `transformers` library as plug-ins: a folder on this machine, safetensors weights, and no code from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chiasm.building import PipelineConfig
from chiasm.dataset.features import SECONDS, first_items
from chiasm.dataset.raw_features import LETTERS
from chiasm.dataset.step import Sheet
from chiasm.errors import MachineError, MediaError, ModelError
from chiasm.modalities.audio import RATE, read_audio
from chiasm.modalities.image import read_image
from chiasm.modalities.media import read_bytes
from chiasm.types import Media, Text


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a model says of a row. word: where it stands for a word of the text ·
    box: x0, y0, x1, y1 as fractions of the picture."""

    label: str
    score: float
    word: str | None = None
    box: tuple[float, float, float, float] | None = None


def run_pipeline(config: PipelineConfig, sheet: Sheet) -> Iterator[tuple[int, list[Finding]]]:
    """(place among the sheet's rows, findings of at least `config.least`, surest first) of every row that has what the task reads.

    A row's first text, picture or sound is read; one that cannot be read gives no findings. Raises MachineError where the library is
    missing and ModelError where the folder holds no such model.
    """
    pipe = _open(config)
    extra: dict[str, Any] = {"candidate_labels": list(config.names)} if config.task.startswith("zero-shot") else {}
    modality = (
        "audio" if "audio" in config.task else "image" if "image" in config.task or "object" in config.task else "text"
    )
    for place, item in first_items(sheet, modality):
        try:
            given, size = _input(item, modality, sheet)
        except MediaError:
            continue
        found = [_finding(row, size) for row in _rows(pipe(given, **extra))]
        yield place, sorted((one for one in found if one.score >= config.least), key=lambda one: -one.score)


def _open(config: PipelineConfig) -> Any:
    if not (Path(config.model) / "config.json").is_file():
        raise ModelError(f"{config.model}: no folder of a transformers model (it holds no config.json)")
    try:
        import transformers
    except ImportError:
        raise MachineError(f"{config.task} needs the transformers library: pip install transformers") from None
    options: dict[str, Any] = {"aggregation_strategy": "simple"} if config.task == "token-classification" else {}
    make: Any = transformers.pipeline
    transformers.utils.logging.disable_progress_bar()  # the weights of one folder are there at once
    try:
        return make(
            config.task,
            model=config.model,
            device="cpu",
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},  # weights in pickles can run code
            **options,
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"{config.model}: no model for {config.task}: {said[0][:200]}") from None


def _input(item: Text | Media, modality: str, sheet: Sheet) -> tuple[Any, tuple[int, int]]:
    """What the library takes, and a picture's width and height."""
    if isinstance(item, Text):
        return item.text[:LETTERS], (1, 1)
    data = read_bytes(item, sheet.root)
    if modality == "audio":
        return {"raw": read_audio(data, SECONDS), "sampling_rate": RATE}, (1, 1)
    from PIL import Image

    picture = Image.fromarray(read_image(data))
    return picture, picture.size


def _rows(found: Any) -> list[Mapping[str, Any]]:
    """The library's answers, which are one mapping, a list of them, or parallel lists of labels and scores."""
    if isinstance(found, Mapping):
        if isinstance(found.get("labels"), list):
            return [{"label": a, "score": b} for a, b in zip(found["labels"], found["scores"], strict=True)]
        return [found]
    return [row for part in found for row in (part if isinstance(part, list) else [part])]


def _finding(row: Mapping[str, Any], size: tuple[int, int]) -> Finding:
    label = str(row.get("label") or row.get("entity_group") or "")
    box = None
    if "box" in row:
        sides = row["box"]
        width, height = size
        box = (sides["xmin"] / width, sides["ymin"] / height, sides["xmax"] / width, sides["ymax"] / height)
    return Finding(label, float(row["score"]), row.get("word"), box)
