"""Language modelling: perplexity and bits per byte of texts, from the log-likelihood that a model gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chiasm.errors import DataError


def perplexity(log_likelihood: Sequence[float], tokens: Sequence[int]) -> float:
    """exp of the mean negative log-likelihood a token, over all texts together (Jelinek et al. 1977); infinite where that overflows.

    log_likelihood: nats of each text, at most 0; tokens: how many of each. Figures compare only between models of one vocabulary."""
    total = _total(log_likelihood, tokens, "tokens")
    return math.exp(total) if total < 700 else math.inf


def bits_per_byte(log_likelihood: Sequence[float], sizes: Sequence[int]) -> float:
    """Mean bits that a byte of the texts (UTF-8) takes: comparable between vocabularies (Gao et al., arXiv 2101.00027, 3.1)."""
    return _total(log_likelihood, sizes, "bytes") / math.log(2)


def _total(log_likelihood: Sequence[float], counts: Sequence[int], name: str) -> float:
    if len(log_likelihood) != len(counts):
        raise DataError(f"{len(log_likelihood)} likelihoods and {len(counts)} counts of {name}: give each text both")
    if not all(math.isfinite(one) and one <= 0 for one in log_likelihood):
        raise DataError("a log-likelihood must be finite and at most 0 (nats)")
    if not sum(counts):
        raise DataError(f"no {name}: nothing was predicted")
    return -math.fsum(log_likelihood) / sum(counts)
