"""Divide a catalog into splits, class by class and by seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import polars as pl

from perisphere.catalog.catalog import Catalog
from perisphere.errors import UsageError, nearest

DEFAULT: dict[str, float] = {"train": 0.6, "val": 0.1, "test": 0.2, "index": 0.1}
# The reference landmark system documents one division and its code makes the other.
PRESETS: dict[str, dict[str, float]] = {
    "documented": {"train": 0.6, "val": 0.1, "test": 0.2, "index": 0.1},
    "coded": {"train": 0.6, "val": 0.1, "test": 0.1, "index": 0.2},
}


@dataclass(frozen=True)
class SmallClass:
    """A class with too few images for every split, and the splits that have none of it."""

    label: str | None
    images: int
    without: tuple[str, ...]


@dataclass(frozen=True)
class Division:
    """The catalog with its new splits, and the classes that some split lacks."""

    catalog: Catalog
    small: list[SmallClass]


def preset(name: str) -> dict[str, float]:
    """Return the fractions of a preset.

    Raises:
        UsageError: there is no such preset.
    """
    if name not in PRESETS:
        mend = nearest(name, list(PRESETS)) or f" The presets are {', '.join(PRESETS)}."
        raise UsageError(f"no preset {name!r}.{mend}")
    return PRESETS[name]


def split(
    catalog: Catalog,
    fractions: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    of: str | None = None,
    replace: bool = False,
) -> Division:
    """Give every image a split, each class in the same proportions.

    The counts of a class are its fractions of the class, rounded by largest remainder (ties to the split
    named first). A class is shuffled by the seed, its label and its paths alone, so that another
    class or another order of rows changes nothing in it. Images without a label count as one class. Where the
    fractions sum to less than 1 the rest of each class is in no split.

    Args:
        catalog: what to divide.
        fractions: split name to fraction; :data:`DEFAULT` if not given.
        seed: of the shuffle.
        of: divide only the images of this split; all others keep theirs.
        replace: forget the splits that the catalog has.

    Raises:
        UsageError: a fraction is negative or not finite, they sum to more than 1, a split has no name, or the
            catalog has splits and neither ``of`` nor ``replace`` is given.
    """
    shares = _shares(DEFAULT if fractions is None else fractions)
    if seed < 0:
        raise UsageError(f"seed: {seed} is negative; give a whole number from 0.")
    known = catalog.splits()
    if known and of is None and not replace:
        raise UsageError(
            f"the catalog has the splits {', '.join(known)} already. Divide one of them with --of, "
            "or forget them with --replace."
        )
    rows = catalog.table.with_row_index("row").sort("path", "id", maintain_order=True)
    if of is not None:
        catalog.select(split=of)  # says so where there is none
        rows = rows.filter(pl.col("split") == of)
    names, small = _assign(rows, catalog.table["split"].to_list(), shares, seed)
    table = catalog.table.with_columns(pl.Series("split", names, pl.String))
    return Division(_noted(catalog.with_table(table), shares, seed, of), small)


def _assign(
    rows: pl.DataFrame, names: list[str | None], shares: Mapping[str | None, Fraction], seed: int
) -> tuple[list[str | None], list[SmallClass]]:
    """Put each row's new split into ``names``; return them and the classes that some split lacks."""
    small = []
    for (label,), group in rows.group_by(["label"], maintain_order=True):
        counts = _counts(group.height, shares)
        order = _rng(seed, label).permutation(group["row"].to_numpy())
        assigned = [name for name, count in counts.items() for _ in range(count)]
        for row, name in zip(order, assigned, strict=True):
            names[row] = name
        without = tuple(name for name in shares if name is not None and shares[name] and not counts[name])
        if without:
            small.append(SmallClass(None if label is None else str(label), group.height, without))
    return names, sorted(small, key=lambda item: (item.images, item.label or ""))


def _shares(fractions: Mapping[str, float]) -> dict[str | None, Fraction]:
    """Return exact fractions that sum to 1; ``None`` is the share of no split."""
    shares: dict[str | None, Fraction] = {}
    for name, value in fractions.items():
        if not name or "/" in name:
            raise UsageError(f"split name {name!r}: give a word without '/'.")
        if not np.isfinite(value) or value < 0:
            raise UsageError(f"{name}: {value} is not a fraction; give a number from 0 to 1.")
        shares[name] = Fraction(repr(float(value)))
    total = sum(shares.values())
    if total > 1:
        parts = " + ".join(f"{name} {value:g}" for name, value in fractions.items())
        raise UsageError(f"fractions: {parts} is {float(total):g}, more than 1. Lower one of them.")
    if total == 0:
        raise UsageError("fractions: all are 0, so nothing would be in a split. Raise one of them.")
    if total < 1:
        shares[None] = 1 - total
    return shares


def _counts(images: int, shares: Mapping[str | None, Fraction]) -> dict[str | None, int]:
    """Round by largest remainder: the counts sum to ``images``."""
    counts = {name: int(images * share) for name, share in shares.items()}
    remainders = sorted(shares, key=lambda name: counts[name] - images * shares[name])
    for name in remainders[: images - sum(counts.values())]:
        counts[name] += 1
    return counts


def _rng(seed: int, label: object) -> np.random.Generator:
    entropy = [seed, 0] if label is None else [seed, 1, *str(label).encode()]
    return np.random.default_rng(entropy)


def _noted(catalog: Catalog, shares: Mapping[str | None, Fraction], seed: int, of: str | None) -> Catalog:
    fractions = {name: float(share) for name, share in shares.items() if name is not None}
    source = {**catalog.source, "divided": {"fractions": fractions, "seed": seed, "of": of}}
    return Catalog(catalog.table, catalog.root, source, catalog.skipped, catalog.keypoints, catalog.masks)
