"""A small model of coloured squares that learns in seconds, and pictures of which it is known what is where."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from chiasm.config import ModelConfig, RunConfig
from chiasm.modalities.text import Tokenizer
from chiasm.objectives.contrastive import info_nce
from chiasm.systems.chiasm import make_chiasm
from chiasm.train.model import EmbeddingModel
from chiasm.types import Box, Items, Media, Record, Relation, Text

COLOURS = {"red": (220, 40, 40), "green": (30, 160, 60), "blue": (40, 70, 210), "orange": (240, 150, 30)}
CELLS = 4


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def squares(places: dict[str, int]) -> NDArray[np.uint8]:
    """16 × 16 white, each colour in its cell of 4 × 4."""
    pixels = np.full((16, 16, 3), 255, np.uint8)
    for colour, cell in places.items():
        y, x = divmod(cell, CELLS)
        pixels[4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = COLOURS[colour]
    return pixels


def scene(index: int, colours: int = 2) -> Record:
    rng = np.random.default_rng(index)
    names = [list(COLOURS)[i] for i in rng.permutation(len(COLOURS))[:colours]]
    cells = rng.permutation(CELLS * CELLS)[:colours].tolist()
    boxes: list[Box] = []
    for name, cell in zip(names, cells, strict=True):
        y, x = divmod(cell, CELLS)
        boxes.append(Box(x / CELLS, y / CELLS, (x + 1) / CELLS, (y + 1) / CELLS, name))
    relations = (Relation(names[0], "is", "big"), *(Relation(name, "is", "small") for name in names[1:]))
    spatial = (Relation(names[0], "left of", names[1]),) if colours > 1 else ()
    return Record(
        id=f"scene-{index}",
        texts=(Text(" and ".join(names), "en"),),
        image=(Media(data=png(squares(dict(zip(names, cells, strict=True))))),),
        boxes=tuple(boxes),
        relations=(*relations, *spatial),
        group=f"scene-{index}",
        split="train" if index % 2 else "test",
    )


def config(modalities: tuple[str, ...] = ("text", "image"), **model: object) -> RunConfig:
    settings = {
        "width": 32, "heads": 2, "layers": 2, "embedding": 16, "text": {"vocabulary": 300, "length": 24},
        "image": {"size": 16, "patch": 4}, "audio": {"seconds": 0.5, "patch": 8},
    } | model  # fmt: skip
    return RunConfig.model_validate(
        {
            "data": {"table": "none", "modalities": modalities},
            "model": ModelConfig.model_validate(settings),
            "train": {"steps": 1},
        }
    )


def fresh(modalities: tuple[str, ...] = ("text", "image"), **model: object) -> EmbeddingModel:
    made = config(modalities, **model)
    tokenizer = Tokenizer.train([f"a {one} and an {two}" for one in COLOURS for two in COLOURS] * 2, 300)
    torch.manual_seed(0)
    network = make_chiasm(made.model, made.objective, modalities, tokenizer.size)
    return EmbeddingModel(made, network, tokenizer, torch.device("cpu"), Path("none"))


def taught(steps: int = 100) -> EmbeddingModel:
    """Learned from one square a picture, with patches left out: it knows colours, wherever they are."""
    model = fresh()
    rng = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.network.parameters(), 3e-3)
    names = [f"an {c}" if c == "orange" else f"a {c}" for c in COLOURS]
    texts = model.prepare("text", [Text(name) for name in names])
    every = model.prepare("image", [Media(data=png(squares({c: i}))) for c in COLOURS for i in range(CELLS * CELLS)])
    model.network.calibrate({"image": every})
    rows = torch.from_numpy(rng.integers(0, CELLS * CELLS, (steps, len(COLOURS)))) + CELLS * CELLS * torch.arange(4)
    for row in rows:
        pictures = Items(every.value[row], every.valid[row], torch.arange(4))
        known = model.vectors("text", texts), model.vectors("image", pictures)
        loss = info_nce(*known, torch.arange(4), torch.arange(4), torch.tensor(10.0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model
