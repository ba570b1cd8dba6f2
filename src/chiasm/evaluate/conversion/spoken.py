"""Whether synthesised speech says what it should, judged by a recogniser that learned from real sounds alone and beside two ceilings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chiasm.declare import RecordField
from chiasm.evaluate.conversion.bench import Bench, Mel, mel_through
from chiasm.evaluate.conversion.cases import Case
from chiasm.evaluate.conversion.judge import SpeechJudge
from chiasm.evaluate.conversion.score import Measured, Scores, mean, measured, rate
from chiasm.evaluate.conversion.words import error_rates
from chiasm.evaluate.metrics.reconstruction import DECIBELS
from chiasm.evaluate.metrics.texts import normalised
from chiasm.modalities.audio import encode_audio, log_mel
from chiasm.modalities.vocoder import synthesise
from chiasm.types import Converted, Media, Record

Samples = NDArray[np.float32]

MOST_WORDS = 50
"""Different texts up to which a judge learns them as labels."""


def measure_audio(
    bench: Bench, cases: Sequence[Case], results: Sequence[Converted], real: Sequence[Mel | None]
) -> Measured:
    """Judged accuracy, or the word error rate of the run's own recogniser where there are too many different texts; log-mel distance along
    the best alignment, in dB. Ceilings: the real sounds, as they are and after quantiser and vocoder."""
    made = [log_mel(_samples(one)) for one in results]
    wanted = [case.text for case in cases]
    kept = [i for i, mel in enumerate(real) if mel is not None and len(mel)]
    true = [mel for mel in real if mel is not None and len(mel)]
    quantizer = bench.quantizer("audio")
    coded = [] if quantizer is None else [log_mel(synthesise(mel_through(quantizer, mel))) for mel in true]
    judge = _judge(bench, {normalised(one) for one in wanted})
    scores: Scores = {}
    ceilings: dict[str, Scores] = {}
    notes: dict[str, str] = {}
    right: list[bool | None] = [None] * len(cases)
    got = [""] * len(cases)
    if judge is not None:
        got = judge.name(made)
        known = [normalised(one) for one in wanted]
        right = [said == one for said, one in zip(got, known, strict=True)]
        scores["judged"] = rate([float(bool(one)) for one in right])
        labels = [known[i] for i in kept]
        ceilings["real sounds"] = {"judged": rate(judge.right(true, labels))}
        if coded:
            ceilings["quantiser and vocoder"] = {"judged": rate(judge.right(coded, labels))}
        notes["judge"] = f"a small convolutional recogniser of {len(judge.labels)} words, trained on real train sounds"
    else:
        recogniser = _recogniser(bench)
        if recogniser is not None:
            got = _heard(bench, recogniser, [_samples(one) for one in results])
            scores |= error_rates(got, wanted)
            right = [normalised(said) == normalised(one) for said, one in zip(got, wanted, strict=True)]
            if coded:
                heard = _heard(bench, recogniser, [synthesise(mel) for mel in coded])
                ceilings["quantiser and vocoder"] = error_rates(heard, [wanted[i] for i in kept])
            notes["judge"] = f"the run's own task {recogniser!r}"
    if len(kept) == len(cases):
        scores["mel_distance"] = mean([aligned_distance(a, b) for a, b in zip(made, true, strict=True)])
        if coded:
            same = [aligned_distance(a, b) for a, b in zip(coded, true, strict=True)]
            ceilings.setdefault("quantiser and vocoder", {})["mel_distance"] = mean(same)
    return measured(scores, right, got, ceilings=ceilings, notes=notes)


def aligned_distance(a: Mel, b: Mel) -> float:
    """Mean absolute difference of two log-mels [T, M] and [U, M] in dB, along the alignment of their frames that makes it least
    (dynamic time warping, Sakoe & Chiba 1978): speech that is as long as it likes."""
    x, y = a.astype(np.float32), b.astype(np.float32)
    cost = np.stack([np.abs(y - row).mean(1) for row in x]).astype(np.float64)
    T, U = cost.shape
    best = np.full((T + 1, U + 1), np.inf)
    steps = np.zeros((T + 1, U + 1))
    best[0, 0] = 0
    for total in range(2, T + U + 1):  # one anti-diagonal at a time: none of its places needs another
        i = np.arange(max(1, total - U), min(T, total - 1) + 1)
        j = total - i
        before = np.stack([best[i - 1, j - 1], best[i - 1, j], best[i, j - 1]])
        lengths = np.stack([steps[i - 1, j - 1], steps[i - 1, j], steps[i, j - 1]])
        choice = before.argmin(0)
        places = np.arange(len(i))
        best[i, j] = cost[i - 1, j - 1] + before[choice, places]
        steps[i, j] = 1 + lengths[choice, places]
    return float(best[T, U] / steps[T, U] * DECIBELS)


def _samples(one: Converted) -> Samples:
    """At least a frame: a model that says nothing is heard as silence."""
    audio = one.audio if one.audio is not None else np.zeros(0, np.float32)
    return np.pad(audio, (0, max(0, 400 - len(audio))))


def _judge(bench: Bench, wanted: set[str]) -> SpeechJudge | None:
    """A judge of the train split's words, where they are few enough to be labels and those wanted are among them."""
    texts = bench.table.records(bench.train_rows(), ["id", "texts"])
    said = {normalised(t.text) for r in texts for t in r.texts[:1]}
    if not wanted <= said:
        return None
    if "judge" not in bench.kept:
        language = bench.task.wanted.language
        found: SpeechJudge | None = None
        if 2 <= len(said) <= MOST_WORDS:
            mels, labels = bench.train_sounds(RecordField(of="audio", language=language), "text")
            bench.progress(f"{bench.name}: judge", 0, 0)
            found = SpeechJudge.fit(mels, [normalised(one) for one in labels], seed=bench.seed)
        bench.kept["judge"] = found
    return bench.kept["judge"]


def _recogniser(bench: Bench) -> str | None:
    """The run's own task from speech to text, in the language of what is spoken."""
    for name, task in bench.model.tasks.items():
        if [f.of for f in task.given] == ["audio"] and task.wanted.of == "text":
            languages = {task.wanted.language, task.given[0].language, bench.task.wanted.language} - {None}
            if len(languages) <= 1:
                return name
    return None


def _heard(bench: Bench, task: str, sounds: Sequence[Samples]) -> list[str]:
    language = bench.task.wanted.language
    records = [Record(str(i), audio=(Media(data=encode_audio(s), language=language),)) for i, s in enumerate(sounds)]
    return [one.text or "" for one in bench.model.run(task, records, read=bench.table.read)]
