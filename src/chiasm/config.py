"""Strict configuration: YAML files and ``key=value`` overrides, one error text for both, with a "did you mean".

Every section is a pydantic model that forbids unknown keys. Limits and combinations are checked here, before anything heavy starts.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from chiasm.building import (
    AlignConfig,
    AugmentConfig,
    CleanConfig,
    DedupConfig,
    EngineConfig,
    ExtractConfig,
    LabelConfig,
    ReduceConfig,
    ReportConfig,
    SplitConfig,
)
from chiasm.declare import ConversionConfig, TaskConfig
from chiasm.errors import ConfigError
from chiasm.sections import Fraction, Positive, Section, Seed
from chiasm.types import MODALITIES


class BuildConfig(Section):
    """How a source becomes a table."""

    seed: int = 0
    validation: Fraction = Field(default=0.04, description="share of rows held out for the learning curves")
    test: Fraction = Field(default=0.10, description="share of rows in each test split")
    workers: Positive = Field(default=2, description="processes that speak, threads that read and check media")
    embed_media: bool = Field(default=True, description="media bytes inside the table; False: paths beside it")
    limit: Positive | None = Field(default=None, description="stop after this many inputs")
    text_column: str | None = None
    image_column: str | None = None
    audio_column: str | None = None
    transcript_column: str | None = Field(
        default=None,
        description="manifest: the column that holds what is said in the row's sounds; None: `transcript`, or `text` beside a `speaker`",
    )
    voices: tuple[str, ...] | None = Field(
        default=None, description="emoji, spoken-commands: the voices that speak; None: the default set"
    )
    artists: tuple[Literal["twemoji", "openmoji"], ...] = Field(
        default=("twemoji",), description="emoji: whose pictures; the first is the seen artist"
    )
    scenes: Positive = Field(default=4000, description="emoji-scenes: how many scenes")
    clips: Positive = Field(default=3000, description="emoji-motion: how many clips")
    dialogues: Positive = Field(default=3000, description="emoji-dialogue: how many dialogues")
    sessions: Positive = Field(default=4000, description="emoji-sessions: how many sessions")
    objects: Annotated[int, Field(ge=16, le=64)] = Field(
        default=48, description="emoji-scenes, -motion and -dialogue: how many kinds of objects occur in them"
    )
    layout: str | None = Field(
        default=None, description="what the source is, where its files do not say it well enough; None: found out"
    )
    steps: tuple[Literal["clean", "align", "extract", "dedup", "label", "reduce", "augment", "split"], ...] | None = (
        Field(
            default=None,
            description="only these of the steps over the whole data set; None: all that the sections below ask for",
        )
    )
    model: str | None = Field(default=None, description="run of a trained model, for the steps that compare by meaning")
    clean: CleanConfig = CleanConfig()
    align: AlignConfig = AlignConfig()
    extract: ExtractConfig = ExtractConfig()
    dedup: DedupConfig = DedupConfig()
    label: LabelConfig = LabelConfig()
    reduce: ReduceConfig = ReduceConfig()
    augment: AugmentConfig = AugmentConfig()
    split: SplitConfig = SplitConfig()
    engine: EngineConfig = EngineConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _trains(self) -> BuildConfig:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"test {self.test:g} + validation {self.validation:g} leaves nothing to train on: keep them below 1"
            )
        return self


class DataConfig(Section):
    """What a run trains on."""

    table: str = Field(description="path of a Lance table made by `chiasm build`")
    modalities: tuple[Literal["text", "image", "audio", "video"], ...] = Field(
        default=MODALITIES, description="what to learn from, where the table has it"
    )
    train_split: str = "train"
    validation_split: str = "validation"
    texts_per_record: Positive = Field(default=1, description="texts drawn per record and step (languages, kinds)")
    audio_per_record: Positive = Field(default=1, description="sounds drawn per record and step (voices)")
    group_power: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5,
        description="how a group's share of the batches grows with its size: 1 = every row alike, 0 = every group alike",
    )
    held_out_makers: tuple[str, ...] = Field(
        default=(), description="voices or artists never shown in training; `by` of a medium"
    )
    languages: Mapping[str, Annotated[float, Field(gt=0)]] | None = Field(
        default=None,
        description="languages of texts and speech to learn from, and how often each is drawn against the others; None: all, a record's first "
        "text three times as often as its others together. "
        "Items without a language always count, at weight 1. A record speaks one language a step: its voice follows its first text",
    )
    cache_mib: Positive = Field(
        default=4096,
        description="disk for decoded media (RUN/cache); a table that needs more is decoded as it is drawn",
    )

    @model_validator(mode="after")
    def _unique(self) -> DataConfig:
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"modalities {', '.join(self.modalities) or '(none)'}: name each once")
        return self


class TextConfig(Section):
    vocabulary: Annotated[int, Field(ge=300)] = 4096
    length: Annotated[int, Field(ge=3)] = Field(
        default=32, description="tokens, with one for the beginning and one for the end; longer texts are cut"
    )
    scale: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="what word vectors, which also write, are multiplied by where they are read; None: √width, so that they count in the stream",
    )
    drop: Fraction = Field(
        default=0.1,
        description="share of the tokens left out of a text that is given, in training to embed; tasks.NAME.word_dropout is of what is written",
    )
    layers: Positive | None = Field(
        default=None, description="blocks this modality passes (the last ones of a shared trunk); None: all"
    )


class ImageConfig(Section):
    size: Positive = 48
    patch: Positive = 8
    layers: Positive | None = Field(
        default=None, description="blocks this modality passes (the last ones of a shared trunk); None: all"
    )
    drop: Fraction = Field(default=0.5, description="share of patches left out in training (FLIP, arXiv 2212.00794)")
    flip: bool = Field(default=False, description="mirror pictures at random: wrong where left and right are named")
    augment: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="strength of shift and contrast jitter"
    )
    randaugment: Annotated[float, Field(ge=0, le=30)] = Field(
        default=0,
        description="magnitude of two RandAugment operations a picture, of 30; in training to embed, not to convert",
    )

    @model_validator(mode="after")
    def _divides(self) -> ImageConfig:
        if self.size % self.patch:
            raise ValueError(f"size {self.size} is not a multiple of patch {self.patch}")
        return self


class AudioConfig(Section):
    seconds: Annotated[float, Field(gt=0, le=60)] = Field(default=3.0, description="longer sounds are cut")
    patch: Positive = Field(default=8, description="log-mel frames (10 ms each) a token")
    layers: Positive | None = Field(
        default=None, description="blocks this modality passes (the last ones of a shared trunk); None: all"
    )
    augment: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="strength of the changes of voice, pace and level, and of SpecAugment's masks"
    )

    @model_validator(mode="after")
    def _fits(self) -> AudioConfig:
        if round(self.seconds * 100) < self.patch:
            raise ValueError(f"seconds {self.seconds:g} is shorter than one patch of {self.patch} frames of 10 ms")
        return self


class VideoConfig(Section):
    """Clips as `frames` pictures at even distances, cut into tubelets of `tubelet` pictures of `patch` × `patch` pixels."""

    seconds: Annotated[float, Field(gt=0, le=600)] = Field(default=10.0, description="longer clips are cut")
    frames: Positive = Field(default=8, description="pictures that are taken from a clip")
    size: Positive = 64
    patch: Positive = 16
    tubelet: Positive = Field(default=2, description="pictures a token (ViViT, arXiv 2103.15691, 3.2)")
    layers: Positive | None = Field(
        default=None, description="blocks this modality passes (the last ones of a shared trunk); None: all"
    )
    drop: Fraction = Field(default=0.5, description="share of tubelets left out in training (FLIP, arXiv 2212.00794)")

    @model_validator(mode="after")
    def _divides(self) -> VideoConfig:
        if self.size % self.patch:
            raise ValueError(f"size {self.size} is not a multiple of patch {self.patch}")
        if self.frames % self.tubelet:
            raise ValueError(f"frames {self.frames} is not a multiple of tubelet {self.tubelet}")
        return self


class ModelConfig(Section):
    """The chiasm model. `trunk`: multiway = shared attention with an expert a modality; separate = a trunk a modality."""

    trunk: Literal["multiway", "separate"] = "multiway"
    width: Positive = 192
    heads: Positive = 3
    layers: Positive = 4
    ratio: Annotated[float, Field(gt=0)] = Field(default=2.0, description="feed-forward width over trunk width")
    activation: Literal["gelu", "quick_gelu", "relu", "squared_relu"] = "squared_relu"
    norm: Literal["layer_norm", "rms_norm"] = "layer_norm"
    embedding: Positive = 192
    text: TextConfig = TextConfig()
    image: ImageConfig = ImageConfig()
    audio: AudioConfig = AudioConfig()
    video: VideoConfig = VideoConfig()

    @model_validator(mode="after")
    def _divides(self) -> ModelConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        for name, part in (("text", self.text), ("image", self.image), ("audio", self.audio), ("video", self.video)):
            if part.layers is not None and part.layers > self.layers:
                raise ValueError(f"{name}.layers {part.layers} is more than the model's layers {self.layers}")
        return self


class ObjectiveConfig(Section):
    contrastive: Literal["info_nce", "sigmoid"] = "info_nce"
    temperature: Annotated[float, Field(gt=0)] = Field(default=0.07, description="initial; learned from there")
    tile: Positive = Field(default=1024, description="rows of the similarity matrix in memory at once")
    weights: Mapping[str, float] = Field(
        default_factory=dict,
        description="weight of a pair of modalities, e.g. {audio-image: 0.5}; 1 where silent",
    )

    @model_validator(mode="after")
    def _pairs(self) -> ObjectiveConfig:
        pairs = ["-".join(pair) for pair in permutations(MODALITIES, 2)]
        for name in self.weights:
            if name not in pairs:
                near = difflib.get_close_matches(name, pairs, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"the pairs are {', '.join(pairs[:2])}, …"
                raise ValueError(f"weights: {name!r} is no pair of two modalities; {hint}")
            if "-".join(reversed(name.split("-"))) in self.weights:
                raise ValueError(f"weights: {name!r} is given in both orders; give one")
        return self


class OptimizerConfig(Section):
    """Muon for the trunks' matrices with AdamW for the rest (the default: about twice as far at equal time, LOG.md), or AdamW for everything.

    Muon (Jordan et al. 2024; torch.optim.Muon) makes each matrix's update orthogonal: more arithmetic a step, fewer steps.
    """

    kind: Literal["adamw", "muon"] = "muon"
    matrix_learning_rate: Annotated[float, Field(gt=0)] = Field(
        default=0.02, description="muon: learning rate of the trunks' matrices"
    )
    orthogonal_steps: Positive = Field(default=3, description="muon: Newton–Schulz iterations")
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    betas: tuple[Fraction, Fraction] = (0.9, 0.98)
    warmup: Fraction = Field(default=0.05, description="share of the run")
    final: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="learning rate at the end, as a share of the peak"
    )
    clip: Annotated[float, Field(gt=0)] = Field(default=1.0, description="global gradient norm")


class TrainConfig(Section):
    """The loop. A run ends at `steps` or after `minutes` of training, whichever is given (both: whichever comes first)."""

    batch: Positive = Field(default=256, description="records a step, over all processes and accumulation chunks")
    accumulate: Positive = Field(
        default=1,
        description="chunks a step; the contrastive loss still sees the whole batch (GradCache, arXiv 2101.06983)",
    )
    steps: Positive | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    seed: Seed = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: Positive | None = Field(
        default=None, description="CPU threads a process; None: the cores shared among the processes"
    )
    processes: Positive | Literal["auto"] = Field(
        default=1,
        description="data-parallel processes on this machine; auto: one a core up to 4 on a CPU, where small steps do not fill threads, else 1",
    )
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 1.0
    checkpoint_steps: Positive | None = Field(default=None, description="also save every so many steps")
    keep: Positive = Field(default=2, description="checkpoints kept")
    validate_every: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.1, description="share of the run between validations"
    )
    tensorboard: bool = False

    @model_validator(mode="after")
    def _ends(self) -> TrainConfig:
        if self.steps is None and self.minutes is None:
            raise ValueError("give `steps` or `minutes`: a run must know when to end")
        if self.batch % (self.accumulate * (1 if self.processes == "auto" else self.processes)):
            raise ValueError(
                f"batch {self.batch} does not divide into accumulate {self.accumulate} × processes {self.processes}"
            )
        return self


class DecodingConfig(Section):
    """How codes are chosen one after the other (nn/generate.py).

    greedy: the likeliest · sample: drawn at `temperature` from the `top_k` likeliest, then from the fewest that have the probability
    `top_p` together · beam: the best of `beams` continuations.
    """

    kind: Literal["greedy", "sample", "beam"] = "greedy"
    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_k: Positive | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    beams: Positive = 4
    length_penalty: Annotated[float, Field(ge=0)] = Field(
        default=0.6, description="beam: α of arXiv 1609.08144, Eq. 14; 0: sums of log-probabilities"
    )
    guidance: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="classifier-free guidance u + s(c − u), arXiv 2207.12598; 1: none"
    )
    seed: Seed = 0
    candidates: Positive = Field(
        default=1, description="results a row, for reranking: samples, or the best of the beams"
    )

    @model_validator(mode="after")
    def _fits(self) -> DecodingConfig:
        if self.kind == "greedy" and self.candidates > 1:
            raise ValueError("candidates of greedy decoding are all the same: take kind sample or beam")
        if self.kind == "beam" and self.candidates > self.beams:
            raise ValueError(f"candidates {self.candidates} are more than the beams {self.beams}")
        if self.kind == "beam" and self.guidance != 1:
            raise ValueError("guidance goes with greedy and sample, not with beam")
        return self


class RunConfig(Section):
    """Everything a run needs; `config.yaml` of a run folder is exactly this."""

    system: Literal["chiasm"] = "chiasm"
    data: DataConfig
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    tasks: Mapping[str, TaskConfig] = Field(
        default_factory=dict, description="conversions to learn together; none: one space by contrast alone"
    )
    conversion: ConversionConfig = ConversionConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig

    @model_validator(mode="after")
    def _parts(self) -> RunConfig:
        for name, task in self.tasks.items():
            if task.part_of is None:
                continue
            whole = self.tasks.get(task.part_of)
            if whole is None or whole.part_of is not None:
                raise ValueError(f"tasks.{name}.part_of: {task.part_of!r} is no whole task of this run")
            if task.kind != whole.kind:
                raise ValueError(
                    f"tasks.{name}.part_of: {name} and {task.part_of} differ in what is given, wanted, or how it is written"
                )
        return self


SYSTEMS = (
    "transformer", "bert", "roberta", "gpt", "t5", "resnet", "vit", "detr", "simclr", "moco", "clip", "siglip", "vilbert", "uniter",
    "vl_bert", "unicoder_vl", "oscar", "albef", "ernie_vil", "ernie_m", "adapter_xl", "early_fusion", "late_fusion",
    "image_quantizer", "audio_quantizer",
)  # fmt: skip
"""The named systems; `chiasm systems` says what each is, and systems/catalogue.py where."""


class SystemDataConfig(Section):
    """What a named system trains on."""

    table: str = Field(description="path of a Lance table made by `chiasm build`")
    train_split: str = "train"
    validation_split: str = "validation"
    languages: tuple[str, ...] | None = Field(
        default=None, description="languages of the texts to learn from; None: all of the table"
    )
    label: str | None = Field(
        default=None,
        description="the label that systems which classify records learn; None: the first that has 2 to 1,000 values, each of which "
        "20 records have on average",
    )
    vocabulary: Annotated[int, Field(ge=300)] = Field(default=4096, description="tokens of the tokenizer, at most")
    regions: Literal["auto", "boxes", "grid"] = Field(
        default="auto",
        description="regions of a picture: its exact boxes, or the cells of a grid; auto: boxes where the table has them",
    )
    grid: Annotated[int, Field(ge=1, le=16)] = Field(default=3, description="cells a side of a grid of regions")
    cache_mib: Positive = Field(default=4096, description="disk for decoded pictures (RUN/cache)")


class AdapterConfig(Section):
    """Adapters in every block, with all else frozen but the norms and the heads."""

    kind: Literal["houlsby", "pfeiffer", "lora"] = "houlsby"
    size: Positive = Field(default=64, description="bottleneck width, or LoRA's rank")


class SystemRunConfig(Section):
    """A run of a named system; `config.yaml` of its run folder is exactly this."""

    system: str = Field(description="a named system; `chiasm systems` lists them")
    size: Literal["tiny", "base"] = Field(default="tiny", description="base: the published size")
    change: Mapping[str, Any] = Field(
        default_factory=dict,
        description="changes to the size, e.g. {layers: 6}; `chiasm systems show NAME` lists what there is to change",
    )
    init: str | None = Field(
        default=None, description="a run or an imported checkpoint whose weights the run begins with"
    )
    adapters: AdapterConfig | None = Field(default=None, description="train adapters only; None: train everything")
    weights: Literal["fixed", "uncertainty"] = Field(
        default="fixed",
        description="of a system's losses against each other: as published, or learned (arXiv 1705.07115)",
    )
    data: SystemDataConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig

    @model_validator(mode="after")
    def _known(self) -> SystemRunConfig:
        if self.system not in SYSTEMS:
            raise ValueError(f"no system {self.system!r}; there are {', '.join(SYSTEMS)}")
        return self


AnyRunConfig = RunConfig | SystemRunConfig


S = TypeVar("S", bound=Section)


def load_config(
    kind: type[S],
    path: Path | None = None,
    overrides: Iterable[str] = (),
    base: Mapping[str, Any] | None = None,
) -> S:
    """Read `kind` from YAML, then apply ``a.b=value`` overrides (values are YAML too).

    Raises ConfigError with file or override, key, reason and, for a misspelt key, the nearest right one.
    """
    return validate(kind, read_tree(path, overrides, base), "configuration" if path is None else str(path))


def read_tree(
    path: Path | None, overrides: Iterable[str] = (), base: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """YAML over `base`, and overrides over both, before any of it is checked."""
    tree: dict[str, Any] = _copy(base or {})
    if path is not None:
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf8"))
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such configuration file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from None
        except yaml.YAMLError as error:
            hint = '; quote a field that may be missing: ["image?"]' if "got '?'" in str(error) else ""
            raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}{hint}") from None
        if loaded is not None and not isinstance(loaded, dict):
            raise ConfigError(f"{path}: expected `key: value` lines at the top, found a {type(loaded).__name__}")
        _merge(tree, loaded or {})
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"override {text!r}: write key=value, e.g. train.steps=100")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            parsed = value
        node = tree
        *parents, last = key.strip().split(".")
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                raise ConfigError(f"override {text!r}: {parent!r} is a value, not a section")
            node = child
        node[last] = parsed
    return tree


def load_run(
    path: Path | None = None, overrides: Iterable[str] = (), base: Mapping[str, Any] | None = None
) -> AnyRunConfig:
    """A run's configuration of either kind: `system` says which. Raises ConfigError as `load_config` does."""
    return _run_of(read_tree(path, overrides, base), "configuration" if path is None else str(path))


def load_kept(path: Path) -> AnyRunConfig:
    """The configuration that stands beside weights: what it says nothing of is younger than the weights, which were trained without.

    model.text.scale: words were read as they are; conversion.code_scale: codes were read as words are; conversion.history_mean: 0."""
    tree = read_tree(path)
    model, conversion = tree.get("model", {}), tree.get("conversion", {})
    text = model.get("text", {}) if isinstance(model, dict) else None
    # What is damaged is left for validation to tell.
    if tree.get("system", "chiasm") == "chiasm" and isinstance(text, dict):
        tree["model"] = {**model, "text": {"scale": 1.0, **text}}
        if isinstance(conversion, dict):
            tree["conversion"] = {"history_mean": 0.0, **conversion}
    config = _run_of(tree, str(path))
    if isinstance(config, SystemRunConfig) or "code_scale" in config.conversion.model_fields_set:
        return config
    words = config.model.text.scale
    codes = config.model.width**0.5 if words is None else words
    return config.model_copy(update={"conversion": config.conversion.model_copy(update={"code_scale": codes})})


def _run_of(tree: Mapping[str, Any], where: str) -> AnyRunConfig:
    system = tree.get("system", "chiasm")
    if system == "chiasm":
        return validate(RunConfig, tree, where)
    if system not in SYSTEMS:
        near = difflib.get_close_matches(str(system), ("chiasm", *SYSTEMS), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are chiasm, {', '.join(SYSTEMS)}"
        raise ConfigError(f"{where}: no system {system!r}; {hint}")
    return validate(SystemRunConfig, tree, where)


def validate(kind: type[S], tree: Mapping[str, Any], where: str = "configuration") -> S:
    try:
        return kind.model_validate(dict(tree))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{where}: {line}" for line in _explain(kind, error))) from None


def dump_config(config: Section) -> str:
    """YAML that `load_config` reads back to an equal configuration."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _explain(kind: type[BaseModel], error: ValidationError) -> list[str]:
    lines: list[str] = []
    for item in error.errors():
        path = [str(part) for part in item["loc"]]
        name = ".".join(path)
        if item["type"] == "extra_forbidden":
            known = _fields(kind, path[:-1])
            near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
            hint = (
                f"did you mean {'.'.join([*path[:-1], near[0]])!r}?"
                if near
                else f"known keys here: {', '.join(sorted(known))}"
            )
            lines.append(f"unknown key {name!r}; {hint}")
        elif item["type"] == "missing":
            lines.append(f"{name!r} is missing")
        elif item["type"] == "tuple_type":
            lines.append(f"{name!r}: a list is wanted: {name}=[{item.get('input')}]")
        else:
            message = item["msg"].removeprefix("Value error, ")
            shown = item.get("input")
            where = f"{name!r}: " if name else ""
            lines.append(f"{where}{message}" + ("" if isinstance(shown, (dict, BaseModel)) else f" (got {shown!r})"))
    return lines


def _fields(kind: type[BaseModel], path: list[str]) -> list[str]:
    """The keys that a configuration may have at `path`."""
    named: type[BaseModel] | None = None  # of a mapping from names to sections, whose names are anybody's
    for part in path:
        if named is not None:
            kind, named = named, None
            continue
        field = kind.model_fields.get(part)
        if field is None:
            return []
        inner = get_args(field.annotation)[-1] if get_origin(field.annotation) is Mapping else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            named = inner
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            kind = field.annotation
        else:
            return []
    return [] if named is not None else list(kind.model_fields)


def _copy(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in tree.items()}


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = _copy(value) if isinstance(value, Mapping) else value
