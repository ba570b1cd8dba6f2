"""The figures of a conversion as they are read: their names, shares as percentages, everything else as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIGURES = {
    "exact_match": "exact match",
    "token_f1": "token F1",
    "chrf": "chrF (0–100)",
    "word_error_rate": "word error rate (less is better)",
    "character_error_rate": "character error rate (less is better)",
    "words_right": "words right",
    "novel": "not written in training",
    "macro_f1": "macro-F1",
    "ap50": "AP50",
    "mean_iou": "mean IoU",
    "mean_iou_objects": "mean IoU without background",
    "top1": "right picture nearest",
    "top5": "right picture among 5 nearest",
    "top1_embedding": "nearest by the model's embedding",
    "top5_embedding": "among 5 by the model's embedding",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "judged": "heard right by the judge",
    "mel_distance": "log-mel distance (dB, less is better)",
    "mrr": "mean reciprocal rank",
    "hit_at_1": "hit@1",
    "hit_at_5": "hit@5",
    "hit_at_10": "hit@10",
}
UNBOUNDED = frozenset({"chrf", "psnr", "mel_distance", "ssim", "word_error_rate", "character_error_rate"})
"""Figures that are shown as numbers and not as shares."""


def figure_rows(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each figure of the model: {name, value, interval, share, beside: [(of whom, value)], n}; each as it is written."""
    rows: list[dict[str, Any]] = []
    for name, figure in part["metrics"].items():
        beside = [
            {"who": who, "kind": kind, "value": written(name, scores[name]["value"])}
            for kind in ("baselines", "ceilings")
            for who, scores in part[kind].items()
            if name in scores
        ]
        rows.append(
            {
                "name": FIGURES.get(name, name.replace("_", " ")),
                "value": written(name, figure["value"]),
                "interval": interval_of(name, figure),
                "share": None if name in UNBOUNDED else min(max(float(figure["value"]), 0.0), 1.0),
                "low": figure["low"],
                "high": figure["high"],
                "beside": beside,
                "n": figure["n"],
            }
        )
    return rows


def written(name: str, value: float) -> str:
    return f"{value:.3g}" if name in UNBOUNDED else f"{100 * value:.1f} %"


def interval_of(name: str, figure: Mapping[str, Any]) -> str:
    if figure["low"] is None:
        return ""
    if name in UNBOUNDED:
        return f"{figure['low']:.3g}–{figure['high']:.3g}"
    return f"{100 * figure['low']:.1f}–{100 * figure['high']:.1f}"
