"""Steps that are asked for, and asked for nothing: what is to be set, said instead of nothing done in silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chiasm.config import BuildConfig
from chiasm.dataset.cleaning import with_preset

_ASKS: Mapping[str, tuple[Callable[[BuildConfig], bool], str]] = {
    "clean": (
        lambda config: config.clean.declared or _any_of(with_preset(config.clean), "preset", "confidence", "declared"),
        "clean.preset=light or strict, or limits of its own (clean.pixels=64 …)",
    ),
    "align": (
        lambda config: bool(config.align.by) or config.align.mismatch is not None,
        "align.by=[stem], content, key or model, or align.mismatch",
    ),
    "extract": (
        lambda config: any(
            getattr(config.extract, part) for part in type(config.extract).model_fields if part != "margin"
        ),
        "extract.entities, relations, events, regions, actions or pipelines",
    ),
    "dedup": (
        lambda config: config.dedup.exact == "remove" or config.dedup.near != "keep",
        "dedup.exact=remove for equal copies, dedup.near=remove or group for near ones too",
    ),
    "label": (
        lambda config: any(getattr(config.label, part) for part in type(config.label).model_fields),
        "label.manual, weak, errors, teacher, spread or cluster",
    ),
    "reduce": (lambda config: bool(config.reduce.vectors), "reduce.vectors"),
    "augment": (lambda config: config.augment.copies > 0, "augment.copies, of each row of train"),
}


def idle(step: str, config: BuildConfig) -> str | None:
    """Why `step` does nothing although `steps` names it or its section was changed, and what to set; None where it does something, or
    nobody asked for it."""
    if step not in _ASKS:
        return None
    asks, what = _ASKS[step]
    section, default = getattr(config, step), getattr(BuildConfig(), step)
    if step == "dedup":  # what it says of equal copies is the split's to do, unless they are to go
        section = section.model_copy(update={"exact": default.exact})
    if asks(config) or not (section != default or step in (config.steps or ())):
        return None
    return f"nothing was asked of it: set {what}"


def asked(step: str, config: BuildConfig) -> bool:
    """Whether `step` is run and asked for something."""
    return (config.steps is None or step in config.steps) and _ASKS[step][0](config)


def _any_of(section: object, *but: str) -> bool:
    fields: Mapping[str, object] = type(section).model_fields  # type: ignore[attr-defined]
    return any(getattr(section, name) not in (None, False) for name in fields if name not in but)
