"""The early- and the late-fusion classifier: one class (fusion_classifier.py), one switch apart."""

from __future__ import annotations

from chiasm.batches.image_views import ClassLabel, Picture
from chiasm.batches.task import Facts, Task
from chiasm.batches.text_views import Asked, Caption
from chiasm.fusion.make import FusionKind
from chiasm.systems.fusion_classifier import FusionClassifier, FusionSize
from chiasm.systems.system import Measure, Published, Spec


def tasks(size: FusionSize) -> tuple[Task, ...]:
    """labels["answer"] is the number of the answer, or of the class."""
    asked = (Asked(size.length),) if size.task == "answer" else (Caption(size.length), ClassLabel("answer"))
    return (Task(size.task, (Picture(size.side), *asked)),)


def _spec(name: str, title: str, fusion: FusionKind, words: str, attends: str) -> Spec[FusionSize]:
    base = FusionSize(
        fusion=fusion, width=768, heads=12, encoder_layers=6, layers=6, length=40, side=224, patch=16
    )  # fmt: skip
    return Spec(
        name=name,
        title=title,
        paper="Snoek et al. 2005, doi 10.1145/1101149.1101236",
        inputs=("text", "image"),
        fusion=words,
        objectives=("answer or class",),
        differs="no one paper's model: the same encoders, depth and head for every fusion; `fusion` changes to any other",
        attends=attends,
        tiny=FusionSize(fusion=fusion),
        published=Published(
            base,
            Facts(vocabulary=30522, answers=tuple(f"answer {n}" for n in range(3129))),
            note="the papers give no network; encoders of 6 layers and a fusion of 6, as wide as BERT-base, and VQA's 3,129 usual answers",
        ),
        tasks=tasks,
        make=FusionClassifier,
        measure=Measure("label", "answer", lambda size: tasks(size)[0]),
    )


EARLY_FUSION = _spec(
    "early_fusion",
    "Early-fusion classifier",
    "early",
    "early (token concatenation)",
    "every word and patch ↔ every word and patch",
)
LATE_FUSION = _spec(
    "late_fusion",
    "Late-fusion classifier",
    "late_concat",
    "late (concatenated vectors)",
    "every word ↔ every word · every patch ↔ every patch · the two means meet in the head",
)
