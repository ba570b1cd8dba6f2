"""The step *clean*: records that can be read and hold nothing, or not what is wanted, are taken out; each with its reason and its figure."""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chiasm.building import CleanConfig
from chiasm.config import BuildConfig
from chiasm.dataset.embed import embed_rows
from chiasm.dataset.step import Embedder, Outcome, Sheet
from chiasm.sources import Progress
from chiasm.types import MODALITIES, Rejected

Refusals = Iterator[tuple[int, str, str]]
"""(position of the row, reason, message)."""

_LIGHT: Mapping[str, Any] = {"ink": 0.002, "entropy": 0.02, "loudness": -60.0, "placeholders": True}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "light": _LIGHT,
    "strict": {
        **_LIGHT,
        "pixels": 32,
        "blur": 20.0,
        "seconds": 0.1,
        "clipped": 0.02,
        "characters": 2,
        "quality": 0.5,
        "repeats": 100,
        "outlier": 12.0,
    },
}
"""What a preset means; a limit that is given goes before it."""

LEAST_WORDS = 4
"""A text of fewer words names a class, however often it comes."""
ENOUGH = 20
"""Of fewer values, none is called an outlier."""
NEIGHBOURS = 10
_MEASURED = (
    "image_blur",
    "image_entropy",
    "image_ink",
    "audio_seconds",
    "audio_rms",
    "video_seconds",
    "text_characters",
)
_LOGARITHMIC = frozenset({"image_blur", "audio_seconds", "video_seconds", "text_characters"})
_SCALE = 1.4826
"""A normal distribution's standard deviation in units of its median absolute deviation (Leys et al. 2013)."""


def run(
    sheet: Sheet, config: BuildConfig, *, model: Embedder | None = None, progress: Progress | None = None
) -> Outcome:
    """Refuse rows by what `config.clean` asks for. A row that fails in several ways has the first of the reasons, in the order of this file.

    Reasons: too_small, blank, low_information, blurred, too_short, silent, clipped, short_text, placeholder, wrong_language, low_quality,
    boilerplate, outlier. facts: rows refused by reason.
    """
    settings = with_preset(config.clean)
    if settings == CleanConfig():  # nothing is asked for, and no measure read
        return Outcome()
    checks = [check(sheet.measures, settings) for check in (_pictures, _sounds, _texts)]
    if settings.outlier is not None:
        checks.append(_measured_outliers(sheet.measures, settings.outlier))
        if model is not None:
            checks.append(_embedded_outliers(sheet, model, settings.outlier))
    found: dict[int, tuple[str, str]] = {}
    for position, reason, message in (refusal for check in checks for refusal in check):
        found.setdefault(position, (reason, message))
    if not found:
        return Outcome()
    if progress is not None:
        progress("clean", len(sheet.rows), len(sheet.rows))
    rows, keys = sheet.rows.tolist(), sheet.keys
    removed = {rows[at]: Rejected(keys[at].id, "record", *found[at]) for at in sorted(found)}
    return Outcome(
        removed=removed, facts={"refused": dict(Counter(row.reason for row in removed.values()).most_common())}
    )


def with_preset(settings: CleanConfig) -> CleanConfig:
    """`settings` with what its preset means for all that they do not say."""
    if settings.preset is None:
        return settings
    given = {name for name in settings.model_fields_set if getattr(settings, name) is not None}
    return settings.model_copy(
        update={name: value for name, value in PRESETS[settings.preset].items() if name not in given}
    )


def _pictures(measures: pa.Table, settings: CleanConfig) -> Refusals:
    width, height = _values(measures, "image_width"), _values(measures, "image_height")
    for at in _below(np.minimum(width, height), settings.pixels):
        yield (
            at,
            "too_small",
            f"the picture is {width[at]:.0f} × {height[at]:.0f} pixels; at least {settings.pixels} are asked for",
        )
    for name, limit, reason, what in (
        ("image_ink", settings.ink, "blank", "share of its pixels that are not its ground"),
        ("image_entropy", settings.entropy, "low_information", "bits of its grey levels"),
        ("image_blur", settings.blur, "blurred", "variance of its Laplacian"),
    ):
        yield from _refuse(_values(measures, name), limit, reason, f"the picture's {what}")


def _sounds(measures: pa.Table, settings: CleanConfig) -> Refusals:
    yield from _refuse(_values(measures, "audio_seconds"), settings.seconds, "too_short", "the sound's seconds")
    yield from _refuse(_values(measures, "video_seconds"), settings.seconds, "too_short", "the clip's seconds")
    yield from _refuse(
        _values(measures, "audio_rms"), settings.loudness, "silent", "the sound's level in dB of full scale"
    )
    clipped = _values(measures, "audio_clipped")
    if settings.clipped is not None:
        for at in np.flatnonzero(clipped > settings.clipped).tolist():
            yield (
                at,
                "clipped",
                f"{clipped[at]:.2%} of the sound's samples are cut off at full scale; at most {settings.clipped:.2%} may be",
            )


def _texts(measures: pa.Table, settings: CleanConfig) -> Refusals:
    yield from _refuse(_values(measures, "text_characters"), settings.characters, "short_text", "the text's characters")
    if settings.placeholders:
        for at, value in enumerate(measures.column("text_placeholder").to_pylist()):
            if value:
                yield (
                    at,
                    "placeholder",
                    "the text is a stand-in, a file's name or an address, and says nothing of what it stands beside",
                )
    yield from _languages(measures, settings)
    yield from _refuse(
        _values(measures, "text_quality"), settings.quality, "low_quality", "the share of the text that is language"
    )
    if settings.repeats is not None:
        yield from _boilerplate(measures, settings.repeats)


def _languages(measures: pa.Table, settings: CleanConfig) -> Refusals:
    if settings.languages is None and not settings.declared:
        return
    guesses, sure = measures.column("text_language").to_pylist(), _values(measures, "text_confidence")
    declared = measures.column("text_declared").to_pylist()
    for at, guess in enumerate(guesses):
        if guess is None or sure[at] < settings.confidence:
            continue
        if settings.languages is not None and guess not in settings.languages:
            yield (
                at,
                "wrong_language",
                f"the text is in {guess!r} ({sure[at]:.2f} sure); asked for: {', '.join(settings.languages)}",
            )
        elif settings.declared and declared[at] is not None and guess != declared[at].replace("_", "-").split("-")[0]:
            yield (
                at,
                "wrong_language",
                f"the text is in {guess!r} ({sure[at]:.2f} sure), and said to be in {declared[at]!r}",
            )


def _boilerplate(measures: pa.Table, most: int) -> Refusals:
    digests, words = measures.column("text_digest").to_pylist(), _values(measures, "text_words")
    counts = Counter(digest for found in digests for digest in set(found or ()))
    for at, found in enumerate(digests):
        if found and words[at] >= LEAST_WORDS and counts[found[0]] > most:
            yield (
                at,
                "boilerplate",
                f"{counts[found[0]]} records have this text; more than {most} are not about what they stand beside",
            )


def _measured_outliers(measures: pa.Table, limit: float) -> Refusals:
    for name in _MEASURED:
        values = _values(measures, name)
        scores = robust_scores(np.log1p(values) if name in _LOGARITHMIC else values)
        for at in np.flatnonzero(np.abs(scores) > limit).tolist():
            yield (
                at,
                "outlier",
                f"{name} is {values[at]:.4g}, {abs(scores[at]):.1f} robust deviations from the median {np.nanmedian(values):.4g}",
            )


def _embedded_outliers(sheet: Sheet, model: Embedder, limit: float) -> Refusals:
    """Rows that lie far from everything else of their modality, by the mean cosine to their nearest neighbours."""
    for modality in (name for name in MODALITIES if name in model.modalities):
        rows, vectors = embed_rows(sheet, modality, model)
        if len(rows) < ENOUGH:
            continue
        apart = 1.0 - nearest_similarity(np.nan_to_num(vectors), NEIGHBOURS)
        scores = robust_scores(apart)
        for at in np.flatnonzero(scores > limit).tolist():  # near to others is no fault
            message = f"its {modality} lies {apart[at]:.3f} from its {NEIGHBOURS} nearest; {scores[at]:.1f} robust deviations beyond the median"
            yield int(rows[at]), "outlier", message


def nearest_similarity(vectors: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Mean cosine of each unit vector [n, E] to the `count` others that are nearest to it, float64 [n]."""
    count = min(count, len(vectors) - 1)
    result = np.empty(len(vectors))
    step = max(1, 2**22 // len(vectors))
    for first in range(0, len(vectors), step):
        cosines = vectors[first : first + step] @ vectors.T
        cosines[np.arange(len(cosines)), first + np.arange(len(cosines))] = -2.0
        result[first : first + step] = np.partition(cosines, -count, axis=1)[:, -count:].mean(axis=1)
    return result


def robust_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many robust standard deviations each value lies from the median; 0 where it is unknown (NaN), where fewer than ENOUGH are known, or where
    more than half of them are equal, so that there is no spread to measure by."""
    known = values[np.isfinite(values)]
    if len(known) < ENOUGH:
        return np.zeros(len(values))
    middle = float(np.median(known))
    spread = _SCALE * float(np.median(np.abs(known - middle)))
    return np.nan_to_num((values - middle) / spread) if spread > 1e-9 else np.zeros(len(values))


def _refuse(values: NDArray[np.float64], limit: float | None, reason: str, what: str) -> Refusals:
    for at in _below(values, limit):
        yield at, reason, f"{what}: {values[at]:.4g}; at least {limit:g} is asked for"


def _below(values: NDArray[np.float64], limit: float | None) -> list[int]:
    return [] if limit is None else np.flatnonzero(values < limit).tolist()


def _values(measures: pa.Table, name: str) -> NDArray[np.float64]:
    """A column of numbers, NaN where it is null."""
    return measures.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
