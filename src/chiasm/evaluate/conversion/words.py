"""How right the words are that a conversion writes: texts and transcripts, answers, labels. And boxes and masks, which need no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.conversion.baselines import most_frequent, sound_classifier, text_classifier
from chiasm.evaluate.conversion.bench import Bench, Mel
from chiasm.evaluate.conversion.cases import Case
from chiasm.evaluate.conversion.score import Figure, Measured, Score, Scores, f1_score, f1_table, measured, rate
from chiasm.evaluate.conversion.variety import in_words, novel, variety
from chiasm.evaluate.metrics.detection import box_average_precision
from chiasm.evaluate.metrics.masks import foreground_score, mask_score, mask_table
from chiasm.evaluate.metrics.texts import (
    align_characters,
    align_words,
    chrf_score,
    chrf_table,
    exact_match,
    normalised,
    token_f1,
)
from chiasm.types import Converted

IOU = 0.5


def measure_text(bench: Bench, cases: Sequence[Case], results: Sequence[Converted]) -> Measured:
    """Exact match, token F1 and chrF (0 … 100) against the best of the accepted texts; of what was heard also word and character error rate
    and the share of words that are right, of anything else how varied and how new the texts are beside the true ones."""
    said, wanted = [one.text or "" for one in results], [case.truth for case in cases]
    true, exact = [truth[0] for truth in wanted], exact_match(said, wanted)
    right = [bool(one) for one in exact]
    scores: Scores = {
        "exact_match": rate(exact),
        "token_f1": rate(token_f1(said, wanted)),
        "chrf": Score(chrf_table(said, wanted), chrf_score),
    }
    if bench.given("audio") is not None:
        scores |= error_rates(said, true)
        return measured(scores, right, said)
    mine, theirs = variety(said), variety(true)
    return measured(
        scores | {"novel": novel(bench, said)},
        right,
        said,
        ceilings={"true texts": {"novel": novel(bench, true)}},
        details={"variety": mine, "variety_true": theirs},
        notes={"variety": in_words(mine), "of the true texts": in_words(theirs)},
    )


def error_rates(said: Sequence[str], wanted: Sequence[str]) -> Scores:
    words, characters = align_words(said, wanted), align_characters(said, wanted)
    return {
        "word_error_rate": Score(words.errors()),
        "character_error_rate": Score(characters.errors()),
        "words_right": Score(words.right()),
    }


def measure_answer(bench: Bench, cases: Sequence[Case], results: Sequence[Converted]) -> Measured:
    """Accuracy against any accepted answer, beside the answer that the question's words alone give, and the most frequent one."""
    said, wanted = [one.text or "" for one in results], [case.truth for case in cases]
    right = exact_match(said, wanted)
    _, answers = bench.train_questions()
    baselines: dict[str, Scores] = {}
    if answers:
        blind = bench.blind([case.asked for case in cases])
        usual = most_frequent(answers, len(cases))
        baselines = {
            "blind": {"accuracy": rate(exact_match(blind, wanted))},
            "most frequent": {"accuracy": rate(exact_match(usual, wanted))},
        }
    return measured({"accuracy": rate(right)}, [bool(one) for one in right], said, baselines=baselines)


def measure_label(
    bench: Bench, cases: Sequence[Case], results: Sequence[Converted], mels: Sequence[Mel | None]
) -> Measured:
    """Accuracy and macro-F1, beside the most frequent label and, of texts and sounds, a linear classifier of the same inputs."""
    said, wanted = [one.text or "" for one in results], [case.truth[0] for case in cases]
    text, audio = bench.given("text"), bench.given("audio")
    guesses: dict[str, list[str]] = {}
    notes: dict[str, str] = {}
    if audio is not None and all(mel is not None for mel in mels):
        sounds, labels = bench.train_sounds(audio, None)
        if sounds:
            guesses["sound classifier"] = sound_classifier(sounds, labels, [m for m in mels if m is not None])
    else:
        labels = _train_labels(bench)
    if text is not None and audio is None:
        texts, own = bench.train_texts(text)
        if texts:
            guesses["text classifier"] = text_classifier(texts, own, [case.text for case in cases])
    if labels:
        guesses = {"most frequent": most_frequent(labels, len(cases)), **guesses}
    else:
        notes["baselines"] = "no train record has the label: baselines have nothing to learn from"
    baselines = {name: _label_scores(guess, wanted) for name, guess in guesses.items()}
    scores = _label_scores(said, wanted)
    right = exact_match(said, wanted)
    return measured(scores, [bool(one) for one in right], said, baselines=baselines, notes=notes)


def _train_labels(bench: Bench) -> list[str]:
    name = bench.task.wanted.name
    records = bench.table.records(bench.train_rows(), ["id", "labels"])
    return [label.value for record in records for label in record.labels if label.name == name]


def _label_scores(said: Sequence[str], wanted: Sequence[str]) -> Scores:
    mine, right = [normalised(one) for one in said], [normalised(one) for one in wanted]
    return {
        "accuracy": rate(exact_match(said, wanted)),
        "macro_f1": Score(f1_table(mine, right), f1_score),
    }


def measure_boxes(bench: Bench, cases: Sequence[Case], results: Sequence[Converted]) -> Measured:
    """AP50, the mean over the classes and each class's; recall and precision at the same overlap of all boxes together."""
    found = [one.boxes or () for one in results]
    truth = [case.record.boxes for case in cases]
    group = np.unique([case.group for case in cases], return_inverse=True)[1].astype(np.int64)
    ap = box_average_precision(found, truth, IOU, group=group, seed=bench.seed)
    true, given = (np.array([len(boxes) for boxes in side], np.float64) for side in (truth, found))
    scores: Scores = {"recall": Score(np.stack([ap.hits, true], 1)), "precision": Score(np.stack([ap.hits, given], 1))}
    right = [bool(h == t == g) for h, t, g in zip(ap.hits, true, given, strict=True)]
    got = [", ".join(f"{box.label} {box.score:.2f}" for box in boxes) for boxes in found]
    classes = {name: round(value, 6) for name, value in ap.by_class.items()}
    return measured(
        scores, right, got, fixed={"ap50": Figure(ap.mean, ap.low, ap.high, len(cases))}, details={"ap50": classes}
    )


def measure_mask(results: Sequence[Converted], truths: Sequence[NDArray[np.int64]], names: Sequence[str]) -> Measured:
    """Mean IoU over classes at the pictures' full size, with and without the background. truths: label maps int64 [H, W]."""
    found = [one.mask for one in results]
    made = [np.zeros((1, 1), np.int64) if mask is None else mask for mask in found]
    table = mask_table(made, truths, len(names))
    scores: Scores = {"mean_iou": Score(table, mask_score), "mean_iou_objects": Score(table, foreground_score)}
    both, either = np.split(table.sum(axis=0), 2)
    shares = {name: round(float(b / e), 6) for name, b, e in zip(names, both, either, strict=True) if e}
    got = [", ".join(names[int(i)] for i in np.unique(mask) if i) for mask in made]
    return measured(scores, [None] * len(results), got, details={"iou": shares})
