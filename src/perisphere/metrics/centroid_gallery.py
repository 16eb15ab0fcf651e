"""Galleries of centroids for re-identification: what a query may find instead of the photos of an identity.

A query must not find its own camera's photos of its identity, so where cameras count they must not be in its
identity's centroid either. Three galleries:

* :func:`every_identity`: each identity of the gallery is one centroid of all its photos; only the query's own
  is replaced by the centroid of its photos by other cameras. Photos of unknown identities, the distractors,
  stay points of their own. A query so meets as many wrong answers as there are others.
* :func:`asked_identities`: the protocol as it is described (Wieczorek et al., "On the Unreasonable
  Effectiveness of Centroids in Image Retrieval", ICONIP 2021). Identities that no query asks for have no
  centroid, so distractors vanish, which flatters; an identity may have several, each without another camera.
* :func:`published`: the same as the published program computes it, for comparison with its figures alone: it
  takes gallery photo i to be by camera i of the list of queries *and* gallery, which is another photo's.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError
from perisphere.metrics.centroids import means, members_of, plain
from perisphere.metrics.matching import NONE, Positions, Rows, matching
from perisphere.metrics.ranks import Ties, exact_ranks
from perisphere.metrics.reid import Cameras, Ids, ReidFigures, same_camera
from perisphere.sphere.geometry import Metric, Vectors, finite_squares, is_unit, normalise


@dataclass(frozen=True)
class Photos:
    """The photos of both sides, without their vectors: identities, cameras or ``None`` for none.

    Attributes:
        query_ids: identity of each query, ``None`` where unknown.
        gallery_ids: identity of each gallery photo, ``None`` where unknown.
        query_cameras: camera of each query.
        gallery_cameras: camera of each gallery photo.
    """

    query_ids: Sequence[Hashable]
    gallery_ids: Sequence[Hashable]
    query_cameras: Sequence[Hashable] | None = None
    gallery_cameras: Sequence[Hashable] | None = None

    def by_others(self, rows: Positions, camera: Hashable) -> Positions:
        """Return those of some gallery rows that are not by ``camera``; ``None`` equals no other."""
        of = self.gallery_cameras
        if of is None or camera is None:
            return rows
        return rows[[of[row] != camera for row in rows.tolist()]]

    def seen(self, rows: Positions) -> frozenset[Hashable]:
        """Return the cameras of some gallery rows."""
        of = self.gallery_cameras
        return frozenset() if of is None else frozenset(of[row] for row in rows.tolist())

    def asked(self) -> list[tuple[Hashable, Hashable]]:
        """Return the distinct identities and cameras of the queries, in order."""
        cameras = self.query_cameras or [None] * len(self.query_ids)
        pairs = zip(self.query_ids, cameras, strict=True)
        return list(dict.fromkeys(pair for pair in pairs if pair[0] is not None))


@dataclass(frozen=True)
class CentroidGallery:
    """What stands in the gallery, and how it counts for each query.

    Attributes:
        ids: identity of each of m entries, ``None`` where unknown.
        members: the photos behind each entry, gallery rows.
        relevant: the entries that are right for a query.
        ignored: those that count neither as right nor as wrong.
        cameras: that took part in each entry.
    """

    ids: list[Hashable]
    members: list[Positions]
    relevant: Rows
    ignored: Rows
    cameras: list[frozenset[Hashable]]

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.ids)

    def points(self, vectors: NDArray, lengths: NDArray | None = None) -> Vectors:
        """Return the entries' means of ``vectors``, float32 ``[m, d]``, of length 1 where those are.

        Rows whose ``lengths`` are known were brought to length 1, be it to the three digits of float16.
        """
        found = means(vectors, self.members, lengths)
        unit = lengths is not None or is_unit(finite_squares(vectors, "gallery"))
        return normalise(found) if unit else found


def every_identity(photos: Photos) -> CentroidGallery:
    """Return one entry for each identity and each photo of none, the query's own without its camera."""
    whole = members_of(photos.gallery_ids)
    unknown = [np.array([row]) for row, identity in enumerate(photos.gallery_ids) if identity is None]
    ids: list[Hashable] = [*whole, *[None] * len(unknown)]
    members = [*whole.values(), *unknown]
    first = {identity: entry for entry, identity in enumerate(whole)}
    replaced: dict[tuple[Hashable, Hashable], Positions] = {}
    start = len(ids)
    for identity, camera in photos.asked():
        others = photos.by_others(whole.get(identity, NONE), camera)
        if len(others) == len(whole.get(identity, NONE)):
            continue
        replaced[identity, camera] = np.arange(len(ids), len(ids) + bool(len(others)))
        if len(others):
            ids.append(identity)
            members.append(others)
    substitutes = np.arange(start, len(ids))
    pairs = list(zip(photos.query_ids, photos.query_cameras or [None] * len(photos.query_ids), strict=True))

    def relevant(query: int) -> Positions:
        if pairs[query] in replaced:
            return replaced[pairs[query]]
        entry = first.get(pairs[query][0])
        return NONE if entry is None else np.array([entry])

    def ignored(query: int) -> Positions:
        own = replaced.get(pairs[query])
        if own is None:
            return substitutes
        others = substitutes[~np.isin(substitutes, own)] if len(own) else substitutes
        return np.append(others, first[pairs[query][0]])

    return CentroidGallery(ids, members, relevant, ignored, [photos.seen(rows) for rows in members])


def asked_identities(photos: Photos) -> CentroidGallery:
    """Return entries for the identities that queries ask for.

    Without cameras it is one entry for each identity. With cameras, for every identity that a query asks for
    and every camera among those queries', there is one entry of the photos by other cameras, once for each
    set of cameras used; a query leaves out the entries of its identity in which its camera took part.
    """
    whole = members_of(photos.gallery_ids)
    if photos.gallery_cameras is None:
        chosen = list(whole.items())
    else:
        chosen = []
        seen: set[tuple[Hashable, frozenset[Hashable]]] = set()
        for identity, camera in photos.asked():
            others = photos.by_others(whole.get(identity, NONE), camera)
            key = (identity, photos.seen(others))
            if len(others) and key not in seen:
                seen.add(key)
                chosen.append((identity, others))
    ids = [identity for identity, _ in chosen]
    members = [rows for _, rows in chosen]
    cameras = [photos.seen(rows) for rows in members]
    own = photos.query_cameras
    ignored = same_camera(photos.query_ids, own, ids, cameras) if own is not None else lambda query: NONE
    return CentroidGallery(ids, members, matching(photos.query_ids, ids), ignored, cameras)


def published(photos: Photos) -> CentroidGallery:
    """Return :func:`asked_identities` with the cameras that the published program believes in."""
    if photos.query_cameras is None or photos.gallery_cameras is None:
        return asked_identities(photos)
    shifted = [*photos.query_cameras, *photos.gallery_cameras][: len(photos.gallery_ids)]
    return asked_identities(replace(photos, gallery_cameras=shifted))


DISTRACTOR = "0000"
"""The label of Market-1501's photos of nobody in particular."""

Identities = Literal["every", "asked", "published"]

GALLERIES: dict[Identities, Callable[[Photos], CentroidGallery]] = {
    "every": every_identity,
    "asked": asked_identities,
    "published": published,
}


def centroid_reid(
    queries: NDArray,
    gallery: NDArray,
    *,
    query_ids: Ids,
    gallery_ids: Ids,
    query_cameras: Cameras | None = None,
    gallery_cameras: Cameras | None = None,
    lengths: NDArray | None = None,
    identities: Identities = "every",
    metric: Metric = "cosine",
    ties: Ties = "pessimistic",
    block: int | None = None,
    threads: int | None = None,
) -> ReidFigures:
    """Judge a gallery of centroids instead of photos.

    Args:
        queries: float32 ``[q, d]``.
        gallery: the photos, float32 ``[n, d]``. Where they are of length 1, so are their centroids.
        query_ids: identity of each query.
        gallery_ids: identity of each photo; one of ``None`` stands by itself (``"every"``) or is left
            out.
        query_cameras: camera of each query; without cameras all photos of an identity are in its centroid.
        gallery_cameras: camera of each photo.
        lengths: of the photos' features before they were brought to length 1, float32 ``[n]``.
        identities: that stand in the gallery: ``"every"`` one, only those ``"asked"`` for, or those as in the
            ``"published"`` program.
        metric: what orders the gallery.
        ties: as in :func:`~perisphere.metrics.ranks.rank_blocks`.
        block: queries at a time.
        threads: for counting.

    Raises:
        PerisphereError: as for :func:`~perisphere.metrics.reid.reid`.
    """
    if identities not in GALLERIES:
        raise UsageError(f"identities {identities!r} is unknown; use one of {', '.join(GALLERIES)}.")
    photos = photos_of(queries, gallery, query_ids, gallery_ids, query_cameras, gallery_cameras)
    entries = GALLERIES[identities](photos)
    if not len(entries):
        raise PerisphereError("no gallery photo has an identity that is asked for, so there is no centroid.")
    ranks = exact_ranks(
        queries,
        entries.points(gallery, lengths),
        entries.relevant,
        ignored=entries.ignored,
        metric=metric,
        ties=ties,
        block=block,
        threads=threads,
    )
    return ReidFigures(ranks)


def photos_of(
    queries: NDArray,
    gallery: NDArray,
    query_ids: Ids,
    gallery_ids: Ids,
    query_cameras: Cameras | None = None,
    gallery_cameras: Cameras | None = None,
) -> Photos:
    """Return identities and cameras as plain lists, one a row.

    Raises:
        PerisphereError: not one value a row, or cameras of one side alone.
    """
    if (query_cameras is None) != (gallery_cameras is None):
        raise PerisphereError("cameras of one side alone leave nothing out; give both sides' or none.")
    return Photos(
        plain(query_ids, len(queries), "query_ids"),
        plain(gallery_ids, len(gallery), "gallery_ids"),
        None if query_cameras is None else plain(query_cameras, len(queries), "query_cameras"),
        None if gallery_cameras is None else plain(gallery_cameras, len(gallery), "gallery_cameras"),
    )


def without_distractors(query_ids: Sequence[Hashable], gallery_ids: Sequence[Hashable]) -> list[Hashable]:
    """Return the gallery's identities, ``None`` for the distractors of Market-1501.

    Their label is ``"0000"``, which no query has; they are of many people, so that one centroid of all of
    them would be nobody's. Where a query has that label it is an identity like any other, and so is a product
    ``"0"`` that nobody asks for.
    """
    asked = set(query_ids)
    return [
        None if identity == DISTRACTOR and identity not in asked else identity for identity in gallery_ids
    ]
