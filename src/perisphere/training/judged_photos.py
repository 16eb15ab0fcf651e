"""The queries and the gallery by which retrieval is judged while a network learns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from perisphere.catalog import Catalog
from perisphere.catalog.catalog import concepts_of
from perisphere.errors import PerisphereError
from perisphere.training.recipe import Judge


@dataclass(frozen=True)
class Side:
    """The queries, or the gallery.

    Attributes:
        paths: of the photos.
        labels: identity of each, ``None`` where unknown.
        cameras: camera of each, ``None`` where unknown.
        concepts: what each shows; its label where nothing else is known.
    """

    paths: Sequence[Path]
    labels: Sequence[str | None]
    cameras: Sequence[str | None]
    concepts: Sequence[Sequence[str]]

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class Judged:
    """Both sides of the judgement; their identities need not be among those learned from."""

    queries: Side
    gallery: Side


def judged_rows(catalog: Catalog, rule: Judge) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of the queries and of the gallery.

    Raises:
        PerisphereError: a split has no photos, cameras are to count and there are none, or no query has a
            photo of its identity (by another camera, where cameras count) in the gallery.
    """
    queries, gallery = (_of_split(catalog, getattr(rule, side), side) for side in ("query", "gallery"))
    if rule.protocol == "concepts":
        _check_concepts(catalog, queries, gallery, rule)
        return queries, gallery
    pairs = (
        queries.select("label", "camera")
        .drop_nulls("label")
        .join(gallery.select("label", other="camera"), on="label")
    )
    if rule.cameras:
        if queries["camera"].is_null().all() or gallery["camera"].is_null().all():
            raise PerisphereError(f"{catalog.root}: photos have no camera. Set judge.cameras=false.")
        pairs = pairs.filter(pl.col("camera").ne_missing(pl.col("other")) | pl.col("camera").is_null())
    if pairs.is_empty():
        by = " by another camera" if rule.cameras else ""
        raise PerisphereError(
            f"{catalog.root}: no photo of split {rule.query!r} has one of its label{by} in split "
            f"{rule.gallery!r}. Set judge.query and judge.gallery, or leave judge out."
        )
    return queries, gallery


def _check_concepts(catalog: Catalog, queries: pl.DataFrame, gallery: pl.DataFrame, rule: Judge) -> None:
    asked, shown = ({name for names in concepts_of(side) for name in names} for side in (queries, gallery))
    if not asked & shown:
        raise PerisphereError(
            f"{catalog.root}: no photo of split {rule.query!r} shares a concept with one of split "
            f"{rule.gallery!r}. Set judge.query and judge.gallery, or leave judge out."
        )


def judged(root: Path, rows: tuple[pl.DataFrame, pl.DataFrame]) -> Judged:
    """Return both sides from their rows of the catalog at ``root``."""
    return Judged(
        *(
            Side(
                [root / path for path in side["path"].to_list()],
                side["label"].to_list(),
                side["camera"].to_list(),
                concepts_of(side),
            )
            for side in rows
        )
    )


def _of_split(catalog: Catalog, split: str, key: str) -> pl.DataFrame:
    chosen = catalog.table.filter(pl.col("split") == split)
    if chosen.is_empty():
        there = sorted(name for name in catalog.table["split"].unique().to_list() if name is not None)
        known = f"its splits are {', '.join(there)}" if there else "it has no splits"
        raise PerisphereError(
            f"{catalog.root}: split {split!r} has no photos; {known}. Set judge.{key}, or leave judge out."
        )
    return chosen
