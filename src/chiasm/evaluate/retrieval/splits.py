"""Which rows of a table are measured: its splits, and the groups that the bootstrap resamples by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chiasm.config import DataConfig, RunConfig
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, DataError
from chiasm.types import Embedder

Rows = NDArray[np.bool_]
"""bool [rows of the table]."""


def choose_splits(table: Table, splits: Sequence[str] | None, train_split: str) -> dict[str, Rows]:
    """Split name → its rows. None: every split but the train split, or all rows as "all" where there is only one.

    Raises DataError for an empty table, ConfigError for a split that it has not."""
    if not len(table):
        raise DataError("the table has no rows: nothing to evaluate")
    known = table.splits()
    if splits is not None:
        for name in splits:
            if name not in known:
                raise ConfigError(f"the table has no split {name!r}; it has {', '.join(sorted(known)) or 'none'}")
        return {name: rows_of(table, name) for name in dict.fromkeys(splits)}
    if len(known) < 2:
        return {"all": np.ones(len(table), dtype=bool)}
    return {name: rows_of(table, name) for name in known if name != train_split}


def rows_of(table: Table, split: str) -> Rows:
    return np.array([value == split for value in table.columns(["split"])["split"].to_pylist()], dtype=bool)


def groups_of(table: Table) -> NDArray[np.int64]:
    """int64 [rows]: equal for rows of one group; a row without a group is its own."""
    columns = table.columns(["id", "group"])
    names = [
        f"id:{own}" if group is None else f"group:{group}"
        for own, group in zip(columns["id"].to_pylist(), columns["group"].to_pylist(), strict=True)
    ]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def data_config(model: Embedder) -> DataConfig:
    """The model's own, which names the splits; the defaults where it has none."""
    config = getattr(model, "config", None)
    return config.data if isinstance(config, RunConfig) else DataConfig(table="")
