"""The step `reduce`: short vectors of what rows hold, stored as columns, with what they lose.

Letters: n rows · d features · z dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.building import ReductionConfig
from chiasm.config import BuildConfig
from chiasm.dataset.autoencoder import Autoencoder
from chiasm.dataset.features import Part, gather, joined_text, scratch
from chiasm.dataset.raw_features import hash_texts
from chiasm.dataset.shards import READ
from chiasm.dataset.split import TRAIN, Key, normalise_split
from chiasm.dataset.step import Embedder, Outcome, Sheet
from chiasm.errors import ConfigError, DataError
from chiasm.sources import Progress

Floats = NDArray[np.float32]

BLOCK = 4096
"""Rows in memory at once while vectors are learned and made."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """value: float32 [n, z], NaN where a row has none of the features · facts: of one column."""

    value: Floats
    facts: dict[str, Any]


def run(
    sheet: Sheet, config: BuildConfig, *, model: Embedder | None = None, progress: Progress | None = None
) -> Outcome:
    """One column for each of `config.reduce.vectors`. Nothing is learned from rows that the source holds out, nor from the share
    `held_out` of the others (groups whole); on these rows the facts measure the loss.

    Raises DataError where there are fewer rows or features than dimensions, and ConfigError where svd is asked for other than text.
    """
    for name in config.reduce.vectors:
        if name in READ.names:
            raise ConfigError(f"reduce.vectors: {name!r} is a column of every table; give the vector another name")
    columns: dict[str, Floats] = {}
    facts: dict[str, Any] = {}
    for name, wanted in config.reduce.vectors.items() if len(sheet.rows) else ():
        learns = learning_rows(sheet.keys, wanted.held_out, config.seed)
        if wanted.method == "svd":
            reduced = _svd(name, wanted, sheet, learns, config.seed)
        else:
            stage = f"reduce {name}"
            parts = gather(
                sheet, wanted.features, model, seed=config.seed, progress=progress, stage=stage, learns=learns
            )
            reduced = _dense(name, wanted, parts.parts, learns, config.seed, progress)
        columns[name], facts[name] = reduced.value, reduced.facts
    return Outcome(columns=columns, facts=facts)


def learning_rows(keys: list[Key] | Any, held_out: float, seed: int) -> NDArray[np.bool_]:
    """bool [n]: rows to learn from. Whole groups are held out, about `held_out` of the rows, by `seed`."""
    groups = [key.group or key.id for key in keys]
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    size = dict.fromkeys(names, 0)
    for group in groups:
        size[group] += 1
    held: set[str] = set()
    left = round(held_out * len(groups))
    for place in order:
        if size[names[place]] <= left:
            held.add(names[place])
            left -= size[names[place]]
    return np.array(
        [
            (key.split is None or normalise_split(key.split) == TRAIN) and group not in held
            for key, group in zip(keys, groups, strict=True)
        ],
        np.bool_,
    )


def _dense(
    name: str,
    config: ReductionConfig,
    parts: tuple[Part, ...],
    learns: NDArray[np.bool_],
    seed: int,
    progress: Progress | None,
) -> Reduced:
    present = np.logical_or.reduce([part.present for part in parts])
    places = np.flatnonzero(present)
    x = scaled(parts, learns, places, each=config.method != "pca")
    train = learns[places]
    _check(name, config, int(train.sum()), x.shape[1])
    if config.method == "pca":
        encode, decode, facts = _fit_pca(x, train, config.dimensions)
    else:
        network = Autoencoder(x.shape[1], config.dimensions, config.hidden, config.method, seed)  # type: ignore[arg-type]

        def told(epoch: int) -> None:
            if progress is not None:
                progress(f"reduce {name}", epoch, config.epochs)

        losses = network.fit(x, np.flatnonzero(train), config.epochs, told)
        encode, decode, facts = network.encode, network.decode, {"losses": losses}
    codes = np.full((len(learns), config.dimensions), np.nan, np.float32)
    loss, total = 0.0, 0.0
    measured = ~train if not train.all() else train
    for rows in _blocks(len(x)):
        short = encode(x[rows])
        codes[places[rows]] = short
        held = measured[rows]
        loss += float(np.square(decode(short[held]) - x[rows][held], dtype=np.float64).sum())
        total += float(np.square(x[rows][held], dtype=np.float64).sum())
    return Reduced(codes, {**_told(config, len(places), len(learns), train), **_lost(loss, total), **facts})


def scaled(parts: tuple[Part, ...], learns: NDArray[np.bool_], places: NDArray[np.int64], *, each: bool) -> Floats:
    """[p, d] of the rows at `places`: each feature of mean 0 over the rows to learn from, and each block of features of variance 1
    in all; with `each`, every feature. A block that a row lacks is 0. Sums run over BLOCK rows at a time."""
    result = scratch(len(places), sum(part.value.shape[1] for part in parts))
    start = 0
    for part in parts:
        stop = start + part.value.shape[1]
        used = np.flatnonzero(learns & part.present)
        total = np.zeros(part.value.shape[1])
        squares = np.zeros(part.value.shape[1])
        for rows in _blocks(len(used)):
            block = part.value[used[rows]].astype(np.float64)
            total += block.sum(axis=0)
            squares += np.square(block).sum(axis=0)
        mean = total / max(len(used), 1)
        variance = np.maximum(squares / max(len(used), 1) - mean * mean, 0.0)
        variance = variance if each else np.full_like(variance, variance.sum())
        scale = np.where(variance > 1e-10, 1 / np.sqrt(np.maximum(variance, 1e-10)), 0.0 if each else 1.0)
        for rows in _blocks(len(places)):
            block = (part.value[places[rows]] - mean) * scale
            result[rows, start:stop] = np.where(part.present[places[rows], None], block, 0.0)
        start = stop
    return result


def _fit_pca(
    x: Floats, train: NDArray[np.bool_], dimensions: int
) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats], dict[str, Any]]:
    """Incremental PCA (Ross et al. 2008): one block of rows in memory."""
    from sklearn.decomposition import IncrementalPCA
    from threadpoolctl import threadpool_limits

    learned = np.flatnonzero(train)
    pca: Any = IncrementalPCA(dimensions)
    with threadpool_limits(1, "blas"):  # the same sums whatever the machine's cores
        for rows in _blocks(len(learned), least=dimensions):
            pca.partial_fit(np.asarray(x[learned[rows]]), check_input=False)
    basis = pca.components_.astype(np.float32)
    mean = pca.mean_.astype(np.float32)
    facts = {"explained_variance": pca.explained_variance_ratio_.tolist()}
    return lambda block: (block - mean) @ basis.T, lambda codes: codes @ basis + mean, facts


def _svd(name: str, config: ReductionConfig, sheet: Sheet, learns: NDArray[np.bool_], seed: int) -> Reduced:
    """Truncated SVD of tf-idf (latent semantic analysis, Deerwester et al. 1990); the matrix is sparse and stays so."""
    from sklearn.decomposition import TruncatedSVD
    from threadpoolctl import threadpool_limits

    if config.features not in ((), ("text",), ("raw:text",)):
        raise ConfigError(
            f"reduce.{name}: svd is for texts alone (features: [text]); pca takes {list(config.features)}"
        )
    counts: Any = hash_texts((joined_text(record) for _, record in sheet.records(columns=["texts"])), learns)
    places = np.flatnonzero(np.diff(counts.indptr))
    used = np.flatnonzero(np.bincount(counts.indices, minlength=counts.shape[1]))
    counts = counts[places][:, used]
    train = learns[places]
    _check(name, config, int(train.sum()), counts.shape[1])
    with threadpool_limits(1, "blas"):
        svd = TruncatedSVD(config.dimensions, random_state=seed, n_iter=5).fit(counts[train])
        short = np.asarray(svd.transform(counts), np.float32)
    codes = np.full((len(learns), config.dimensions), np.nan, np.float32)
    codes[places] = short
    measured = ~train if not train.all() else train
    # The basis is orthonormal and projects: what is lost of a row is its square less that of its code.
    total = float(counts[measured].multiply(counts[measured]).sum())
    lost = total - float(np.square(short[measured], dtype=np.float64).sum())
    facts = {"explained_variance": svd.explained_variance_ratio_.tolist()}
    return Reduced(codes, {**_told(config, len(places), len(learns), train), **_lost(lost, total), **facts})


def _check(name: str, config: ReductionConfig, rows: int, features: int) -> None:
    if config.dimensions >= min(rows, features):
        raise DataError(
            f"reduce.{name}: {config.dimensions} dimensions of {rows} rows to learn from with {features} features: ask for fewer"
        )


def _told(config: ReductionConfig, present: int, rows: int, train: NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "method": config.method,
        "dimensions": config.dimensions,
        "rows": present,
        "absent": rows - present,
        "learned_from": int(train.sum()),
        "measured_on": int((~train).sum()) or int(train.sum()),
        "held_out": not bool(train.all()),
    }


def _lost(loss: float, total: float) -> dict[str, float]:
    """The share of the squared features that is lost, and the share that is explained; about the mean of the rows learned from."""
    share = max(loss, 0.0) / total if total else 0.0
    return {"reconstruction_error": share, "explained": 1 - share}


def _blocks(rows: int, least: int = 1) -> Iterator[slice]:
    """0 … rows in blocks of BLOCK rows, the last of them at least `least` longer, not shorter."""
    start = 0
    while start < rows:
        stop = rows if rows - start < BLOCK + least else start + BLOCK
        yield slice(start, stop)
        start = stop
