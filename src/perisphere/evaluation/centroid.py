"""Re-identification in a gallery of centroids: one point for each identity instead of all its photos."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from perisphere.errors import PerisphereError
from perisphere.evaluation.points import Points
from perisphere.evaluation.protocols import Splits, described
from perisphere.evaluation.reid import (
    GALLERY,
    QUERY,
    JudgedReid,
    Sides,
    check_any_right,
    conventions,
    counts_of,
    curves_of,
    ranked,
    sides_of,
)
from perisphere.evaluation.report import Report
from perisphere.metrics.centroid_gallery import (
    GALLERIES,
    CentroidGallery,
    Identities,
    Photos,
    without_distractors,
)
from perisphere.metrics.ranks import Ties
from perisphere.metrics.reid import ReidFigures
from perisphere.sphere.geometry import Metric

MEANINGS = {
    "every": "every identity of the gallery is one centroid of all its photos, the query's own of its photos "
    "by other cameras; photos without an identity (label 0000 or none) stand by themselves",
    "asked": "as the protocol is described: centroids of those identities alone that a query asks for, one "
    "for each camera of their queries, of the photos by others; distractors vanish, which flatters",
    "published": "as the published program computes it, to compare with its figures: as 'asked', but photo i "
    "of the gallery is taken to be by camera i of the list of queries and gallery, which is another photo's",
    "published, cameras ignored": "one centroid for each label, distractors of one label included",
}


def judge_centroid(
    points: Points,
    *,
    query: Splits = QUERY,
    gallery: Splits = GALLERY,
    cameras: bool = True,
    user_to_shop: bool = False,
    metric: Metric = "cosine",
    ks: Sequence[int] | None = None,
    ties: Ties = "pessimistic",
    block: int | None = None,
) -> JudgedReid:
    """Rank centroids for each query, by an honest rule and, named as such, by the published ones.

    Plain figures (``mAP``) and everything of single queries are those of a gallery with one centroid for
    every identity; ``asked mAP`` and ``published mAP`` are those of
    :func:`~perisphere.metrics.centroid_gallery.asked_identities` and ``published``. Without cameras the two
    are the same, and only the latter is given. Arguments as for
    :func:`~perisphere.evaluation.reid.judge_reid`.

    Raises:
        PerisphereError: as there; or a query stands in the gallery, whose centroid it would be part of.
    """
    found = sides_of(points, query, gallery, cameras=cameras, user_to_shop=user_to_shop, ks=ks)
    if found.overlap:
        raise PerisphereError(
            f"{points.source}: queries are in the gallery, and so in their own centroids; name splits that "
            "share no photo (--query, --gallery)."
        )
    rules = {"metric": metric, "ties": ties, "block": block}
    entries = entries_of(found, "every")
    shown = _as_points(found.shown, entries)
    figures = _figures(found, entries, shown.vectors, rules)
    check_any_right(points, figures)
    values = found.values(figures) | _published_values(found, rules)
    report = Report(
        protocol="centroid",
        values=values,
        counts=counts_of(found, figures) | _counts(entries, found),
        conventions=_conventions(found, ties, values),
        options={**rules, "cameras": found.cameras, "user_to_shop": user_to_shop},
        data=described(points, query, gallery),
        encoder=points.encoder,
        seeds=points.seeds,
        curves=curves_of(figures),
    )
    parts = [(shown, np.arange(len(shown)))]
    return JudgedReid(
        report,
        figures.average_precision,
        found.asked,
        parts,
        entries.relevant,
        entries.ignored,
        shows_ignored=False,
        figures=figures,
    )


def both(photos: Report, centroids: Report) -> Report:
    """Return one report of two protocols on the same points: figures of centroids are named so."""
    named = {f"centroid {name}": value for name, value in centroids.values.items()}
    meant = {f"centroid {name}": text for name, text in centroids.conventions.items()}
    return replace(
        photos,
        protocol="reid and centroid",
        values=photos.values | named,
        counts=photos.counts | centroids.counts,
        conventions=photos.conventions | meant,
    )


def entries_of(found: Sides, identities: Identities) -> CentroidGallery:
    """Return the entries of a gallery of centroids."""
    asked, shown = found.asked.labels, found.shown.labels
    known = without_distractors(asked, shown) if identities == "every" else shown
    photos = Photos(asked, known, found.cameras_of(found.asked), found.cameras_of(found.shown))
    return GALLERIES[identities](photos)


def _figures(found: Sides, entries: CentroidGallery, vectors: Any, rules: dict[str, Any]) -> ReidFigures:
    return ReidFigures(ranked(found.asked, vectors, entries.relevant, rules | {"ignored": entries.ignored}))


def _published_values(found: Sides, rules: dict[str, Any]) -> dict[str, float]:
    """Return the figures of the published rules, named so; none where no query has a right centroid."""
    values: dict[str, float] = {}
    names: tuple[Identities, ...] = ("asked", "published") if found.cameras else ("published",)
    for name in names:
        entries = entries_of(found, name)
        if not len(entries):
            continue
        vectors = entries.points(found.shown.vectors, found.shown.lengths)
        figures = _figures(found, entries, vectors, rules)
        if figures.skipped < len(figures):
            values |= {f"{name} {key}": value for key, value in found.values(figures).items()}
    return values


def _as_points(shown: Points, entries: CentroidGallery) -> Points:
    """Return the entries as points; a centroid's row is that of its first photo, which stands for it."""
    counts = [len(members) for members in entries.members]
    rows = shown.rows[[int(members[0]) for members in entries.members]]
    names = pl.Series(
        "label",
        [
            f"{label} ({count} photos)" if count > 1 else label
            for label, count in zip(rows["label"], counts, strict=True)
        ],
        pl.String,
    )
    vectors = entries.points(shown.vectors, shown.lengths)
    return replace(shown, vectors=vectors, rows=rows.with_columns(names), lengths=None)


def _counts(entries: CentroidGallery, found: Sides) -> dict[str, int]:
    """Return the centroids of every identity, and the photos that stand by themselves."""
    alone = sum(identity is None for identity in entries.ids)
    identities = len({identity for identity in entries.ids if identity is not None})
    return {"centroids": identities, "photos_by_themselves": alone}


def _conventions(found: Sides, ties: str, values: dict[str, float]) -> dict[str, str]:
    mean = "mean of the vectors of length 1; the lengths that the network gave are not known here"
    if found.shown.lengths is not None:
        mean = "mean of the features as the network gave them"
    meant = {"mAP, rank-k ...": MEANINGS["every"]}
    for name in ("asked", "published"):
        if f"{name} mAP" in values:
            meant[f"{name} figures"] = MEANINGS[name if found.cameras else f"{name}, cameras ignored"]
    return conventions(found, ties) | {"centroid": mean} | meant
