"""Divide a catalog into splits, class by class and by seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import polars as pl

from perisphere.catalog.catalog import Catalog
from perisphere.catalog.presets import PRESETS, Preset
from perisphere.errors import UsageError

DEFAULT = PRESETS["documented"]
Rounding = Literal["largest", "published"]

_Shares = dict[str | None, Fraction]


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


@dataclass(frozen=True)
class _Rule:
    """How many images of a class each split gets; ``None`` is the share of no split."""

    shares: _Shares
    again: _Shares
    published: Callable[[int], dict[str, int]] | None

    def counts(self, images: int) -> dict[str | None, int]:
        if self.published is None:
            return _counts(images, self.shares)
        return {name: self.published(images)[name] for name in self.shares if name is not None}

    def drawn_again(self, images: int) -> dict[str, int]:
        counts = self.published(images) if self.published is not None else _counts(images, self.again)
        return {name: counts[name] for name in self.again if name is not None}


def split(
    catalog: Catalog,
    fractions: Mapping[str, float] | Preset | None = None,
    *,
    seed: int = 0,
    of: str | None = None,
    replace: bool = False,
    rounding: Rounding = "largest",
) -> Division:
    """Give every image a split, each class in the same proportions.

    The counts of a class are its fractions of the class, rounded by largest remainder (ties to the split
    named first). A class is shuffled by the seed, its label and its paths alone, so that another
    class or another order of rows changes nothing in it. Images without a label count as one class. Where the
    fractions sum to less than 1 the rest of each class is in no split. What a preset draws again are rows of
    their own at the end, with ids of their own.

    Args:
        catalog: what to divide.
        fractions: split name to fraction, or a preset; :data:`DEFAULT` if not given.
        seed: of the shuffle.
        of: divide only the images of this split; all others keep theirs.
        replace: forget the splits that the catalog has.
        rounding: ``published`` counts as the published program of a preset does.

    Raises:
        UsageError: a fraction is negative or not finite, they sum to more than 1, a split has no name, the
            catalog has splits and neither ``of`` nor ``replace`` is given, or fractions without a preset are
            to be rounded as published.
    """
    rule = _rule(DEFAULT if fractions is None else fractions, rounding)
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
    names = catalog.table["split"].to_list()
    again, small = _assign(rows, names, rule, seed)
    table = catalog.table.with_columns(pl.Series("split", names, pl.String))
    made = _with_rows_again(catalog.with_table(table), again)
    return Division(_noted(made, rule, seed, of, rounding), small)


def _rule(fractions: Mapping[str, float] | Preset, rounding: Rounding) -> _Rule:
    if rounding not in ("largest", "published"):
        raise UsageError(f"rounding: {rounding!r} is not largest or published.")
    if isinstance(fractions, Preset):
        published = fractions.published if rounding == "published" else None
        return _Rule(
            _shares(fractions.fractions), _shares(fractions.again) if fractions.again else {}, published
        )
    if rounding == "published":
        raise UsageError("rounding: only a preset has a published program. Name one with --preset.")
    return _Rule(_shares(fractions), {}, None)


def _assign(
    rows: pl.DataFrame, names: list[str | None], rule: _Rule, seed: int
) -> tuple[list[tuple[int, str]], list[SmallClass]]:
    """Put each row's new split into ``names``; return what is drawn again, and classes that a split lacks."""
    again: list[tuple[int, str]] = []
    small = []
    for (label,), group in rows.group_by(["label"], maintain_order=True):
        rng = _rng(seed, label)
        order = rng.permutation(group["row"].to_numpy())
        counts = rule.counts(group.height)
        assigned = [name for name, count in counts.items() for _ in range(count)]
        for row, name in zip(order, assigned, strict=True):
            names[row] = name
        drawn = rule.drawn_again(group.height)
        rest = [row for row, name in zip(order, assigned, strict=True) if name != "test"]
        for name, count in drawn.items():
            again += [(int(row), name) for row in rng.permutation(rest)[:count]]
        without = [
            name for name, share in rule.shares.items() if name is not None and share and not counts[name]
        ]
        without += [name for name, count in drawn.items() if not count]
        if without:
            small.append(SmallClass(None if label is None else str(label), group.height, tuple(without)))
    return sorted(again), sorted(small, key=lambda item: (item.images, item.label or ""))


def _with_rows_again(catalog: Catalog, again: list[tuple[int, str]]) -> Catalog:
    """Append copies of rows, each in another split and with an id of its own; side tables follow."""
    if not again:
        return catalog
    table = catalog.table
    rows = table[[row for row, _ in again]]
    first = int(table["id"].max()) + 1  # type: ignore[arg-type]
    fresh = pl.int_range(first, first + len(again), eager=True)
    copies = rows.with_columns(pl.Series("split", [name for _, name in again], pl.String), id=fresh)
    ids = pl.DataFrame({"image": rows["id"], "copy": fresh})

    def followed(side: pl.DataFrame | None) -> pl.DataFrame | None:
        if side is None:
            return None
        more = side.join(ids, on="image", how="inner").with_columns(image=pl.col("copy")).drop("copy")
        return pl.concat([side, more])

    return Catalog(
        pl.concat([table, copies]),
        catalog.root,
        catalog.source,
        catalog.skipped,
        followed(catalog.keypoints),
        followed(catalog.masks),
        catalog.classes,
        followed(catalog.regions),
        followed(catalog.properties),
    )


def _shares(fractions: Mapping[str, float]) -> _Shares:
    """Return exact fractions that sum to 1; ``None`` is the share of no split."""
    shares: _Shares = {}
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


def _noted(catalog: Catalog, rule: _Rule, seed: int, of: str | None, rounding: Rounding) -> Catalog:
    fractions = {name: float(share) for name, share in rule.shares.items() if name is not None}
    again = {name: float(share) for name, share in rule.again.items() if name is not None}
    divided = {"fractions": fractions, "again": again, "rounding": rounding, "seed": seed, "of": of}
    source = {**catalog.source, "divided": divided}
    return Catalog(
        catalog.table,
        catalog.root,
        source,
        catalog.skipped,
        catalog.keypoints,
        catalog.masks,
        catalog.classes,
        catalog.regions,
        catalog.properties,
    )
