"""CIDEr, BLEU and ROUGE-L of 5,000 captions with 5 references each: chiasm against pycocoevalcap, both from tokenised text.

    pip install --no-deps --target SCRATCH pycocoevalcap
    PYTHONPATH=SCRATCH python benchmarks/caption_metrics.py [--rounds 5]

Prints CPU-seconds and the corpus figures, which must agree. Without pycocoevalcap only chiasm is measured.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _measure import arguments, cpu_seconds, interleave, report

CAPTIONS, REFERENCES = 5_000, 5


def captions() -> tuple[list[str], list[list[str]]]:
    """Sentences of 8 to 14 words out of 3,000, frequent ones often (Zipf), the sentences of an item sharing words."""
    draw = random.Random(0)
    words = [f"w{i}" for i in range(3_000)]
    weights = [1 / (i + 5) for i in range(3_000)]

    def sentence(pool: list[str]) -> str:
        return " ".join(draw.choice(pool) for _ in range(draw.randint(8, 14)))

    pools = [draw.choices(words, weights, k=18) for _ in range(CAPTIONS)]
    return [sentence(pool) for pool in pools], [[sentence(pool) for _ in range(REFERENCES)] for pool in pools]


def chiasm_scores(candidates, references) -> dict[str, float]:
    from chiasm.evaluate.metrics.captions import caption_scores

    found = caption_scores(candidates, references).corpus
    return {name: found[name] for name in ("bleu_4", "rouge_l", "cider")}


def official_scores(candidates, references) -> dict[str, float]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    truth = dict(enumerate(references))
    made = {i: [one] for i, one in enumerate(candidates)}
    with contextlib.redirect_stdout(io.StringIO()):
        bleu = Bleu(4).compute_score(truth, made)[0][3]
    return {
        "bleu_4": bleu,
        "rouge_l": Rouge().compute_score(truth, made)[0],
        "cider": Cider().compute_score(truth, made)[0],
    }


def work(official: bool) -> dict[str, float]:
    candidates, references = captions()
    scores_of = official_scores if official else chiasm_scores
    scores_of(candidates[:8], references[:8])  # imports are not what is measured
    found: dict[str, float] = {}
    seconds = cpu_seconds(lambda: found.update(scores_of(candidates, references)))
    return {"CPU-seconds": seconds, **{name: float(value) for name, value in found.items()}}


if __name__ == "__main__":
    options = arguments(__doc__ or "", rounds=5)
    contenders = {"chiasm": functools.partial(work, False)}
    if importlib.util.find_spec("pycocoevalcap") is not None:
        contenders["pycocoevalcap"] = functools.partial(work, True)
    report(interleave(contenders, options.rounds, options.threads), list(contenders)[-1], options.json)
