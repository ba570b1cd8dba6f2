"""Every named system, by name."""

from __future__ import annotations

import difflib
from typing import Any

from chiasm.errors import ConfigError
from chiasm.systems.bert import BERT
from chiasm.systems.clip import CLIP
from chiasm.systems.detr import DETR
from chiasm.systems.moco import MOCO
from chiasm.systems.resnet import RESNET
from chiasm.systems.siglip import SIGLIP
from chiasm.systems.simclr import SIMCLR
from chiasm.systems.system import Spec
from chiasm.systems.vit import VIT

SPECS: dict[str, Spec[Any]] = {spec.name: spec for spec in (BERT, RESNET, VIT, DETR, SIMCLR, MOCO, CLIP, SIGLIP)}


def find(name: str) -> Spec[Any]:
    """Raises ConfigError with the nearest name for one that is not there."""
    if name in SPECS:
        return SPECS[name]
    near = difflib.get_close_matches(name, SPECS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(SPECS)}"
    raise ConfigError(f"no system {name!r}; {hint}")
