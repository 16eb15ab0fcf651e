"""The Index: vectors and their catalog rows in one folder, searchable while they come and go."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.index import centroid_upkeep, exact, kept_codes, kept_files, regions, upkeep, words
from perisphere.index.approximate import Approximate
from perisphere.index.calibration import Calibration, calibrate_with_copies, calibrate_with_labels
from perisphere.index.centroids import Centroids
from perisphere.index.code_blocks import TABLE as CODES_TABLE
from perisphere.index.code_blocks import CodeWriter
from perisphere.index.counts import Counts, Paths, count_paths, count_values
from perisphere.index.duplicates import THRESHOLD, Duplicates, find_duplicates, near_duplicates
from perisphere.index.ids import free_ids, given_ids, present, whole_numbers
from perisphere.index.kept_centroids import MODES, KeptCentroids
from perisphere.index.kept_codes import KeptCodes
from perisphere.index.kept_files import Content, KeptFiles
from perisphere.index.kept_regions import KeptRegions
from perisphere.index.planner import GATHER_SHARE, Plans, Where, condition, passing
from perisphere.index.ranking import Ranking
from perisphere.index.rows import SCHEMA, checked, from_records, to_records
from perisphere.index.snapshot import Snapshot, refreshed
from perisphere.index.splits import names, of_splits, unlearned
from perisphere.index.store import (
    SqliteFile,
    block_rows,
    image_columns,
    keep_concepts,
    last_id,
    read_fact,
    read_rows,
    root_key,
    write_fact,
    write_vectors,
)
from perisphere.index.sums import TABLES, Sums, kept, staying, take_out
from perisphere.index.vectors import clean, matrix
from perisphere.index.waiting import patient_bar
from perisphere.storage import whole_folder

if TYPE_CHECKING:
    from perisphere.codes.codebooks import Codebooks
    from perisphere.encoder import Encoder
    from perisphere.index.filters import Expression

log = logging.getLogger(__name__)

ENCODER = "encoder"
SOURCES = ("auto", "labels", "copies")


class Index:
    """An embedded index: one folder, one writer at a time, any number of readers (processes and threads).

    What a call has added or removed when it returns survives a kill and a power cut. A call that fails or is
    killed changes nothing (a compaction: no result). Every search sees one moment of the index.

    Attributes:
        folder: where it lies.
        dim: values a vector.
        metric: ``"cosine"``, ``"l2"`` or ``"l1"``.
        regions: what a segmentation found in its photos.
        files: what was in the files of its photos.
    """

    def __init__(self, store: SqliteFile) -> None:
        """Use :meth:`create` and :meth:`open`."""
        self._store = store
        self.folder = store.folder
        self.dim = int(store.fact("dim"))
        self.metric = str(store.fact("metric"))
        self._plans = Plans()
        self._approximate = Approximate(store, self.metric)
        self._centroids = KeptCentroids(store, self.dim, self.metric)
        self._only = self._centroids.mode == "only"
        self._codes = KeptCodes(store, self.dim)
        self.regions = KeptRegions(store)
        self.files = KeptFiles(store, self.dim)
        self._refreshing = Lock()
        self._moment = -1
        self._snapshot = Snapshot(self.dim)
        self._encoder: Encoder | None = None

    @classmethod
    def create(
        cls,
        folder: Path | str,
        dim: int | None = None,
        *,
        metric: str = "cosine",
        encoder: Encoder | None = None,
        recall: float | None = None,
        centroids: str | None = None,
        codebooks: Codebooks | None = None,
        codes: str = "beside",
        store: str | None = None,
        overwrite: bool = False,
        fill: Callable[[Index], None] | None = None,
    ) -> Index:
        """Make an empty index.

        Args:
            folder: the new folder.
            dim: values a vector; the encoder's where there is one.
            metric: ``"cosine"`` (rows are stored at length 1), ``"l2"`` or ``"l1"``.
            encoder: what makes the vectors; a copy is kept in the folder, so that it answers for images too.
            recall: the share of the true nearest rows that a search may promise to find, e.g. 0.99; searches
                are exact where it is ``None``.
            centroids: ``"beside"`` keeps one point for each label beside the photos, ``"only"`` keeps these
                points instead of the photos' vectors (the photos' rows are kept).
            codebooks: give each photo a code of one byte a book, by which it is searched (metric cosine).
            codes: ``"beside"`` the vectors, which rank the short list and are read row by row, or ``"only"``
                (instead of them).
            store: an engine for the vectors and rows, ``milvus://HOST:PORT[/DATABASE]`` or a file ``PATH.db``
                of Milvus Lite; the folder holds them where it is ``None``.
            overwrite: replace an existing index.
            fill: is called with the new index before it appears under its name; if it fails, nothing appears.

        Raises:
            PerisphereError: the folder exists, the encoder or the codebooks have another dimension, or the
                codebooks are not of unit rows.
            UsageError: an unknown metric, a dimension or recall out of range, a recall for L1 or without
                photos, codes with another metric, with a recall or without vectors that centroids need, or
                what an index over a store cannot have.
        """
        from perisphere.index.stored import engine_for, refuse_unable, replaced

        dim = _dimension(dim, encoder)
        facts = {"dim": dim, "metric": _metric(metric), "recall": _recall(recall), "encoder": None}
        facts |= _centroid_facts(centroids, recall)
        if codebooks is not None:
            facts |= kept_codes.facts(codebooks, codes, dim)
            kept_codes.check_company(codes, metric, recall, centroids)
        if recall is not None and metric == "l1":
            raise UsageError(
                f"recall {recall}: l1 is always searched exactly. Leave it out, or use the metric l2."
            )
        if store is not None:
            only = centroids if centroids == "only" else None
            refuse_unable(metric, recall=recall, codes=codebooks, centroids_only=only)
        folder = Path(folder)
        with (
            replaced(folder, overwrite),
            engine_for(store, folder, dim, metric) as more,
            whole_folder(folder, overwrite=overwrite) as part,
        ):
            facts |= more
            if encoder is not None:
                encoder.save(part / ENCODER)
                facts["encoder"] = {"name": encoder.name, "identity": encoder.identity}
            tables = [*regions.TABLES, regions.COLUMN, *words.TABLES]
            tables += [*(TABLES if centroids else ()), *([CODES_TABLE] if codebooks is not None else ())]
            SqliteFile.create(part, facts, tables)
            if codebooks is not None:
                codebooks.save(part / kept_codes.FILE)
            if fill is not None:
                with cls.open(part) as index:
                    fill(index)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path | str, *, timeout: float = 10.0) -> Index:
        """Open an index; its vectors are read when they are first needed.

        Args:
            folder: its folder.
            timeout: seconds that a change waits for another writer.

        Raises:
            PerisphereError: no index there, a damaged one, or one of a newer format.
        """
        store = SqliteFile(Path(folder), timeout=timeout)
        if store.fact("store") is None:
            return Index(store)
        from perisphere.index.stored import StoredIndex

        return StoredIndex(store)

    def close(self) -> None:
        """Close the files; the object must not be used after this."""
        self._store.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return the number of images, as of now."""
        with self._store.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM images").fetchone()[0])

    def add(
        self,
        vectors: np.ndarray,
        rows: pl.DataFrame | None = None,
        *,
        ids: Sequence[int] | np.ndarray | None = None,
        root: Path | str | None = None,
        encoder_identity: str | None = None,
        contents: Sequence[Content] | None = None,
    ) -> np.ndarray:
        """Add vectors and their catalog rows, all of them or none.

        Args:
            vectors: floating ``[n, dim]``; may be memory-mapped, and is read in blocks.
            rows: one row a vector, with columns of a catalog (missing ones are null; its ``id`` is not kept).
            ids: ids of your own, each above every id that the index has ever given; else the next free ones.
            root: the folder that the rows' paths start from.
            encoder_identity: :attr:`Encoder.identity` of what made the vectors; the first that the index is
                told binds it, and it refuses vectors of another.
            contents: what was in each photo's file, which :func:`~perisphere.index.sync.sync` compares.

        Returns:
            The ids, int64 ``[n]``, never used before and never again.

        Raises:
            PerisphereError: a wrong dimension or type, NaN, infinity, a zero vector under cosine, a wrong
                number of rows, a photo without a label where only centroids are kept, ids taken or given
                twice, another encoder, another writer, a full disk. The index is then as it was before.
        """
        vectors = matrix(vectors, self.dim)
        table = checked(rows, len(vectors)) if rows is not None else None
        given = None if ids is None else given_ids(ids, len(vectors))
        if not len(vectors):
            return np.empty(0, dtype=np.int64)
        with self._store.writing() as connection, patient_bar("adding", len(vectors)) as advance:
            self._check_encoder(connection, encoder_identity)
            taken = last_id(connection)
            new = np.arange(taken + 1, taken + 1 + len(vectors)) if given is None else free_ids(given, taken)
            order = np.argsort(new, kind="stable")
            step = block_rows(self.dim)
            mode, labels = kept(connection), [None] * len(new) if table is None else table["label"].to_list()
            if mode == "only":
                _refuse_unlabelled(labels)
            sums = None if mode is None else Sums(connection, self.dim)
            coding = None if self._codes.books is None else CodeWriter(connection, self._codes.books)
            for start in range(0, len(new), step):
                part = order[start : start + step]
                block = vectors[start : start + step] if given is None else vectors[part]
                cleaned = clean(block, self.metric, first=start)
                if mode != "only" and self._codes.mode != "only":
                    write_vectors(connection, new[part], cleaned)
                if coding is not None:
                    coding.put(new[part], self._codes.codebooks.encode(cleaned))
                if sums is not None:
                    own = range(start, start + len(block)) if given is None else part.tolist()
                    sums.put([labels[place] for place in own], cleaned)
                advance(len(block))
            if coding is not None:
                coding.write()
            if sums is not None:
                sums.write()
            _insert_rows(connection, new, table, root)
            words.come(connection, after=taken)
            if contents is not None:
                kept_files.write(connection, new, contents)
        self._keep_up(self._rebuild_if_due)
        return new

    def remove(self, ids: Sequence[int] | np.ndarray | int, *, vectors: np.ndarray | None = None) -> int:
        """Remove rows by id and return how many; space is given back by :meth:`compact`, at times by itself.

        Args:
            ids: which.
            vectors: what :meth:`add` was given for them, floating ``[n, dim]``; needed where only centroids
                are kept and some photos of a label leave others behind (:meth:`leaving_others`).

        Raises:
            PerisphereError: an id that is not in the index, or vectors that are needed and missing; nothing
                is removed then.
        """
        unique, first = np.unique(whole_numbers(ids), return_index=True)
        if vectors is not None:
            vectors = clean(matrix(vectors, self.dim), self.metric)[first]
        with self._store.writing() as connection:
            missing = np.setdiff1d(unique, present(connection, unique))
            if len(missing):
                raise PerisphereError(f"The index holds no image with id {missing[0]}. Nothing was removed.")
            values = [(id_,) for id_ in unique.tolist()]
            mode = kept(connection)
            if mode is not None:
                take_out(connection, self.dim, unique, mode, vectors)
            if mode != "only":
                connection.executemany("INSERT INTO tombstones (id) VALUES (?)", values)
            connection.executemany("DELETE FROM images WHERE id = ?", values)
        self._keep_up(self._compact_if_due)
        return len(unique)

    def search(
        self,
        queries: np.ndarray,
        k: int = 10,
        *,
        metric: str | None = None,
        where: Expression | str | None = None,
        min_score: float | None = None,
        exact: bool = False,
        shortlist: int | None = None,
        symmetric: bool = False,
    ) -> Ranking:
        """Return the ``k`` nearest images of each query, or all of them where the index holds fewer.

        An index with codes scans them. Where it keeps vectors too, these rank the short list of the best
        codes, and the scores are theirs; else a score is the inner product of the query with what the code
        says of the vector, and of equal scores the lower id comes first. Other searches leave the order of
        equal scores open.

        Args:
            queries: floating ``[q, dim]`` or ``[dim]``; there may be none.
            k: how many results a query.
            metric: another metric than the index's own.
            where: a filter on the catalog columns, e.g. ``"label == 'dome' and camera != 2"``.
            min_score: leave out results that score lower.
            exact: search exactly, by all vectors, even where the index was made with a recall or with codes.
            shortlist: how many of the best codes are ranked by their vectors; 0 ranks by codes alone. By
                default 100, or ``2 k`` where that is more.
            symmetric: rank by codes alone, of the queries too.

        Raises:
            PerisphereError: queries of another dimension, NaN, or a zero query under cosine; codes are asked
                for where there are none, or vectors where there are codes only.
            UsageError: ``k`` below 1, an unknown metric, a NaN for a score, a filter that cannot be read, or
                a short list that is shorter than ``k`` or has no vectors to be ranked by.
        """
        metric, wanted = self._asked(queries, k, metric, min_score)
        filtered = None if where is None else condition(where)
        if self._by_codes(metric, exact, shortlist, symmetric):
            (ids, scores), road = self._codes.search(
                wanted, k, filtered, shortlist=shortlist, symmetric=symmetric
            )
        else:
            snapshot = self._fresh()
            k = min(k, len(snapshot))
            (ids, scores), road = self._answer(snapshot, wanted, k, metric, filtered, exact)
        ranking = Ranking(ids, scores, road, metric)
        return ranking if min_score is None else ranking.at_least(min_score)

    @property
    def centroids_kept(self) -> str | None:
        """``"beside"`` the photos, ``"only"`` (no photo's vector), or ``None``: no centroids."""
        return self._centroids.mode

    @property
    def codes_kept(self) -> str | None:
        """``"beside"`` the photos' vectors, ``"only"`` (instead of them), or ``None``: no codes."""
        return self._codes.mode

    @property
    def codebooks(self) -> Codebooks:
        """What the codes mean.

        Raises:
            PerisphereError: the index keeps no codes, or its codebooks are damaged or others.
        """
        return self._codes.codebooks

    def keep_centroids(self) -> int:
        """Keep one point for each label from now on, beside the photos, and return how many there are.

        Raises:
            PerisphereError: the index keeps codes only, and no vectors to take the mean of.
        """
        if self.codes_kept == "only":
            raise self._no_vectors("centroids are means of vectors")
        centroid_upkeep.build(self._store, self.dim)
        return len(self.centroids())

    def centroids(self, where: Expression | str | None = None) -> Centroids:
        """Return the centroids of all labelled photos, or of those that pass a filter.

        Raises:
            PerisphereError: the index keeps no centroids.
            UsageError: a filter that cannot be read, or one on more than labels where only centroids are
                kept.
        """
        if where is None:
            return self._centroids.now()
        photos = Snapshot(self.dim) if self._only else self._fresh()
        return self._centroids.passing(photos, where)

    def some_of(
        self,
        label: str,
        count: int,
        where: Expression | str | None = None,
        *,
        without: Iterable[int] = (),
    ) -> np.ndarray:
        """Return the ids, int64, of the first ``count`` photos of a label that pass, ``without`` some."""
        text, values = ("1", ()) if where is None else condition(where)
        query = (
            "SELECT id FROM images WHERE label = ? AND id NOT IN (SELECT value FROM json_each(?)) "
            f"AND ({text}) ORDER BY id LIMIT ?"
        )
        with self._store.reading() as connection:
            found = connection.execute(query, (label, str(list(without)), *values, count)).fetchall()
        return np.array([id_ for (id_,) in found], dtype=np.int64)

    def leaving_others(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return those of ``ids``, int64 ascending, whose labels would keep other photos if they went."""
        with self._store.reading() as connection:
            return staying(connection, np.unique(whole_numbers(ids)))

    def vectors(self, ids: Sequence[int] | np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return ``ids``, or all, as int64 ``[n]``, and their vectors as float32 ``[n, dim]`` (a copy).

        Where the index keeps codes only, these are what the codes say of the vectors, of any length.

        Raises:
            PerisphereError: an id that is not in the index.
        """
        if self.codes_kept == "only":
            return self._codes.decoded(None if ids is None else whole_numbers(ids))
        if self.codes_kept and ids is not None:
            return self._some_vectors(whole_numbers(ids))
        snapshot = self._fresh()
        wanted = snapshot.ids if ids is None else whole_numbers(ids)
        refuse_missing(wanted, snapshot.holds(wanted))
        return wanted, snapshot.gather(wanted)

    def rows(
        self, ids: Sequence[int] | np.ndarray | None = None, *, missing_ok: bool = False
    ) -> pl.DataFrame:
        """Return the catalog rows of ``ids`` in their order, or of all by id; ``root`` is the last column.

        Args:
            ids: which rows.
            missing_ok: leave out ids that are not in the index, e.g. of rows removed since they were found.

        Raises:
            PerisphereError: an id that is not in the index, unless ``missing_ok``.
        """
        names = ["id", *SCHEMA, "root"]
        with self._store.reading() as connection:
            held = image_columns(connection)
            columns = ", ".join(f"images.{name}" if name in held else "NULL" for name in names[:-1])
            query = f"SELECT {columns}, roots.path FROM images LEFT JOIN roots ON roots.id = images.root"
            if ids is None:
                return from_records(connection.execute(f"{query} ORDER BY images.id").fetchall(), names)
            wanted = whole_numbers(ids)
            chosen = f"{query} WHERE images.id IN (SELECT value FROM json_each(?))"
            found = {record[0]: record for record in connection.execute(chosen, (str(wanted.tolist()),))}
        if not missing_ok:
            refuse_missing(wanted, np.array([id_ in found for id_ in wanted.tolist()], bool))
        return from_records([found[id_] for id_ in wanted.tolist() if id_ in found], names)

    def paths(self) -> Iterator[tuple[int, str | None, str]]:
        """Yield id, root and path of the photos that have a path, by id, as of now."""
        query = (
            "SELECT images.id, roots.path, images.path FROM images LEFT JOIN roots ON roots.id = images.root "
            "WHERE images.path IS NOT NULL ORDER BY images.id"
        )
        with self._store.reading() as connection:
            yield from connection.execute(query)

    def ids(self, where: Expression | str | None = None) -> np.ndarray:
        """Return the ids, int64 ascending, of all images or of those that pass a filter."""
        with self._store.reading() as connection:
            return passing(connection, ("1", ()) if where is None else condition(where))

    def counts(
        self, column: str, where: Expression | str | None = None, *, most: int | None = None
    ) -> Counts:
        """Return how many images have each value of a column, the most frequent first.

        Args:
            column: of texts, or of lists, whose elements count.
            where: count only images that pass this filter.
            most: how many values, at most.

        Raises:
            UsageError: a column of numbers, an unknown one, or a filter that cannot be read.
        """
        filtered = None if where is None else condition(where)
        with self._store.reading() as connection:
            return count_values(connection, column, filtered, most)

    def category_paths(self) -> Paths:
        """Return each list of categories, root first, and how many images have it."""
        with self._store.reading() as connection:
            return count_paths(connection)

    def matches(
        self, terms: Sequence[Sequence[str]], where: Expression | str | None = None
    ) -> list[dict[int, float]]:
        """Return for each term the photos whose text has some word of it: BM25 by id.

        The text of a photo is its label, caption, categories, tags and concepts.

        Args:
            terms: each the words or phrases that mean the same; several in one photo add up.
            where: a filter.
        """
        filtered = None if where is None else condition(where)
        with self._store.reading() as connection:
            return words.matches(connection, terms, filtered)

    def encoder(self) -> Encoder | None:
        """Return the encoder kept in the folder, or ``None`` where the index was made without one.

        Raises:
            PerisphereError: the copy is missing, damaged, or not the one that made the vectors.
        """
        if self._encoder is None and (self.folder / ENCODER).exists():
            from perisphere.encoder import Encoder

            encoder = Encoder.load(self.folder / ENCODER)
            identity = (self._store.fact("encoder") or {}).get("identity")
            if encoder.identity != identity:
                raise PerisphereError(
                    f"{self.folder / ENCODER}: is not the encoder that made this index "
                    f"({encoder.identity} instead of {identity}). Put the right one back."
                )
            self._encoder = encoder
        return self._encoder

    def info(self) -> dict[str, Any]:
        """Return what the index is and holds, and what a compaction would reclaim; plain values, for JSON."""
        images = len(self)
        with self._store.reading() as connection:
            identities = connection.execute("SELECT count(DISTINCT label) FROM images").fetchone()[0]
            found = regions.counted(connection)
        calibration = self.calibration
        size = sum(file.stat().st_size for file in self.folder.glob("index.sqlite*"))
        return {
            "folder": str(self.folder),
            "format": self._store.fact("format"),
            "images": images,
            "dim": self.dim,
            "metric": self.metric,
            "encoder": self._store.fact("encoder"),
            "store": None,
            "bytes": size,
            "bytes_per_image": round(size / images, 1) if images else None,
            "centroids": self.centroids_kept,
            "identities": identities,
            "bytes_per_identity": round(size / identities, 1) if identities else None,
            "codes": self._codes.info(),
            "regions": found,
            **upkeep.debt(self._store, codes=self._codes.books is not None),
            "recall": self._store.fact("recall"),
            "ann": self._approximate.info(),
            "calibration": None if calibration is None else calibration.source,
            "calibration_splits": None if calibration is None else list(calibration.splits),
        }

    def verify(self) -> list[str]:
        """Read all of the index and return what is wrong with it, one line a problem."""
        unit_rows = self.metric == "cosine"
        photos = not self._only and self.codes_kept != "only"
        problems = upkeep.verify(self._store, self.dim, unit_rows=unit_rows, photos=photos)
        problems += self._codes.verify()
        with self._store.reading() as connection:
            problems += regions.faults(connection) + words.faults(connection)
        if not problems:  # sums are compared with photos that are whole
            problems = centroid_upkeep.verify(self._store, self.dim, unit_rows=unit_rows)
        return problems + self._approximate.verify()

    def compact(self) -> int:
        """Reclaim the space of removed rows, join small blocks, and return the number of rows reclaimed."""
        only = self.codes_kept == "only"
        reclaimed = upkeep.compact(self._store, self.dim, self._codes.books, codes_only=only)
        self._rebuild_if_due(thorough=True)
        return reclaimed

    def build(self, *, recall: float | None = None, seed: int = 0) -> dict[str, Any]:
        """Build the approximate search anew, as :meth:`add` does by itself when it is due; return its facts.

        Args:
            recall: a new target, kept in the index; else the one that it was made with.
            seed: of the sample that the effort is tuned on.

        Raises:
            UsageError: there is no target, the metric is L1, which is always searched exactly, or the index
                keeps codes.
            PerisphereError: there are too few images to build from.
        """
        target = _recall(self._store.fact("recall") if recall is None else recall)
        if self.codes_kept:
            raise UsageError(f"{self.folder}: is searched by its codes, so that no recall can be asked for.")
        if target is None or self.metric == "l1":
            reason = "its metric is l1" if self.metric == "l1" else "no recall was asked for (--recall)"
            raise UsageError(f"{self.folder}: is always searched exactly, as {reason}.")
        if recall is not None:
            self._store.set_facts(recall=target)
        return self._approximate.build(self._fresh(), target, seed)

    def duplicates(self, threshold: float = THRESHOLD) -> Duplicates:
        """Return all pairs of images with a cosine of at least ``threshold``.

        Raises:
            UsageError: the threshold is out of range.
            PerisphereError: the index keeps codes only: photos of one code may be far from duplicates.
        """
        if self.codes_kept == "only":
            raise self._no_vectors("near-duplicates are told by vectors")
        ids, vectors = self.vectors()
        return find_duplicates(ids, vectors, threshold)

    def near(self, vector: np.ndarray, threshold: float = THRESHOLD) -> list[tuple[int, float]]:
        """Return ``(id, cosine)`` of the near-duplicates of one new image (``[dim]``), best first.

        Raises:
            PerisphereError: a vector of another dimension, NaN, or zero.
            UsageError: the threshold is out of range.
        """
        query = clean(matrix(vector, self.dim, "vector"), "cosine")
        if len(query) != 1:
            raise PerisphereError(f"{len(query)} vectors were given: ask for one image at a time.")
        found: list[tuple[int, float]] = []
        for segment in self._fresh().segments:
            ids, scores = near_duplicates(query[0], segment.ids, segment.vectors, threshold)
            found += zip(ids.tolist(), scores.tolist(), strict=True)
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    @property
    def calibration(self) -> Calibration | None:
        """How sure each score is, as :meth:`calibrate` measured it; ``None`` before that."""
        text = self._store.fact("calibration")
        return None if text is None else Calibration.from_json(text)

    def calibrate(
        self,
        *,
        source: str = "auto",
        metric: str | None = None,
        splits: Sequence[str] | None = None,
        seed: int = 0,
    ) -> Calibration:
        """Measure how precise a result of each score is, and keep it in the index.

        Args:
            source: ``"labels"`` (pairs of one label are right), ``"copies"`` (altered copies of the photos,
                encoded with the index's encoder), or ``"auto"``: labels where at least two images share one.
            metric: the metric of the scores; the index's own by default.
            splits: only the images of these splits; by default those outside the split ``train``, which the
                encoder may have learned by heart, unless the others share no label (for copies: unless there
                are no others).
            seed: of the samples.

        Raises:
            UsageError: an unknown source, metric or split.
            PerisphereError: no labels, no encoder, no photos or no vectors, where they are needed.
        """
        if self.codes_kept == "only":
            raise self._no_vectors("precisions are measured on vectors")
        if source not in SOURCES:
            raise UsageError(f"The source {source!r} is unknown: choose one of {', '.join(SOURCES)}.")
        metric = self.metric if metric is None else _metric(metric)
        ids, vectors = self.vectors()
        rows = self.rows(ids)
        if splits is not None:
            chosen = of_splits(rows, splits)
        if source == "auto":
            labels = rows["label"] if splits is None else rows["label"].filter(chosen)
            source = "labels" if labels.drop_nulls().is_duplicated().any() else "copies"
        if splits is None:
            chosen = unlearned(rows, labelled=source == "labels")
        if source == "labels":
            chosen &= rows["label"].is_not_null()
            labels = rows.select(pl.when(chosen).then("label"))["label"]
            found = calibrate_with_labels(vectors, labels.to_list(), metric=metric, seed=seed)
        else:
            files, encode = _files(rows), self._needed_encoder().encode
            found = calibrate_with_copies(
                files, vectors, encode, metric=metric, chosen=chosen.to_numpy(), seed=seed
            )
        found = replace(found, splits=tuple(names(rows.filter(chosen))))
        self._store.set_facts(calibration=found.to_json())
        return found

    def _needed_encoder(self) -> Encoder:
        encoder = self.encoder()
        if encoder is None:
            raise PerisphereError(
                f"{self.folder}: holds no encoder to make copies with. Label the images, or create the index "
                f"with --encoder."
            )
        return encoder

    def _keep_up(self, work: Callable[[], None]) -> None:
        """Do ``work`` after a change. The change stands, so a failure here must not look like its own."""
        try:
            work()
        except Exception as error:
            log.warning(
                "%s: was changed as asked, but the upkeep after it failed; the next change tries again: %s",
                self.folder,
                error,
            )

    def _compact_if_due(self) -> None:
        if upkeep.is_due(self._store, len(self)):
            self.compact()

    def _rebuild_if_due(self, *, thorough: bool = False) -> None:
        recall = self._store.fact("recall")
        if recall is not None and self.metric != "l1":
            self._approximate.rebuild_if_due(self._fresh, recall, thorough=thorough)

    def _asked(
        self, queries: np.ndarray, k: int, metric: str | None, min_score: float | None
    ) -> tuple[str, np.ndarray]:
        """Check what :meth:`search` was asked; return the metric, and the queries as it takes them."""
        metric = self.metric if metric is None else _metric(metric)
        if k < 1:
            raise UsageError(f"k is {k}: ask for at least 1 result.")
        if min_score is not None and isnan(min_score):
            raise UsageError("the least score is nan: give a number, or leave it out.")
        return metric, clean(matrix(queries, self.dim, "queries"), metric, what="query")

    def _by_codes(self, metric: str, exactly: bool, shortlist: int | None, symmetric: bool) -> bool:
        """Say whether codes answer; vectors do where all of them, or another metric, are asked for."""
        asked = shortlist is not None or symmetric
        if asked and (exactly or metric != "cosine"):
            other = "an exact search" if exactly else f"the metric {metric}"
            raise UsageError(
                f"{other} takes all vectors and no codes: leave the short list and symmetric out."
            )
        return asked or (self.codes_kept is not None and not exactly and metric == "cosine")

    def _some_vectors(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read the vectors of ``ids`` (any order) alone."""
        unique, back = np.unique(ids, return_inverse=True)
        with self._store.reading() as connection:
            refuse_missing(unique, np.isin(unique, present(connection, unique)))
            parts = [rows for _, rows in read_rows(connection, self.dim, unique)]
        return ids, np.concatenate([np.empty((0, self.dim), np.float32), *parts])[back]

    def _no_vectors(self, reason: str) -> PerisphereError:
        return PerisphereError(
            f"{self.folder}: keeps codes only, and {reason}. Make an index that keeps both "
            "(`perisphere index create --codes`, without --codes-only)."
        )

    def _fresh(self) -> Snapshot:
        if self.codes_kept == "only":
            raise self._no_vectors("an exact search, another metric or a centroid takes vectors")
        if self._only:
            raise PerisphereError(
                f"{self.folder}: keeps centroids only, and no photo's vector. Search among centroids, or "
                "make an index of the photos too (`perisphere index create --centroids`)."
            )
        moment = self._store.moment()
        if moment == self._moment:
            return self._snapshot
        with self._refreshing:
            moment = self._store.moment()
            if moment != self._moment:
                with self._store.reading() as connection:
                    self._snapshot = refreshed(self._snapshot, connection)
                    self._plans.forget()
                    self._approximate.refresh(connection)
                self._moment = moment
            return self._snapshot

    def _answer(
        self, snapshot: Snapshot, queries: np.ndarray, k: int, metric: str, where: Where | None, exactly: bool
    ) -> tuple[exact.Found, str]:
        """Choose the road: exact, gathered where a filter leaves little, or by cells for a recall."""
        plan = None if where is None else self._plans.plan(snapshot, where, self._store)
        wide = plan is None or plan.count > GATHER_SHARE * len(snapshot)
        if wide and not exactly and metric == self.metric:
            found = self._approximate.search(snapshot, queries, k, plan)
            if found is not None:
                return found
        pieces = exact.everything(snapshot) if plan is None else plan.pieces()
        road = "exact" if plan is None else "gather + exact"
        return exact.search(pieces, queries, k, metric, normalised=self.metric == "cosine"), road

    def _check_encoder(self, connection: sqlite3.Connection, identity: str | None) -> None:
        """Refuse vectors of another encoder; the first that is named is the one, whatever came before it."""
        if identity is None:
            return
        known = read_fact(connection, "encoder", None)
        if known is None:
            write_fact(connection, "encoder", {"name": None, "identity": identity})
        elif known["identity"] != identity:
            raise PerisphereError(
                f"{self.folder}: was made with the encoder {known['name'] or ''} ({known['identity']}), and "
                f"these vectors with another ({identity}). Embed them with the index's encoder, or create "
                f"an index of their own."
            )


def _metric(metric: str) -> str:
    if metric not in exact.METRICS:
        known = list(exact.METRICS)
        raise UsageError(
            f"The metric {metric!r} is unknown: choose one of {', '.join(known)}.{nearest(metric, known)}"
        )
    return metric


def _recall(recall: float | None) -> float | None:
    if recall is not None and not 0 < recall <= 1:
        raise UsageError(f"The recall {recall} is out of range: give a share above 0 and up to 1, e.g. 0.99.")
    return recall


def _centroid_facts(centroids: str | None, recall: float | None) -> dict[str, Any]:
    if centroids is None:
        return {}
    if centroids not in MODES:
        raise UsageError(f"The centroids {centroids!r} are unknown: choose one of {', '.join(MODES)}.")
    if centroids == "only" and recall is not None:
        raise UsageError(f"recall {recall}: centroids are always searched exactly. Leave it out.")
    return {"centroids": centroids}


def _refuse_unlabelled(labels: Sequence[str | None]) -> None:
    missing = sum(label is None for label in labels)
    if missing:
        raise PerisphereError(
            f"{missing} of {len(labels)} photos have no label, and this index keeps nothing but the centroid "
            "of each label. Give them labels, leave them out, or keep photos too (--centroids)."
        )


def _dimension(dim: int | None, encoder: Encoder | None) -> int:
    if dim is None and encoder is not None:
        return int(encoder.dim)
    if dim is None or not 1 <= dim <= 65_536:
        raise UsageError(f"The dimension {dim} is out of range: give 1 to 65536.")
    if encoder is not None and encoder.dim != dim:
        raise PerisphereError(f"The encoder makes vectors of {encoder.dim} values, not {dim}: leave dim out.")
    return int(dim)


def _insert_rows(
    connection: Any, ids: np.ndarray, table: pl.DataFrame | None, root: Path | str | None
) -> None:
    keep_concepts(connection)
    names = ["id", *SCHEMA, "root"]
    key = root_key(connection, root)
    records = to_records(table) if table is not None else ((None,) * len(SCHEMA) for _ in range(len(ids)))
    places = ", ".join("?" for _ in names)
    connection.executemany(
        f"INSERT INTO images ({', '.join(names)}) VALUES ({places})",
        ((id_, *record, key) for id_, record in zip(ids.tolist(), records, strict=True)),
    )


def refuse_missing(wanted: np.ndarray, held: np.ndarray) -> None:
    """Refuse ids (int64) of which some are not ``held`` (boolean), by the first of them."""
    if not held.all():
        raise PerisphereError(f"The index holds no image with id {wanted[~held][0]}.")


def _files(rows: pl.DataFrame) -> list[Path]:
    if rows["path"].has_nulls():
        raise PerisphereError("An image of the index has no path to make copies from: add rows with paths.")
    return [Path(root or ".") / path for root, path in rows.select("root", "path").iter_rows()]
