"""The settings of the steps that build a table: one section a step (config.BuildConfig holds them all)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from chiasm.sections import Section

Share = Annotated[float, Field(ge=0, le=1)]
Handling = Literal["keep", "group", "remove"]

STEPS = ("clean", "align", "extract", "dedup", "label", "reduce", "augment", "split")
"""The steps over the whole data set, in their order; reading and checking each record comes before all of them."""


class CleanConfig(Section):
    """Which records and media are taken out although they can be read. None: not looked at."""


class AlignConfig(Section):
    """How inputs that belong together find each other."""


class ExtractConfig(Section):
    """What is taken out of texts, pictures and clips."""


class DedupConfig(Section):
    """What becomes of copies."""

    exact: Handling = Field(
        default="group", description="records that hold the same content, byte for byte or pixel for pixel"
    )
    near: Handling = Field(default="keep", description="records that hold nearly the same content")


class LabelConfig(Section):
    """Where labels come from."""


class ReduceConfig(Section):
    """Which vectors are stored beside the records."""


class AugmentConfig(Section):
    """Changed copies of the training rows that are written into the table."""


class SplitConfig(Section):
    """How rows are held out."""


class EngineConfig(Section):
    """What the work runs on."""

    runner: Literal["embedded", "ray"] = Field(
        default="embedded", description="threads of this machine, or a Ray cluster; the table is the same"
    )
    address: str | None = Field(
        default=None, description="ray: the cluster's address; None: a cluster of this machine's own"
    )


class ReportConfig(Section):
    """What the report looks at, and what it must not find."""
