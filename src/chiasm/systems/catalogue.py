"""Every named system, by name."""

from __future__ import annotations

import difflib
from typing import Any

from chiasm.errors import ConfigError
from chiasm.systems.adapter_xl import ADAPTER_XL
from chiasm.systems.albef import ALBEF
from chiasm.systems.audio_quantizer import AUDIO_QUANTIZER
from chiasm.systems.bert import BERT
from chiasm.systems.clip import CLIP
from chiasm.systems.detr import DETR
from chiasm.systems.early_late import EARLY_FUSION, LATE_FUSION
from chiasm.systems.ernie_m import ERNIE_M
from chiasm.systems.ernie_vil import ERNIE_VIL
from chiasm.systems.gpt import GPT
from chiasm.systems.image_quantizer import IMAGE_QUANTIZER
from chiasm.systems.moco import MOCO
from chiasm.systems.oscar import OSCAR
from chiasm.systems.resnet import RESNET
from chiasm.systems.roberta import ROBERTA
from chiasm.systems.siglip import SIGLIP
from chiasm.systems.simclr import SIMCLR
from chiasm.systems.system import Spec
from chiasm.systems.t5 import T5_SPEC
from chiasm.systems.transformer import TRANSFORMER
from chiasm.systems.unicoder_vl import UNICODER_VL
from chiasm.systems.uniter import UNITER
from chiasm.systems.vilbert import VILBERT
from chiasm.systems.vit import VIT
from chiasm.systems.vl_bert import VL_BERT

SPECS: dict[str, Spec[Any]] = {
    spec.name: spec
    for spec in (
        BERT,
        TRANSFORMER,
        ROBERTA,
        GPT,
        T5_SPEC,
        ERNIE_M,
        RESNET,
        VIT,
        DETR,
        SIMCLR,
        MOCO,
        CLIP,
        SIGLIP,
        VILBERT,
        UNITER,
        VL_BERT,
        UNICODER_VL,
        OSCAR,
        ALBEF,
        ERNIE_VIL,
        ADAPTER_XL,
        EARLY_FUSION,
        LATE_FUSION,
        IMAGE_QUANTIZER,
        AUDIO_QUANTIZER,
    )
}


def find(name: str) -> Spec[Any]:
    """Raises ConfigError with the nearest name for one that is not there."""
    if name in SPECS:
        return SPECS[name]
    near = difflib.get_close_matches(name, SPECS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(SPECS)}"
    raise ConfigError(f"no system {name!r}; {hint}")
