"""chiasm: one space for text, images and sound, learned from your own paired data.

    import chiasm

    data = chiasm.build("photos/", "photos.lance")        # any source → a clean, split table
    model = data.train("runs/photos", minutes=10)         # or chiasm.load("runs/photos")
    model.embed(image="cat.png")                          # float32 [1, E], unit length
    data.evaluate(model)                                  # retrieval in every direction, beside a baseline
    data.index(model)
    data.search("red apple")                              # or image="cat.png", audio="word.wav"
    chiasm.load("starter").convert(image="cat.png")       # a run with tasks converts: docs/converting.md

Importing chiasm is cheap: each name below is loaded when it is first used.
(`chiasm.train` and `chiasm.evaluate` are the rooms of that name, so the verbs are methods of Dataset.)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chiasm import errors as errors
    from chiasm.api import Dataset as Dataset
    from chiasm.api import build as build
    from chiasm.api import load as load
    from chiasm.config import DecodingConfig as DecodingConfig
    from chiasm.types import Label as Label
    from chiasm.types import Media as Media
    from chiasm.types import Question as Question
    from chiasm.types import Record as Record
    from chiasm.types import Text as Text

    __version__: str

_HOME = {
    "Dataset": "chiasm.api",
    "build": "chiasm.api",
    "load": "chiasm.api",
    "DecodingConfig": "chiasm.config",
    "Label": "chiasm.types",
    "Media": "chiasm.types",
    "Question": "chiasm.types",
    "Record": "chiasm.types",
    "Text": "chiasm.types",
}

__all__ = [
    "Dataset",
    "DecodingConfig",
    "Label",
    "Media",
    "Question",
    "Record",
    "Text",
    "__version__",
    "build",
    "errors",
    "load",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("chiasm")
    if name == "errors":
        return importlib.import_module("chiasm.errors")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'chiasm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
