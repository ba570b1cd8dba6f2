"""The settings of the steps that build a table: one section a step (config.BuildConfig holds them all)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from chiasm.sections import Positive, Section

Share = Annotated[float, Field(ge=0, le=1)]
Handling = Literal["keep", "group", "remove"]

STEPS = ("clean", "align", "extract", "dedup", "label", "reduce", "split", "augment")
"""The steps over the whole data set, in their order; reading and checking each record comes before all of them."""


class CleanConfig(Section):
    """Which records are taken out although they can be read, by their measures (dataset/measure.py). None: not looked at."""

    preset: Literal["light", "strict"] | None = Field(
        default=None,
        description="limits for what is not given here. light: what holds nothing (blank, silent, placeholder) · strict: also what is small, "
        "clipped, blurred or hardly language, and outliers",
    )
    pixels: Positive | None = Field(default=None, description="least width and height of the picture")
    ink: Share | None = Field(
        default=None, description="least share of the picture's pixels that are not its ground (blank)"
    )
    entropy: Annotated[float, Field(ge=0, le=8)] | None = Field(
        default=None, description="least bits of the picture's grey levels (low information)"
    )
    blur: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="least variance of the picture's Laplacian at 128 pixels a side"
    )
    seconds: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="least length of the sound and of the clip"
    )
    loudness: Annotated[float, Field(ge=-100, le=0)] | None = Field(
        default=None, description="least level of the sound, in dB of full scale (silent)"
    )
    clipped: Share | None = Field(
        default=None, description="largest share of the sound's samples in runs at full scale"
    )
    characters: Positive | None = Field(default=None, description="least length of the first text")
    languages: tuple[str, ...] | None = Field(default=None, description="languages that the first text may be in")
    declared: bool = Field(default=False, description="the first text must be in the language that it says it is in")
    confidence: Share = Field(default=0.7, description="of a guessed language, below which nothing is removed by it")
    quality: Share | None = Field(
        default=None, description="least share of the text that is language (dataset/wording.py)"
    )
    placeholders: bool | None = Field(
        default=None,
        description="remove records all of whose texts are stand-ins, file names or addresses; None: as the preset says",
    )
    repeats: Positive | None = Field(
        default=None, description="a text of four words or more that more records than this have is boilerplate"
    )
    outlier: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="robust deviations from the median by which a measure, or the distance of a trained model's vector to its nearest neighbours, "
        "may lie off",
    )


class AlignConfig(Section):
    """How inputs that belong together find each other: records that lack each other's modalities become one."""

    by: tuple[Literal["stem", "content", "key", "model"], ...] = Field(
        default=(),
        description="in this order: file name without folder and suffix; same content; same value of `key`; nearest in a trained model's space",
    )
    key: str | None = Field(default=None, description="the label whose value says what belongs together")
    similarity: Annotated[float, Field(ge=-1, le=1)] = Field(
        default=0.25, description="model: least cosine of a pair that is made"
    )
    margin: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0.02, description="model: lead in cosine over the next candidate of either side"
    )
    mismatch: Annotated[float, Field(ge=-1, le=1)] | None = Field(
        default=None, description="records whose text and medium lie below this cosine are removed; None: not looked at"
    )

    @model_validator(mode="after")
    def _keyed(self) -> AlignConfig:
        if ("key" in self.by) != (self.key is not None):
            raise ValueError("`by: [key]` needs `key`, the name of a label, and `key` needs `by: [key]`")
        return self


class PipelineConfig(Section):
    """A pipeline of the `transformers` library: of a folder on this machine with safetensors weights; code in it is not run."""

    task: Literal[
        "text-classification", "token-classification", "zero-shot-classification", "image-classification",
        "zero-shot-image-classification", "object-detection", "audio-classification", "video-classification",
    ] = Field(description="what it does, by the library's name")  # fmt: skip
    model: str = Field(description="folder of the model")
    names: tuple[str, ...] = Field(default=(), description="zero-shot tasks: the classes to choose from")
    least: Share = Field(default=0.5, description="scores below are left out")

    @model_validator(mode="after")
    def _fits(self) -> PipelineConfig:
        if self.task.startswith("zero-shot") != bool(self.names):
            raise ValueError("names: zero-shot tasks need them, and no other takes them")
        return self


class ExtractConfig(Section):
    """What is taken out of texts, pictures and clips."""

    entities: tuple[Literal["name", "number", "count", "date", "colour", "place", "animal", "food", "vehicle"], ...] = (
        Field(default=(), description="kinds of entities, looked for in the texts; they become labels entity:KIND")
    )
    gazetteers: Mapping[str, str] = Field(
        default_factory=dict, description="further kinds: a text file of one term a line, or TERM<tab>NAME"
    )
    relations: bool = Field(default=False, description="subject, predicate and object of simple English captions")
    events: bool = Field(default=False, description="what happens in English captions; labels `event`")
    regions: Annotated[int, Field(ge=0, le=64)] = Field(
        default=0, description="boxes around what stands out from the picture's ground, at most"
    )
    region_names: tuple[str, ...] = Field(
        default=(), description="names that the trained model gives to regions; none: all are `region`"
    )
    actions: bool = Field(default=False, description="how much and whither clips move; labels `motion` and `direction`")
    action_names: tuple[str, ...] = Field(
        default=(), description="actions that the trained model tells clips by; labels `action`"
    )
    margin: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0.02, description="lead in cosine over the next name below which the model gives none"
    )
    pipelines: Mapping[str, PipelineConfig] = Field(
        default_factory=dict, description="models of another library, by the name of the labels they give"
    )


class DedupConfig(Section):
    """What becomes of copies. Of records that are copies of each other the best stays: most modalities, then largest media, then longest
    texts, then most bytes."""

    exact: Handling = Field(
        default="group",
        description="records that hold the same content, byte for byte, pixel for pixel or word for word: kept; kept in one split; "
        "all but the best removed",
    )
    near: Handling = Field(
        default="keep",
        description="records that hold nearly the same content: resized, encoded anew, cut a little, louder, in other case; "
        "exact copies are then handled at least so, and what may only be a copy is kept in one split",
    )
    agree: Literal["all", "any"] = Field(
        default="all",
        description="records are copies where everything that both have agrees, or any medium of it; what agrees in part is kept in one split",
    )
    picture: Annotated[int, Field(ge=0, le=20)] | None = Field(
        default=10,
        description="bits of 64 by which picture hashes may differ, before the pictures are compared; None: not looked at",
    )
    sound: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=64, description="bits of 256 by which sound hashes may differ, before the sounds are compared"
    )
    clip: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=32, description="bits of 256 by which clips may differ"
    )
    text: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=0.8,
        description="Jaccard similarity of the texts' shingles of four characters from which on they are copies",
    )
    embedding: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="cosine of a trained model's vectors from which on two items are copies; None: not asked",
    )


class LabelFunctionConfig(Section):
    """Votes for a class, or abstains, by one of: keywords, patterns, label, field, measure, similar, pipeline."""

    keywords: Mapping[str, tuple[str, ...]] | None = Field(
        default=None, description="words and phrases in the texts by class; most found wins, a tie abstains"
    )
    patterns: Mapping[str, str] | None = Field(
        default=None, description="RE2 patterns in the texts by class, upper and lower case alike"
    )
    kinds: tuple[str, ...] = Field(default=(), description="only in texts of these kinds; empty: in all")
    languages: tuple[str, ...] = Field(default=(), description="only in texts of these languages; empty: in all")
    label: str | None = Field(default=None, description="what another label says, through `values`")
    field: Literal["id", "source", "group", "licence", "path", "by"] | None = Field(
        default=None,
        description="what this field says, through `values`; path and by are those of the media, in folders the id's",
    )
    values: Mapping[str, str] | None = Field(
        default=None,
        description="label, field, pipeline: class by value, in which * and ? stand for anything; None: the value",
    )
    measure: str | None = Field(default=None, description="a measure of the build, through `above` and `below`")
    above: Mapping[str, float] = Field(default_factory=dict, description="class: votes above this value")
    below: Mapping[str, float] = Field(default_factory=dict, description="class: votes below this value")
    similar: Mapping[str, tuple[str, ...]] | None = Field(
        default=None, description="texts by class; the trained model's nearest class, by the mean of its texts"
    )
    modality: Literal["text", "image", "audio", "video"] = Field(
        default="image", description="similar: what is compared with the texts"
    )
    margin: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0.02, description="similar: lead in cosine over the next class below which it abstains"
    )
    pipeline: PipelineConfig | None = Field(default=None, description="a model of another library")

    @model_validator(mode="after")
    def _fits(self) -> LabelFunctionConfig:
        ways = ("keywords", "patterns", "label", "field", "measure", "similar", "pipeline")
        given = [name for name in ways if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a labelling function needs exactly one of {', '.join(ways)}; given {given or 'none'}")
        if (self.measure is None) == bool(self.above or self.below):
            raise ValueError("above and below belong to a measure, and a measure needs one of them")
        if self.values is not None and given[0] not in ("label", "field", "pipeline"):
            raise ValueError("values belong to label, field and pipeline")
        for label, pattern in (self.patterns or {}).items():
            if re.search(r"\\[1-9]|\(\?(=|!|<[=!]|P=)", pattern):
                raise ValueError(f"patterns: {label}: RE2 has no references back and does not look ahead: {pattern!r}")
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"patterns: {label}: {pattern!r}: {error}") from None
        return self


class WeakConfig(Section):
    """Labels from labelling functions that err: a label model estimates how often each is right, without true labels, and weighs them."""

    functions: Mapping[str, LabelFunctionConfig] = Field(description="the labelling functions by name; two or more")
    model: Literal["em", "full", "triplets", "majority"] = Field(
        default="em",
        description="em: one accuracy a function (Dawid & Skene 1979); full: one for each class, also for what abstaining says; "
        "triplets: in closed form (arXiv 2002.11955); majority: all alike",
    )
    balance: Mapping[str, Annotated[float, Field(gt=0)]] | None = Field(
        default=None, description="weight of each class; None: estimated by em and full, else even"
    )
    threshold: Share = Field(default=0.7, description="probability below which a row stays without a label")

    @model_validator(mode="after")
    def _fits(self) -> WeakConfig:
        if len(self.functions) < 2:
            raise ValueError("functions: a label model needs two or more; one alone says nothing about itself")
        return self


class TeacherConfig(Section):
    """Pseudo-labels by a teacher: a linear probe on the labelled rows, or a trained model's zero-shot answer."""

    of: str | None = Field(default=None, description="the label that teaches; None: the one of the same name")
    method: Literal["probe", "zero_shot"] = Field(default="probe", description="the teacher")
    features: tuple[str, ...] = Field(
        default=(),
        description="what rows are compared by: a modality (the trained model's vectors, or raw features without one), raw:MODALITY, "
        "column:NAME; empty: all modalities",
    )
    prompts: Mapping[str, tuple[str, ...]] | None = Field(
        default=None, description="zero_shot: texts by class; None: the classes' own names"
    )
    threshold: Share = Field(default=0.9, description="calibrated confidence below which a row stays without a label")


class SpreadConfig(Section):
    """Labels that spread from labelled rows to their nearest neighbours."""

    of: str | None = Field(default=None, description="the label that spreads; None: the one of the same name")
    method: Literal["spreading", "gcn"] = Field(
        default="spreading", description="label spreading (Zhou 2004), or a graph network (arXiv 1609.02907)"
    )
    features: tuple[str, ...] = Field(default=(), description="as of a teacher")
    neighbours: Annotated[int, Field(ge=1, le=200)] = Field(
        default=10, description="nearest rows that a row is tied to"
    )
    threshold: Share = Field(default=0.5, description="calibrated confidence below which a row stays without a label")


class ClusterConfig(Section):
    """Clusters where nobody labelled anything: "cluster-0" is the largest."""

    method: Literal["kmeans", "hdbscan"] = Field(
        default="kmeans", description="HDBSCAN leaves odd rows without a label"
    )
    features: tuple[str, ...] = Field(default=(), description="as of a teacher")
    count: Annotated[int, Field(ge=2)] | None = Field(
        default=None, description="kmeans: how many; None: the best silhouette of some numbers up to 32"
    )
    smallest: Annotated[int, Field(ge=2)] = Field(default=10, description="hdbscan: rows of the smallest cluster")


class LabelErrorsConfig(Section):
    """Labels that a probe on all others does not believe; confident learning is arXiv 1911.00068."""

    features: tuple[str, ...] = Field(default=(), description="as of a teacher")
    folds: Annotated[int, Field(ge=2, le=20)] = Field(default=5, description="parts of the cross-validation")
    action: Literal["report", "mark", "replace", "remove"] = Field(
        default="report",
        description="mark: a label NAME:suggested; replace: the suggested class; remove: out of the table",
    )
    rank: Literal["likely", "confident", "noise_rate"] = Field(
        default="likely",
        description="likely: rows whose label is rather wrong than right; confident: all that count as another class, noise_rate: as many a "
        "class as confident learning estimates: more are found, and more of them wrongly where features are weak",
    )


class LabelConfig(Section):
    """Where labels come from. Every part is by the label's name; a row's own label is kept."""

    manual: str | None = Field(
        default=None, description="CSV or JSONL of id, name, value and perhaps annotator; several are put to the vote"
    )
    weak: Mapping[str, WeakConfig] = Field(default_factory=dict, description="labelling functions")
    teacher: Mapping[str, TeacherConfig] = Field(default_factory=dict, description="pseudo-labels")
    spread: Mapping[str, SpreadConfig] = Field(default_factory=dict, description="labels of near neighbours")
    cluster: Mapping[str, ClusterConfig] = Field(default_factory=dict, description="clusters")
    errors: Mapping[str, LabelErrorsConfig] = Field(default_factory=dict, description="wrong labels are looked for")


class ReductionConfig(Section):
    """One column of short vectors."""

    method: Literal["pca", "svd", "autoencoder", "vae"] = Field(default="pca", description="how")
    features: tuple[str, ...] = Field(default=(), description="as of a teacher; svd is for text or raw:text alone")
    dimensions: Annotated[int, Field(ge=1, le=4096)] = Field(default=16, description="length of a vector")
    held_out: Annotated[float, Field(ge=0, lt=0.9)] = Field(
        default=0.1, description="share of rows that are not learned from; the error is theirs"
    )
    epochs: Annotated[int, Field(ge=1)] = Field(default=30, description="autoencoder, vae: passes over the rows")
    hidden: Annotated[int, Field(ge=1)] = Field(default=256, description="autoencoder, vae: width of the hidden layers")


class ReduceConfig(Section):
    """Which vectors are stored beside the records."""

    vectors: Mapping[str, ReductionConfig] = Field(default_factory=dict, description="by the name of their column")

    @field_validator("vectors")
    @classmethod
    def _named(cls, value: Mapping[str, ReductionConfig]) -> Mapping[str, ReductionConfig]:
        for name in value:
            if not name.isidentifier():
                raise ValueError(f"{name!r} is no name of a column: letters, digits and _")
        return value


class AugmentConfig(Section):
    """Changed copies of the training rows that are written into the table. What changes at training time is the run's to say."""

    copies: Annotated[int, Field(ge=0, le=64)] = Field(default=0, description="changed copies of each row of train")
    image: tuple[
        Literal[
            "identity", "autocontrast", "equalize", "rotate", "solarize", "posterize", "color", "contrast", "brightness",
            "sharpness", "shear_x", "shear_y", "translate_x", "translate_y",
        ],
        ...,
    ] = Field(
        default=(
            "identity", "autocontrast", "equalize", "rotate", "solarize", "posterize", "color", "contrast", "brightness",
            "sharpness", "shear_x", "shear_y", "translate_x", "translate_y",
        ),
        description="operations that pictures and clips are changed by (RandAugment); (): pictures stay as they are",
    )  # fmt: skip
    operations: Annotated[int, Field(ge=1, le=8)] = Field(default=2, description="operations a picture or sound")
    magnitude: Annotated[float, Field(ge=0, le=30)] = Field(
        default=9, description="how strong they are, of 30; sounds and texts too"
    )
    audio: tuple[Literal["mask", "stretch", "pitch", "noise", "gain"], ...] = Field(
        default=("mask", "stretch", "pitch", "noise", "gain"), description="operations that sounds are changed by"
    )
    text: tuple[Literal["drop", "swap", "back_off"], ...] = Field(
        default=(), description="operations that texts are changed by: each word with probability magnitude / 90"
    )
    words: str | None = Field(
        default=None,
        description="text.back_off: a file of WORD<tab>WHAT STANDS FOR IT lines; None: rare words back off to their stems",
    )
    mix: Share = Field(
        default=0.0,
        description="share of copies whose picture or sound is mixed with another row's (mixup, CutMix, overlay), which stays in the minority",
    )


class SplitConfig(Section):
    """How rows are held out. Groups, equal content and near-duplicates that were found never straddle."""

    stratify: tuple[str, ...] = Field(
        default=(),
        description="labels by name, `source` or `language`: every split gets its share of each of their values",
    )
    rule: Literal["groups", "forms"] | None = Field(
        default=None, description="hold out whole groups, or forms of groups too; None: as the source says"
    )
    shares: Mapping[str, Share] | None = Field(
        default=None, description="held-out splits by name and share; None: `validation` and `test` of the build"
    )
    prescribed: Literal["keep", "repair", "ignore"] = Field(
        default="keep",
        description="splits that the source brings; repair: a group that lies in several goes to train; ignore: all anew",
    )

    @field_validator("stratify", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits(self) -> SplitConfig:
        if self.shares is not None:
            if sum(self.shares.values()) >= 1:
                raise ValueError(
                    f"shares of {sum(self.shares.values()):g} leave nothing to train on: keep them below 1"
                )
            if not self.shares or any(not name.strip() or name == "train" for name in self.shares):
                raise ValueError("shares: name the held-out splits; train is what is left")
        if self.rule == "forms" and (self.stratify or self.shares is not None):
            raise ValueError("stratify and shares belong to rule=groups")
        return self


class EngineConfig(Section):
    """What the work runs on."""

    runner: Literal["embedded", "ray"] = Field(
        default="embedded", description="threads of this machine, or a Ray cluster; the table is the same"
    )
    address: str | None = Field(
        default=None,
        description="ray: the cluster's HOST:PORT, whose machines must see the source and the table's folder; None: one of this machine's own",
    )


class ReportConfig(Section):
    """What the report looks at, and what it must not find."""

    sample: Annotated[int, Field(ge=16)] = Field(
        default=2_000, description="rows whose media are decoded for it; what is only counted is counted over all"
    )
    by: tuple[str, ...] = Field(
        default=(),
        description="labels, `language`, `source`, `licence` or `image by` whose balance is told; (): all that have 2 to 40 values",
    )
    taxonomy: str | None = Field(default=None, description="file of classes whose coverage is told: text or YAML")
    fail_if: Mapping[str, float | str] = Field(
        default_factory=dict,
        description="figures by name that must not exceed a number, e.g. {duplicates: 0}, or must not meet a condition, e.g. {agreement: '<0.7'}",
    )
