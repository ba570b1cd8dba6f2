"""Figures of a report by name, and thresholds over them that a build or a command fails by."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from chiasm.errors import ConfigError

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_CONDITION = re.compile(r"^\s*(>=|<=|==|!=|>|<)\s*([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)\s*$")
_WHOLE = re.compile(r"^\s*([\w.\-]+?)\s*((?:>=|<=|==|!=|>|<).*)$")

MEANING: Mapping[str, str] = {
    "rows": "rows of the table",
    "rejected": "inputs that did not become rows",
    "rejected_share": "the same, of all inputs",
    "duplicates": "rows too many where any one medium, or the only text, equals another row's: what dedup.exact=remove dedup.agree=any takes "
    "out; its default, dedup.agree=all, takes out only rows that agree in all that both have",
    "near_duplicates": "rows too many where any one medium, or the only text, equals another row's, nearly does, or may be a variant of it; of "
    "the rows that are measured, or else of the sample's",
    "leaks": "ways in which the splits break their rule: groups and equal content",
    "near_leaks": "held-out rows with a copy or a near-duplicate in another split",
    "unreadable": "media of the sample that cannot be decoded",
    "missing_groups": "intersections of two attributes that are expected at least 5 times and never found",
    "unlicensed": "rows without a licence",
    "poor_pictures": "share of pictures below the limit of sharpness",
    "quiet_sounds": "share of sounds below the limit of loudness",
    "poor_texts": "share of first texts below the limit of text quality",
    "placeholders": "records whose every text is a stand-in for one",
    "agreement": "how often a picture and its text fit better than with another row's (.5: chance)",
    "coverage": "share of the taxonomy's classes, or of the other table's vocabulary",
    "vendi": "smallest Vendi score of the modalities",
}


def figures(facts: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures that thresholds may name, from the facts of a report; None: not measured, or not there."""
    quality, build = facts["quality"], facts["build"]

    def share(name: str) -> float | None:
        found = quality["measures"].get(name)
        return None if found is None else found["share"]

    given, rejected = build.get("given"), build.get("rejected")
    agreed = quality["agreement"]
    pair = agreed.get("text-image") or next(iter(agreed.values()), None)
    coverage = facts.get("coverage") or {}
    taxonomy, other = coverage.get("taxonomy"), coverage.get("against")
    vocabulary = (other or {}).get("vocabulary") or {}
    return {
        "rows": facts["counts"]["rows"],
        "rejected": rejected,
        "rejected_share": rejected / given if given and rejected is not None else None,
        "duplicates": facts["duplicates"]["exact"]["rows"],
        "near_duplicates": facts["duplicates"]["near"]["rows"],
        "leaks": facts["leaks"]["total"],
        "near_leaks": facts["leaks"]["near_rows"],
        "unreadable": quality["unreadable_total"],
        "missing_groups": facts["bias"]["missing"],
        "unlicensed": facts["counts"]["licences"].get("", 0),
        "poor_pictures": share("image_blur"),
        "quiet_sounds": share("audio_rms"),
        "poor_texts": share("text_quality"),
        "placeholders": quality["placeholders"],
        "agreement": None if pair is None else pair["value"],
        "coverage": taxonomy["share"] if taxonomy else vocabulary.get("share"),
        "vendi": min((one["score"] for one in facts["diversity"]["vendi"].values()), default=None),
    }


def thresholds(texts: list[str]) -> dict[str, float | str]:
    """``duplicates>0`` and the like, each a condition to fail by → what `check` takes. Raises ConfigError for what is none."""
    found: dict[str, float | str] = {}
    for text in texts:
        match = _WHOLE.match(text)
        if match is None:
            raise ConfigError(f"--fail-if {text!r}: write a figure and a condition, e.g. 'duplicates>0'")
        found[match[1]] = match[2]
    validate(found)
    return found


def validate(wanted: Mapping[str, float | str]) -> None:
    """Raises ConfigError for a figure that there is none of, or a condition that is none."""
    for name, limit in wanted.items():
        if name not in MEANING:
            near = difflib.get_close_matches(name, MEANING, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(MEANING)}"
            raise ConfigError(f"fail_if: no figure {name!r}; {hint}")
        _condition(name, limit)


def check(facts: Mapping[str, Any], wanted: Mapping[str, float | str]) -> list[str]:
    """What fails, in sentences; empty where nothing does.

    facts: of a report (`data_report.report_on`) · wanted: by figure, a number that it must not exceed, or a condition to fail by ("<0.9").
    A figure that was not measured fails: what is asked for was not shown. Raises ConfigError as `validate` does.
    """
    validate(wanted)
    measured = facts["figures"]
    failed: list[str] = []
    for name, limit in wanted.items():
        compare, sign, value = _condition(name, limit)
        found = measured[name]
        if found is None:
            failed.append(f"{name} was not measured on this table ({MEANING[name]})")
        elif compare(found, value):
            failed.append(f"{name} is {found:.4g}, which is {sign} {value:g} ({MEANING[name]})")
    return failed


def _condition(name: str, limit: float | str) -> tuple[Callable[[float, float], bool], str, float]:
    if isinstance(limit, (int, float)) and not isinstance(limit, bool):
        return operator.gt, ">", float(limit)
    match = _CONDITION.match(str(limit))
    if match is None:
        raise ConfigError(f"fail_if: {name}: {limit!r} is no condition; write a number, or e.g. '>0' or '<0.9'")
    return _OPERATORS[match[1]], match[1], float(match[2])
