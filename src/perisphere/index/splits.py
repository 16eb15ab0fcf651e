"""Which images may say how good the vectors are: not those that the encoder has learned from."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from perisphere.errors import UsageError, nearest

LEARNED = "train"


def of_splits(rows: pl.DataFrame, splits: Sequence[str]) -> pl.Series:
    """Return which ``rows`` are of ``splits``, boolean; ``""`` stands for the rows without a split.

    Raises:
        UsageError: the rows have no such split.
    """
    known = names(rows)
    for split in splits:
        if split not in known:
            there = ", ".join(filter(None, known)) or "none"
            raise UsageError(
                f"The split {split!r} is not in this index. Splits here: {there}.{nearest(split, known)}"
            )
    return rows["split"].fill_null("").is_in(list(splits))


def unlearned(rows: pl.DataFrame, *, labelled: bool) -> pl.Series:
    """Return which ``rows`` lie outside the split ``train``, boolean; all, where these would not do.

    They do where two of them share a label and two do not, or without ``labelled`` where there is any.
    """
    others = rows["split"].fill_null("") != LEARNED
    labels = rows["label"].filter(others).drop_nulls()
    enough = labels.n_unique() > 1 and labels.is_duplicated().any() if labelled else others.any()
    return others if enough else others | True


def names(rows: pl.DataFrame) -> list[str]:
    """Return the splits of ``rows`` in the order of their names, ``""`` for rows without one."""
    return rows["split"].fill_null("").unique().sort().to_list()
