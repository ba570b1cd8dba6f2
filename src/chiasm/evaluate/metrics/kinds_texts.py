"""The kinds of `chiasm metrics` that measure texts: captions, answers, transcripts, translations, what was generated, language models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError
from chiasm.evaluate.metrics.files import Line, stacked

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """tokenized: texts are taken as they are, words parted by spaces · language: of the texts, as far as it changes how they are taken
    apart · open_answers: of vqa, CIDEr as well."""

    tokenized: bool = False
    language: str = "en"
    open_answers: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """figures of the whole file by name; items: those of each line, in order."""

    figures: Mapping[str, float]
    items: Mapping[str, Float] = field(default_factory=dict[str, Float])


def caption(lines: Sequence[Line], asked: Asked) -> Found:
    from chiasm.evaluate.metrics.captions import caption_scores, tokenised
    from chiasm.evaluate.metrics.meteor import meteor

    candidates, references = [line.text("candidate") for line in lines], [line.texts("references") for line in lines]
    if not asked.tokenized:
        candidates, references = tokenised(candidates, references, asked.language)
    scores = caption_scores(candidates, references)
    whole, each = meteor(candidates, references)
    return Found(scores.corpus | {"meteor": whole}, scores.items | {"meteor": each})


def vqa(lines: Sequence[Line], asked: Asked) -> Found:
    from chiasm.evaluate.metrics.captions import cider_d, tokenised
    from chiasm.evaluate.metrics.vqa import vqa_accuracy

    predictions, answers = [line.text("prediction") for line in lines], [line.texts("answers") for line in lines]
    right = vqa_accuracy(predictions, answers)
    figures, items = {"accuracy": round(100 * float(right.mean()), 2)}, {"accuracy": 100 * right}
    if asked.open_answers:
        items["cider"] = cider_d(*tokenised(predictions, answers, asked.language))
        figures["cider"] = float(items["cider"].mean())
    return Found(figures, items)


def asr(lines: Sequence[Line], asked: Asked) -> Found:
    from chiasm.evaluate.metrics.bootstrap import ratio
    from chiasm.evaluate.metrics.texts import align_characters, align_words

    said, wanted = [line.text("prediction") for line in lines], [line.text("reference") for line in lines]
    tables = {
        name: align(said, wanted, plain=asked.tokenized).errors()
        for name, align in (("wer", align_words), ("cer", align_characters))
    }
    if not all(table[:, 1].any() for table in tables.values()):
        raise DataError("no 'reference' has a word: there is nothing that errors could be counted of")
    items = {
        name: np.array([ratio(row) if row[1] else float(row[0] > 0) for row in table]) for name, table in tables.items()
    }
    return Found({name: ratio(table.sum(axis=0)) for name, table in tables.items()}, items)


def translation(lines: Sequence[Line], asked: Asked) -> Found:
    from chiasm.evaluate.metrics.translation import translation_scores

    candidates, references = [line.text("candidate") for line in lines], [line.texts("references") for line in lines]
    corpus, items = translation_scores(
        candidates, references, "none" if asked.tokenized else _SACRE.get(asked.language, "13a")
    )
    return Found(corpus, items)


_SACRE = {"zh": "zh", "ja": "char"}
"""sacreBLEU's tokeniser by language; Japanese by characters, as its own asks for a dictionary."""


def generation(lines: Sequence[Line], asked: Asked) -> Found:
    from chiasm.evaluate.metrics.captions import tokenised
    from chiasm.evaluate.metrics.generation import (
        NEIGHBOURS,
        clip_scores,
        distinct,
        frechet_distance,
        precision_recall,
        self_bleu,
    )

    figures: dict[str, float] = {}
    made = [line for line in lines if line.has("made")]
    real = [line for line in lines if line.has("real")]
    if min(len(made), len(real)) >= 2:
        a, b = stacked(made, "made"), stacked(real, "real")
        figures["frechet_distance"] = frechet_distance(a, b)
        if min(len(made), len(real)) > NEIGHBOURS:
            figures["precision"], figures["recall"] = precision_recall(a, b)
    paired = [line for line in made if line.has("wanted")]
    if paired:
        figures["clip_score"] = float(clip_scores(stacked(paired, "made"), stacked(paired, "wanted")).mean())
    texts = [line.text("text") for line in lines if line.has("text")]
    if texts and not asked.tokenized:
        texts = tokenised(texts, [[one] for one in texts], asked.language)[0]
    if len(texts) > 1:
        figures |= {f"self_bleu_{order}": value for order, value in enumerate(self_bleu(texts), 1)}
    if texts:
        figures |= {f"distinct_{order}": distinct(texts, order) for order in (1, 2)}
    if not figures:
        raise DataError(
            "nothing to measure: lines hold 'made' and 'real' vectors, 'made' and 'wanted' ones, or a 'text', on two lines at least"
        )
    return Found(figures)


def language(lines: Sequence[Line], asked: Asked) -> Found:
    from chiasm.evaluate.metrics.language import bits_per_byte, perplexity

    nats = [line.number("log_likelihood", most=0) for line in lines]
    figures: dict[str, float] = {}
    for name, measured in (("tokens", perplexity), ("bytes", bits_per_byte)):
        if any(line.has(name) for line in lines):
            figures[_LANGUAGE[name]] = measured(nats, [line.count(name) for line in lines])
    if not figures:
        raise DataError(f"{lines[0].where}: 'tokens' or 'bytes' is missing: how long each text is")
    return Found(figures)


_LANGUAGE = {"tokens": "perplexity", "bytes": "bits_per_byte"}
