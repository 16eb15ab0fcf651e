"""The two galleries that re-rankers work on: arrays in memory, and an index on disk."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.index.filters import And, Expression, In, parse
from perisphere.index.ranking import Ranking
from perisphere.search.rerank.context import Gallery, Ids
from perisphere.sphere import top_k
from perisphere.sphere.geometry import Metric, Vectors, as_vectors, check_metric, finite_squares, is_unit
from perisphere.sphere.geometry import normalise as unit_rows


class ArrayGallery:
    """A gallery in memory.

    Args:
        vectors: ``[n, d]``; copied only where cosine is asked for and they are not unit rows.
        metric: ``"cosine"``, ``"l2"`` or ``"l1"``.
        ids: int64 ``[n]``, each once; the places by default.
        labels: one each, where there are any.
        files: one each, where they are known.

    Raises:
        PerisphereError: lengths that differ, an id twice, or rows that are not finite.
    """

    def __init__(
        self,
        vectors: NDArray,
        metric: Metric = "cosine",
        *,
        ids: Sequence[int] | NDArray | None = None,
        labels: Sequence[str | None] | None = None,
        files: Sequence[Path | None] | None = None,
    ) -> None:
        check_metric(metric)
        rows = as_vectors(vectors)
        if metric == "cosine" and not is_unit(finite_squares(rows)):
            rows = unit_rows(rows)
        self._rows, self._metric = rows, metric
        self._ids = np.arange(len(rows)) if ids is None else np.asarray(ids, np.int64)
        self._labels = [None] * len(rows) if labels is None else list(labels)
        self._files = [None] * len(rows) if files is None else list(files)
        for name, values in (("ids", self._ids), ("labels", self._labels), ("files", self._files)):
            if len(values) != len(rows):
                raise PerisphereError(f"{len(values)} {name} for {len(rows)} vectors. Give one each.")
        self._counted = bool(np.array_equal(self._ids, np.arange(len(rows))))
        self._order = np.argsort(self._ids, kind="stable")
        self._sorted = self._ids[self._order]
        if (self._sorted[1:] == self._sorted[:-1]).any():
            raise PerisphereError("an id of the gallery is there twice. Give each image its own.")

    @property
    def metric(self) -> str:
        """The metric of :meth:`search`."""
        return self._metric

    def ids(self) -> Ids:
        """Return all ids, in the order of the vectors."""
        return self._ids

    def vectors(self, ids: Ids) -> Vectors:
        """Return the rows of ``ids``: all of them, in order, without a copy."""
        if len(ids) == len(self._ids) and np.array_equal(ids, self._ids):
            return self._rows
        return self._rows[self._places(ids)]

    def labels(self, ids: Ids) -> list[str | None]:
        """Return the labels of ``ids``."""
        return [self._labels[place] for place in self._places(ids).tolist()]

    def members(self, label: str) -> Ids:
        """Return the ids with a label, in the order of the vectors."""
        return self._ids[self._classes.get(label, np.empty(0, np.int64))]

    def files(self, ids: Ids) -> list[Path | None]:
        """Return the files of ``ids``."""
        return [self._files[place] for place in self._places(ids).tolist()]

    def search(self, vectors: NDArray, k: int) -> Ranking:
        """Return the ``k`` nearest rows of each vector, exactly."""
        places, scores = top_k(vectors, self._rows, k, metric=self._metric)
        ids = places if self._counted else np.where(places < 0, places, self._ids[places])
        return Ranking(ids, scores, "exact", self._metric)

    @cached_property
    def _classes(self) -> dict[str | None, NDArray[np.int64]]:
        places: dict[str | None, list[int]] = defaultdict(list)
        for place, label in enumerate(self._labels):
            places[label].append(place)
        return {label: np.array(found) for label, found in places.items() if label is not None}

    def _places(self, ids: Ids) -> NDArray[np.int64]:
        ids = np.asarray(ids, np.int64)
        at = ids if self._counted else np.searchsorted(self._sorted, ids)
        known = (at >= 0) & (at < len(self._ids))
        if not self._counted and len(self._ids):
            known &= self._sorted[np.minimum(at, len(self._ids) - 1)] == ids
        if not known.all():
            raise PerisphereError(f"the gallery holds no image with id {ids[~known][0]}.")
        return at if self._counted else self._order[at]


class IndexGallery:
    """An open index, or those of its images that pass a filter.

    Args:
        index: the index.
        metric: another metric than its own.
        where: a filter on the catalog's columns.
        exact: search exactly even where the index was made with a recall or with codes.
        shortlist: of an index with codes, how many of the best are ranked by their vectors.
        symmetric: search an index with codes by the codes of the queries too.
    """

    def __init__(
        self,
        index: Index,
        *,
        metric: str | None = None,
        where: Expression | str | None = None,
        exact: bool = False,
        shortlist: int | None = None,
        symmetric: bool = False,
    ) -> None:
        self._index, self._metric, self._exact = index, metric or index.metric, exact
        self._shortlist, self._symmetric = shortlist, symmetric
        self._where = parse(where) if isinstance(where, str) else where

    @property
    def metric(self) -> str:
        """The metric of :meth:`search`."""
        return self._metric

    def ids(self) -> Ids:
        """Return the ids of all images that pass, ascending."""
        return self._index.ids(self._where)

    def vectors(self, ids: Ids) -> Vectors:
        """Return the vectors of ``ids``, a copy; unit rows for cosine."""
        found = self._index.vectors(ids)[1]
        return unit_rows(found) if self._metric == "cosine" != self._index.metric else found

    def labels(self, ids: Ids) -> list[str | None]:
        """Return the labels of ``ids``."""
        return self._rows(ids, "label")

    def members(self, label: str) -> Ids:
        """Return the ids with a label that pass, ascending."""
        wanted: Expression = In("label", (label,))
        return self._index.ids(wanted if self._where is None else And((self._where, wanted)))

    def files(self, ids: Ids) -> list[Path | None]:
        """Return where the photos of ``ids`` lie, as far as the index knows."""
        unique, back = np.unique(ids, return_inverse=True)
        found = [file_of(row) for row in self._index.rows(unique).iter_rows(named=True)]
        return [found[place] for place in back.tolist()]

    def search(self, vectors: NDArray, k: int) -> Ranking:
        """Return the ``k`` nearest images of each vector."""
        return self._index.search(
            vectors,
            k,
            metric=self._metric,
            where=self._where,
            exact=self._exact,
            shortlist=self._shortlist,
            symmetric=self._symmetric,
        )

    def _rows(self, ids: Ids, column: str) -> list[Any]:
        unique, back = np.unique(ids, return_inverse=True)
        values = self._index.rows(unique)[column].to_list()
        return [values[place] for place in back.tolist()]


class MovedGallery:
    """The images of a gallery with other vectors, which are held in memory.

    Args:
        original: the gallery.
        vectors: ``[n, d]``, in the order of its ids.
    """

    def __init__(self, original: Gallery, vectors: NDArray) -> None:
        self._original = original
        metric: Any = original.metric
        self._points = ArrayGallery(vectors, metric, ids=original.ids())
        self.ids, self.vectors, self.search = self._points.ids, self._points.vectors, self._points.search
        self.labels, self.members, self.files = original.labels, original.members, original.files

    @property
    def metric(self) -> str:
        """The metric of the original."""
        return self._original.metric


def file_of(row: dict[str, Any]) -> Path | None:
    """Return where the photo of an index's row lies, ``None`` where the index does not know."""
    path, root = row["path"], row["root"]
    if path is None or (root is None and not path.startswith("/")):
        return None
    return Path(path if path.startswith("/") else f"{root}/{path}")  # joining Paths takes three times as long
