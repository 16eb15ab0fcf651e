"""Which photos are right for a query, by geometry: those that show the same points of the landmark."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perisphere.catalog.scenes.parts import PART_ID, SURROUNDINGS
from perisphere.catalog.scenes.photo import Photo
from perisphere.errors import PerisphereError

QUERIES = 5  # of each landmark, as in Oxford 5k and Paris 6k
ENOUGH = 8  # surface points that make a photo fit for a query
GOOD, RIGHT = 0.5, 0.25  # shares of the query's points; below RIGHT a photo is junk

_DAYLIGHT = frozenset(("morning", "noon", "afternoon", "overcast"))
_AROUND = [PART_ID[name] for name in sorted(SURROUNDINGS)]


@dataclass(frozen=True)
class Shot:
    """What the ground truth must know of a photo.

    Attributes:
        name: the file's stem.
        label: the landmark.
        view: where it was taken from.
        daylight: neither dusk nor night.
        points: numbers of the landmark's surface points that it shows.
        box: x0, y0, x1, y1 around the landmark in pixels, x1 and y1 outside; the whole photo where it shows
            nothing of it.
    """

    name: str
    label: str
    view: str
    daylight: bool
    points: frozenset[int]
    box: tuple[int, int, int, int]

    @classmethod
    def of(cls, photo: Photo, name: str) -> "Shot":
        """Return what is true of a photo that is stored as ``name``."""
        points = frozenset(photo.keypoints.tolist())
        return cls(name, photo.landmark.slug, photo.view, photo.light in _DAYLIGHT, points, _box(photo.parts))


def _box(parts: np.ndarray) -> tuple[int, int, int, int]:
    building = ~np.isin(parts, _AROUND)
    rows, columns = (np.flatnonzero(building.any(axis)) for axis in (1, 0))
    if not len(rows):
        return 0, 0, parts.shape[1], parts.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def share(query: Shot, shot: Shot) -> float:
    """Return the share of the query's surface points that ``shot`` shows, 0 to 1; 0 for another landmark."""
    if query.label != shot.label or not query.points:
        return 0.0
    return len(query.points & shot.points) / len(query.points)


def choose_queries(shots: Sequence[Shot]) -> list[Shot]:
    """Choose up to :data:`QUERIES` photos of each landmark, at most a quarter, from views that differ most.

    Raises:
        PerisphereError: no photo shows enough of its landmark.
    """
    chosen = []
    for label in dict.fromkeys(shot.label for shot in shots):
        photos = [shot for shot in shots if shot.label == label]
        fit = [shot for shot in photos if len(shot.points) >= ENOUGH]
        number = min(QUERIES, max(1, len(photos) // 4))
        taken: list[Shot] = []
        while fit and len(taken) < number:
            views = [shot.view for shot in taken]
            best = min(fit, key=lambda shot: _rank(shot, views))
            taken.append(best)
            fit.remove(best)
        chosen += taken
    if not chosen:
        raise no_query()
    return chosen


def _rank(shot: Shot, views: list[str]) -> tuple[bool, int, bool, int]:
    """Order photos: the whole building first, then a view not asked from yet, daylight, much to see."""
    return shot.view in ("close", "far"), views.count(shot.view), not shot.daylight, -len(shot.points)


def no_query() -> PerisphereError:
    """Return the error of a collection that has nothing to ask for."""
    return PerisphereError(
        f"no photo shows {ENOUGH} surface points of its landmark, so there is no query. Take more --photos, "
        "or larger ones (--size), or lower --difficulty."
    )


def classic_lists(query: Shot, shots: Sequence[Shot]) -> dict[str, list[str]]:
    """Return names by ``good``, ``ok`` and ``junk``: all photos of the query's landmark, its own included."""
    lists: dict[str, list[str]] = {"good": [], "ok": [], "junk": []}
    for shot in shots:
        if shot.label == query.label:
            seen = share(query, shot)
            lists["good" if seen >= GOOD else "ok" if seen >= RIGHT else "junk"].append(shot.name)
    return lists


def revisited_lists(query: Shot, shots: Sequence[Shot]) -> dict[str, list[int]]:
    """Return positions in ``shots`` by ``easy`` (by daylight), ``hard`` and ``junk``."""
    lists: dict[str, list[int]] = {"easy": [], "hard": [], "junk": []}
    for position, shot in enumerate(shots):
        if shot.label == query.label:
            seen = share(query, shot)
            easy = seen >= GOOD and shot.daylight
            lists["easy" if easy else "hard" if seen >= RIGHT else "junk"].append(position)
    return lists
