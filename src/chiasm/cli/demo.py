"""`chiasm demo`: the whole story on the embedded data set, each stage in plain words."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiasm.cli.output import Device, Json, check_folder, print_json, say, show, show_on_stderr, width_of

if TYPE_CHECKING:
    from chiasm.api import Dataset
    from chiasm.cli.demo_conversions import Shown
    from chiasm.cli.progress import Progress
    from chiasm.config import RunConfig
    from chiasm.train.model import LoadedModel
    from chiasm.types import Media, Record

STAGES = 7


def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.", metavar="DIR")] = Path("runs/demo"),
    minutes: Annotated[
        float | None, typer.Option(help="How long to train.  [default: the recipe's]", metavar="M")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N emoji: a quick look.", metavar="N")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Build and train anew, even if that was done.")] = False,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    as_json: Json = False,
) -> None:
    """The whole story on the embedded data set, in minutes.

    Builds the emoji table (pictures, names in many languages, spoken names), trains,
    evaluates, indexes, asks by text, by spoken word and by picture, lets the starter
    checkpoint convert between them, and writes report.html.

    What an earlier demo finished in DIR is used again; one that was interrupted goes on.
    """
    check_folder(out)
    story = _Story(out, device.value)
    config = recipe(story.table_path, minutes, device.value)
    data = story.build(fresh, limit)
    model = story.train(config, fresh, minutes)
    evaluation = story.evaluate(model, data)
    story.index(model, data)
    searches = story.search(model, data)
    converted = story.convert(data, fresh)
    conversion = converted.conversion if converted else {}
    report = story.report(model, data, evaluation, searches, converted)
    if as_json:
        print_json(
            {
                "retrieval": evaluation["retrieval"],
                "retrieval_full": evaluation["retrieval_full"],
                "seconds": round(sum(story.seconds.values()), 1),
                "stages": story.seconds,
                "run": str(out),
                "table": str(story.table_path),
                "report": str(report),
                "searches": searches,
                "conversion": conversion,
            }
        )
        return
    from chiasm.cli.demo_conversions import conversions_table
    from chiasm.cli.evaluate_tables import retrieval_table

    for split, directions in evaluation["retrieval"].items():
        if directions:
            show(retrieval_table(f"{split}: among the split's own items", directions))
    if conversion:
        show(conversions_table(conversion))
    show(f"report: {report}")
    say(f'ask it yourself: chiasm search {story.table_path} "red apple"')
    if conversion:
        say('or the starter: chiasm convert --text "grinning face" --to image --out face.png')


def recipe(table: Path, minutes: float | None, device: str) -> RunConfig:
    """The packaged recipe for the demo's table."""
    from importlib.resources import as_file, files

    from chiasm.config import RunConfig, load_config

    overrides = [f"data.table={table}", f"train.device={device}"]
    overrides += [f"train.minutes={minutes!r}"] if minutes is not None else []
    with as_file(files("chiasm") / "recipes" / "demo.yaml") as path:
        return load_config(RunConfig, path, overrides)


class _Story:
    """The stages in order; each says what it does, where its result lies and how long it took."""

    def __init__(self, out: Path, device: str) -> None:
        self.out = out
        self.device = device
        self.table_path = out / "emoji.lance"
        self.seconds: dict[str, float] = {}

    @contextmanager
    def _stage(self, name: str, words: str) -> Generator[Progress]:
        from chiasm.cli.progress import Progress

        say(f"[{len(self.seconds) + 1}/{STAGES}] {words}")
        began = time.monotonic()
        with Progress() as progress:
            yield progress
        self.seconds[name] = round(time.monotonic() - began, 1)

    def _done(self, words: str) -> None:
        say(f"      {words} ({list(self.seconds.values())[-1]:.1f} s)")

    def build(self, fresh: bool, limit: int | None) -> Dataset:
        from chiasm.api import Dataset
        from chiasm.config import BuildConfig
        from chiasm.dataset.build import build as build_table

        with self._stage(
            "build", "Building the table: every emoji's picture, its names, and the names spoken"
        ) as progress:
            made = fresh or not self.table_path.exists()
            if made:
                build_table("emoji", self.table_path, BuildConfig(limit=limit), progress=progress, overwrite=True)
            data = Dataset(self.table_path)
        splits = ", ".join(f"{name} {count:,}" for name, count in data.splits().items())
        self._done(f"{'' if made else 'there already: '}{self.table_path}: {len(data):,} records ({splits})")
        if limit is not None and not made:
            say(f"      --limit {limit} had no effect: this table was there; --fresh builds it anew")
        return data

    def train(self, config: RunConfig, fresh: bool, minutes: float | None) -> LoadedModel:
        from chiasm.train import checkpoint
        from chiasm.train.model import load
        from chiasm.train.run import train as run_training

        folder = self.out / "checkpoints"
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        found, _ = checkpoint.load_newest(folder)
        settings = config.train
        limit = f"for {settings.minutes:g} minutes" if settings.minutes else f"{settings.steps:,} steps"
        with self._stage("train", f"Training one space for {', '.join(config.data.modalities)}, {limit}") as progress:
            done = found is not None and bool(found.state.get("finished"))
            if not done:
                run_training(config, self.out, resume=found is not None, progress=progress)
            model = load(self.out, device=self.device, remember=True)
        if done:
            self._done(f"trained already: {self.out} is used as it is; --fresh trains anew")
        else:
            self._done(f"the model is in {self.out}")
        if minutes is not None and found is not None:
            say(f"      --minutes {minutes:g} had no effect: the run that was there keeps its settings")
        return model

    def evaluate(self, model: LoadedModel, data: Dataset) -> dict[str, Any]:
        from chiasm.cli.evaluate import write_json
        from chiasm.evaluate.retrieval.protocol import evaluate

        with self._stage(
            "evaluate", "Measuring it on pictures and words it has not seen, beside a linear baseline"
        ) as progress:
            evaluation = evaluate(model, data, progress=progress).to_json()
            write_json(self.out / "evaluation.json", evaluation)
        self._done(str(self.out / "evaluation.json"))
        return evaluation

    def index(self, model: LoadedModel, data: Dataset) -> None:
        from chiasm.search.index import index

        with self._stage("index", "Writing every record's vectors into the table, to be searched") as progress:
            info = index(model, data, run=self.out, progress=progress)
        self._done(", ".join(f"{count:,} {name}" for name, count in info.vectors.items()) + " vectors")

    def search(self, model: LoadedModel, data: Dataset) -> list[dict[str, Any]]:
        """Example searches by text, by spoken word and by picture, of records held out of training."""
        from chiasm.cli.search import hits_table

        found: list[dict[str, Any]] = []
        grids: list[Any] = []
        with self._stage("search", "Asking it: by text, by a spoken word, by a picture"):
            for asked in _questions(data):
                hits = data.search(**asked.pop("query"), k=5, model=model)
                found.append({**asked, "results": [hit.to_json() for hit in hits]})
                grids.append(hits_table(hits, asked["title"], width_of(sys.stderr)))
        show_on_stderr(*grids)
        return found

    def convert(self, data: Dataset, fresh: bool) -> Shown | None:
        """What the shipped starter checkpoint makes of data it has not seen; None where there is none."""
        from chiasm.cli.demo_conversions import convert_all
        from chiasm.cli.evaluate import write_json
        from chiasm.errors import ModelError
        from chiasm.train.checkpoint import shipped
        from chiasm.train.converting import ConvertingModel
        from chiasm.train.model import load

        found = None
        with self._stage("convert", "Letting the starter checkpoint convert what it has not seen") as progress:
            try:
                path = shipped()
            except ModelError:
                path = None
            model = None if path is None else load(path, device=self.device)
            if isinstance(model, ConvertingModel):
                found = convert_all(model, data, self.out, fresh, progress)
                write_json(self.out / "conversion.json", dict(found.conversion))
        kept = self.out / "conversion.json"
        self._done(str(kept) if found else "left out: this installation of chiasm has no starter checkpoint")
        return found

    def report(
        self,
        model: LoadedModel,
        data: Dataset,
        evaluation: dict[str, Any],
        searches: list[dict[str, Any]],
        converted: Shown | None,
    ) -> Path:
        from chiasm.evaluate.conversion.tasks import PROTOCOL
        from chiasm.evaluate.pages.report import Conversions, write_report

        out = self.out / "report.html"
        by = "the starter checkpoint that is shipped with chiasm, another model than the one trained here,"
        conversions = Conversions(by, PROTOCOL, converted.sections) if converted else None
        with self._stage("report", "Writing the report") as progress:
            write_report(
                self.out,
                data,
                model,
                evaluation,
                out,
                searches=searches,
                seconds=self.seconds,
                conversions=conversions,
                progress=progress,
            )
        self._done(str(out))
        return out


_SHOWN = ("cook", "astronaut", "singer", "firefighter", "farmer", "person running", "horse racing")
"""Concepts that make a good example, best first, for the searches by sound and by picture."""


def _questions(data: Dataset) -> list[dict[str, Any]]:
    """What to ask: "title", "query" (for Dataset.search); "record" and "modality" where a medium asks."""
    asked: list[dict[str, Any]] = [
        {"title": f'text "{words}" → pictures', "query": {"text": words, "to": "image"}}
        for words in ("red apple", "a sad face", "熊猫")
    ]
    held_out = _held_out(data)
    for record, modality, to in zip(held_out, ("audio", "image"), ("image", "text"), strict=False):
        medium: Media = getattr(record, modality)[0]
        name = record.texts[0].text
        title = f"a picture ({name}) → names"
        if modality == "audio":
            title = f'the spoken words "{medium.text or name}" → pictures'
        query = {modality: medium, "to": to}
        asked.append({"title": title, "query": query, "record": record.id, "modality": modality})
    return asked


def _held_out(data: Dataset) -> list[Record]:
    """Records that training never saw, of different concepts, the best examples first."""
    rows = data.rows("split = 'variation'")
    concepts: dict[str, int] = {}
    for row, record in zip(rows.tolist(), data.records(rows, ["id", "labels"]), strict=True):
        for label in record.labels:
            if label.name == "concept":
                concepts.setdefault(label.value, row)
    chosen = [concepts[name] for name in _SHOWN if name in concepts] or list(concepts.values())
    return [record for record in data.records(chosen) if record.texts and record.image and record.audio]
