"""What the report says in words: the headline, the data set, the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

NOUN = {"text": "text", "image": "picture", "audio": "sound", "video": "clip"}
ORDER = (
    "text->image", "image->text", "text->video", "video->text", "audio->text", "audio->image", "text->audio", "image->audio",
    "audio->video", "video->audio", "image->video", "video->image",
)  # fmt: skip
MEANING = {
    "variation": "things seen in training, in a form that was not",
    "concept": "things never seen in training",
    "validation": "used to watch the training; not a test",
    "test": "records held out of training",
    "train": "records the model was trained on",
    "left_out_makers": "records left out of training, as all of their sounds are by makers held out",
    "all": "every row of the table",
    "new": "drawn anew by another seed: the model was trained on none of them",
    "perhaps seen": "the model may have been trained on some of them",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One direction on one split, in words. verdict: better | level | worse than the baseline, or none
    without one.
    """

    split: str
    pair: str
    sentence: str
    verdict: str
    entry: Mapping[str, Any]


def ordered(pairs: Mapping[str, Any]) -> list[str]:
    """Directions in the order people ask for them."""
    return sorted(pairs, key=lambda pair: (ORDER.index(pair) if pair in ORDER else len(ORDER), pair))


def arrow(pair: str) -> str:
    """ "text->image" → "text → picture"."""
    return " → ".join(NOUN.get(name, name) for name in pair.split("->"))


def percent(value: float) -> str:
    """0.7812 → "78.1 %"; small shares keep one significant figure: "0.3 %", "0.03 %"."""
    share = 100 * value
    if share == 0 or share >= 0.1:
        return f"{share:.1f} %"
    return f"{share:.1g} %" if share >= 0.001 else "< 0.001 %"


def findings(evaluation: Mapping[str, Any]) -> list[Finding]:
    """The directions of every split that tests, most asked for first."""
    splits = evaluation["splits"]
    tested = [name for name in evaluation["retrieval"] if splits[name]["role"] == "test"] or list(
        evaluation["retrieval"]
    )
    return [
        _finding(split, pair, evaluation["retrieval"][split][pair])
        for split in tested
        for pair in ordered(evaluation["retrieval"][split])
    ]


def _finding(split: str, pair: str, entry: Mapping[str, Any]) -> Finding:
    query, target = (NOUN.get(name, name) for name in pair.split("->"))
    low, high = entry["interval"]["r1"]
    base = entry["baseline"]
    verdict = "none"
    if base is not None:
        verdict = "better" if low > base["r1"] else "worse" if high < base["r1"] else "level"
    sentence = (
        f"Given a {query}, the right {target} of {entry['gallery']:,} comes first in "
        f"{percent(entry['r1'])} of {entry['n']:,} cases (95 % interval {percent(low)} to {percent(high)})"
    )
    sentence += "" if base is None else f"; the linear baseline manages {percent(base['r1'])}"
    return Finding(split, pair, f"{sentence}; guessing, {percent(entry['chance']['r1'])}.", verdict, entry)


def verdict(found: list[Finding]) -> str:
    """One sentence over all directions: has learning shown?"""
    judged = [one for one in found if one.verdict != "none"]
    if not found:
        return "Nothing could be measured: no two records of a test split share two modalities."
    above = sum(one.entry["interval"]["r1"][0] > one.entry["chance"]["r1"] for one in found)
    plain = "Nothing was learned that shows. " if not above else ""
    if judged and all(one.verdict == "better" for one in judged):
        plain = "The model learned what the linear baseline could not. "
    said = f"{plain}The model finds the right item first more often than guessing in {above} of {len(found)} directions"
    if not judged:
        return said + "; no linear baseline was fitted."
    better = sum(one.verdict == "better" for one in judged)
    worse = sum(one.verdict == "worse" for one in judged)
    said += f", and more often than the linear baseline in {better} of {len(judged)}"
    return (
        said
        + (f" ({worse} are worse)." if worse else ".")
        + " A direction counts when its whole 95 % interval lies beyond."
    )


def dataset_facts(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The build's summary, flat: what a reader asks first. Nested parts stay with the table."""
    shown: list[tuple[str, str]] = []
    for key in ("source", "given", "accepted", "rejected", "dropped_parts", "leaks", "rule", "seed"):
        value = metadata.get(key)
        if value is not None and value != "":
            shown.append((key.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value)))
    for key in ("reasons", "splits"):
        value = metadata.get(key)
        if isinstance(value, Mapping) and value:
            shown.append(
                (
                    key,
                    ", ".join(
                        f"{name} {count:,}" if isinstance(count, int) else f"{name} {count}"
                        for name, count in value.items()
                    ),
                )
            )
    return shown


def machine_facts() -> list[tuple[str, str]]:
    """The machine and the versions that made the figures."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    packages = ("chiasm", "torch", "numpy", "scikit-learn", "pylance")
    return [
        ("processor", _processor()),
        ("cores", f"{os.cpu_count()} ({usable} usable)"),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("Python", platform.python_version()),
        *((name, _version(name)) for name in packages),
    ]


def batch_of(config: str) -> int | None:
    """train.batch of a run's configuration text: the N of the chance level ln N."""
    try:
        return int(yaml.safe_load(config)["train"]["batch"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
