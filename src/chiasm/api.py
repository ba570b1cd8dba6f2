"""The Python surface: the same verbs as the command line, as functions and as methods of Dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chiasm.config import SYSTEMS, AnyRunConfig, BuildConfig, load_config, load_run, read_tree
from chiasm.dataset.place import is_remote, plain
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError
from chiasm.types import MODALITIES, Embedder, Media

if TYPE_CHECKING:
    from chiasm.evaluate.retrieval.protocol import Evaluation
    from chiasm.evaluate.retrieval.study import Budget
    from chiasm.search.index import IndexInfo
    from chiasm.search.query import Hit
    from chiasm.train.model import LoadedModel

Progress = Callable[[str, int, "int | None"], None]

DEFAULT_MINUTES = 10.0
"""How long a run trains that says neither steps nor minutes."""


def load(run: str | Path, device: str = "auto") -> LoadedModel:
    """The trained model of a run folder, or ``"starter"``: the one that is shipped. Raises ModelError or CheckpointError where it cannot be used."""
    from chiasm.train.model import load as load_model

    return load_model(Path(run), device=device)


def build(
    source: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Dataset:
    """Turn files, a manifest, another table or ``"emoji"`` into a table. Paths may be addresses: ``"s3://bucket/d.lance"``.

    settings: the fields of BuildConfig, e.g. seed=1, test=0.2, dedup={"near": "remove"}.
    Raises ConfigError for unknown settings, DataError for a source that cannot be read.
    """
    from chiasm.dataset.build import build as build_table

    config = load_config(BuildConfig, base=settings)
    model = None if config.model is None else load(config.model)
    result = build_table(str(source), Path(out), config, progress=progress, overwrite=overwrite, model=model)
    return Dataset(result.path)


class Dataset(Table):
    """A table with the verbs on it: ``Dataset("d.lance").search("red apple")``."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._model: Embedder | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that at least one record carries."""
        columns = {name: "texts" if name == "text" else name for name in MODALITIES}
        sample = self.records(range(min(len(self), 64)))
        found = {name for name, column in columns.items() if any(getattr(record, column) for record in sample)}
        # Only what the first records lack is worth a scan of the whole column.
        return tuple(
            name for name, column in columns.items() if name in found or len(self.rows(f"array_length({column}) > 0"))
        )

    def train(
        self,
        out: str | Path,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        settings: Sequence[str] = (),
        resume: bool = False,
        progress: Callable[[str, int, int, dict[str, Any]], None] | None = None,
    ) -> LoadedModel:
        """Train on this table and return the model.

        settings: ``("model.width=256", …)`` as on the command line.
        Raises ConfigError, before training, for a named system that embeds nothing: there is no model to return.
        """
        from chiasm.train.run import train as run_training

        config = run_config(self.path, settings, minutes=minutes, steps=steps)
        _check_embeds(config)
        if resume and (settings or minutes is not None or steps is not None):
            raise ConfigError("a resumed run keeps its settings: leave out settings, minutes and steps")
        result = run_training(config, Path(out), resume=resume, progress=progress)
        return load(result.run)

    def evaluate(
        self,
        model: Embedder,
        *,
        splits: Sequence[str] | None = None,
        baseline: bool = True,
        protocols: Sequence[str] | None = None,
        by: Sequence[str] | None = None,
        seed: int = 0,
        budget: Budget | None = None,
        progress: Progress | None = None,
    ) -> Evaluation:
        """Retrieval in every direction, beside the linear baseline and chance, and what else model and table allow:
        chiasm.evaluate.retrieval.protocol. budget: how long each fine-tuning takes (protocols=["finetune"])."""
        from chiasm.evaluate.retrieval.protocol import evaluate as run_protocols

        return run_protocols(
            model, self, splits=splits, baseline=baseline, seed=seed, protocols=protocols, by=by, budget=budget,
            progress=progress,
        )  # fmt: skip

    def index(
        self, model: Embedder, *, items: Literal["first", "all"] = "first", progress: Progress | None = None
    ) -> IndexInfo:
        """Embed every record and index it; `search` then asks with this model."""
        from chiasm.search.index import index as index_table

        info = index_table(model, self, items=items, run=run_of(model), progress=progress)
        self._model = model
        return info

    def search(
        self,
        text: str | None = None,
        *,
        image: str | Path | bytes | Media | None = None,
        audio: str | Path | bytes | Media | None = None,
        video: str | Path | bytes | Media | None = None,
        to: Literal["text", "image", "audio", "video", "any"] | None = None,
        k: int = 10,
        where: str | None = None,
        hybrid: float = 0.0,
        model: Embedder | None = None,
    ) -> list[Hit]:
        """The records nearest to words, a picture, a sound, a clip, or several of them: chiasm.search.query.Query.

        model: None = the one that indexed the table, loaded from its run at the first search.
        """
        from chiasm.search.query import Query
        from chiasm.search.query import search as search_table

        if model is None:
            model = self._model = self._model or load(indexed_run(self))
        query = Query(text, image, audio, video, to=to, k=k, where=where, hybrid=hybrid)
        return search_table(self, query, model)


def _check_embeds(config: AnyRunConfig) -> None:
    if config.system == "chiasm":
        return
    from chiasm.systems.catalogue import find
    from chiasm.train.system_embedder import embeds

    if not embeds(find(config.system)):
        use = " and name its folder in conversion.quantizers" if config.system.endswith("_quantizer") else ""
        raise ConfigError(
            f"the system {config.system!r} embeds nothing, so there is no model to search with: train it with "
            f"`chiasm train {config.data.table} system={config.system} --out RUN` or chiasm.train.run.train(config, RUN){use}; "
            "`chiasm evaluate RUN TABLE.lance` measures it"
        )


def run_of(model: Embedder) -> Path | None:
    """The run folder that a model was loaded from, if it was."""
    path = getattr(model, "path", None)  # LoadedModel: RUN/checkpoints/step-…
    if not isinstance(path, Path):
        return None
    return path.parent.parent if path.parent.name == "checkpoints" else path


def indexed_run(table: Table) -> Path:
    """The run folder of the model that indexed the table.

    Raises DataError where none did, ModelError where it is gone.
    """
    from chiasm.errors import ModelError
    from chiasm.search.index import index_info

    info = index_info(table)
    if info.run is None or not Path(info.run).is_dir():
        where = f"its run {info.run} is gone" if info.run else "the index names no run"
        raise ModelError(f"{table.path}: {where}: say which model asks (--run RUN, or model=…)")
    return Path(info.run)


def run_config(
    what: str | Path, overrides: Sequence[str] = (), *, minutes: float | None = None, steps: int | None = None
) -> AnyRunConfig:
    """The configuration of a run: a YAML file's, or for a table the defaults and the modalities it holds.

    `system` (in the file or among the overrides) chooses what is trained; a named system begins with the settings that its Spec has tried.

    Raises ConfigError with what is wrong and where; DataError for a folder that is no table.
    """
    path = Path(what)
    extra = [f"train.minutes={minutes!r}"] if minutes is not None else []
    extra += [f"train.steps={steps!r}"] if steps is not None else []
    settings = [*overrides, *extra]
    if path.suffix in (".yaml", ".yml"):
        tree = read_tree(path, settings)
        return load_run(path, settings, _tried(tree))
    if not path.is_dir() and not is_remote(path):
        raise ConfigError(f"{what}: neither a .yaml file nor a table; `chiasm build SOURCE OUT.lance` makes a table")
    tree = read_tree(None, settings)
    base: dict[str, Any] = _tried(tree)
    base.setdefault("train", {})
    data: dict[str, Any] = {"table": plain(path)}
    base["data"] = data
    if tree.get("system", "chiasm") == "chiasm":
        data["modalities"] = list(Dataset(path).modalities)
    if not {"steps", "minutes"} & tree.get("train", {}).keys():
        base["train"]["minutes"] = DEFAULT_MINUTES
    return load_run(None, settings, base)


def _tried(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What a named system's Spec changes in the defaults of a run."""
    name = tree.get("system", "chiasm")
    if name not in SYSTEMS:
        return {}
    from chiasm.systems.catalogue import find

    return {section: dict(values) for section, values in find(name).training.items()}
