"""Regions in the store: which concepts a segmentation found in each photo, and where.

A photo that was segmented has the list of its concepts in the column ``regions`` of its row, empty where
nothing was found and null where it was never segmented; each region has a row of its own beside it.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.index.store import REGIONS_FORMAT, image_columns, keep_concepts, read_fact, write_fact

Outline = tuple[tuple[tuple[int, int], ...], ...]
"""Closed polygons of x, y in pixels of the photo."""

TABLES = (
    "CREATE TABLE regions (id INTEGER PRIMARY KEY AUTOINCREMENT, image INTEGER NOT NULL, "
    "concept TEXT NOT NULL, score REAL NOT NULL, share REAL NOT NULL, x0 INTEGER NOT NULL, "
    "y0 INTEGER NOT NULL, x1 INTEGER NOT NULL, y1 INTEGER NOT NULL, outline TEXT NOT NULL, vector BLOB, "
    "crc INTEGER NOT NULL)",
    "CREATE INDEX regions_image ON regions(image)",
    "CREATE INDEX regions_concept ON regions(concept)",
    "CREATE TRIGGER regions_go AFTER DELETE ON images BEGIN DELETE FROM regions WHERE image = old.id; END",
)
COLUMN = "ALTER TABLE images ADD COLUMN regions TEXT"
_FIELDS = "id, image, concept, score, share, x0, y0, x1, y1, outline"


@dataclass(frozen=True)
class Region:
    """A part of a photo that shows a concept.

    Attributes:
        concept: what it shows.
        score: how sure the segmentation is that the photo shows it, 0..1.
        share: of the photo's pixels, 0..1.
        box: ``x0, y0, x1, y1`` in pixels of the photo, ``x1`` and ``y1`` outside.
        outline: around its larger pieces, in pixels of the photo; there may be none.
        id: its id in the index; 0 before it has one.
        image: the id of its photo in the index; 0 before it has one.
    """

    concept: str
    score: float
    share: float
    box: tuple[int, int, int, int]
    outline: Outline = ()
    id: int = 0
    image: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "concept": self.concept,
            "score": self.score,
            "share": self.share,
            "box": list(self.box),
            "outline": [[list(point) for point in polygon] for polygon in self.outline],
        }


def kept(connection: sqlite3.Connection) -> dict[str, Any] | None:
    """Return what is noted of the regions: their concepts, and the encoder and dimension of their vectors."""
    found: dict[str, Any] | None = read_fact(connection, "regions", None)
    return found


def has_table(connection: sqlite3.Connection) -> bool:
    """Say whether this index has a place for regions; those of older formats get it with the first."""
    return "regions" in image_columns(connection)


def has_vectors(connection: sqlite3.Connection) -> bool:
    """Say whether some region has a vector."""
    query = "SELECT 1 FROM regions WHERE vector IS NOT NULL LIMIT 1"
    return has_table(connection) and connection.execute(query).fetchone() is not None


def keep_regions(connection: sqlite3.Connection) -> None:
    """Bring an index of an older format its table of regions, inside the running transaction."""
    if has_table(connection):
        return
    keep_concepts(connection)
    for statement in (*TABLES, COLUMN):
        connection.execute(statement)
    write_fact(connection, "format", REGIONS_FORMAT)


def forget(connection: sqlite3.Connection, images: Iterable[int]) -> None:
    """Take the regions of photos out; they count as never segmented then."""
    gone = [(image,) for image in images]
    connection.executemany("DELETE FROM regions WHERE image = ?", gone)
    connection.executemany("UPDATE images SET regions = NULL WHERE id = ?", gone)


def write(
    connection: sqlite3.Connection,
    image: int,
    found: Iterable[Region],
    vectors: NDArray[np.float32] | None,
) -> None:
    """Store the regions of one photo in place of those that it had.

    Args:
        connection: inside a transaction.
        image: its id.
        found: its regions, perhaps none.
        vectors: a unit row for each, float32 ``[n, d]``, where they have vectors.
    """
    found = list(found)
    forget(connection, [image])
    for place, region in enumerate(found):
        blob = None if vectors is None else vectors[place].astype("<f4", copy=False).tobytes()
        cells = (*_cells(region), json.dumps(region.outline, separators=(",", ":")))
        connection.execute(
            "INSERT INTO regions (image, concept, score, share, x0, y0, x1, y1, outline, vector, crc) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (image, *cells, blob, _crc(cells, blob)),
        )
    concepts = json.dumps(_concepts(found), ensure_ascii=False)
    connection.execute("UPDATE images SET regions = ? WHERE id = ?", (concepts, image))


def read(connection: sqlite3.Connection, images: Iterable[int] | None = None) -> Iterator[Region]:
    """Yield the regions of all photos, or of those with these ids, by ascending photo and id."""
    if not has_table(connection):
        return
    query, values = f"SELECT {_FIELDS} FROM regions", tuple[str, ...]()
    if images is not None:
        query += " WHERE image IN (SELECT value FROM json_each(?))"
        values = (json.dumps([int(image) for image in images]),)
    for row in connection.execute(f"{query} ORDER BY image, id", values):
        yield _region(row)


def by_id(connection: sqlite3.Connection, ids: Iterable[int]) -> dict[int, Region]:
    """Return the regions with these ids that are there, by id."""
    if not has_table(connection):
        return {}
    query = f"SELECT {_FIELDS} FROM regions WHERE id IN (SELECT value FROM json_each(?))"
    rows = connection.execute(query, (json.dumps([int(id_) for id_ in ids]),))
    return {row[0]: _region(row) for row in rows}


def best(
    connection: sqlite3.Connection, concept: str, where: tuple[str, tuple[Any, ...]] | None = None
) -> dict[int, Region]:
    """Return by id the photos that show a concept, with the best region of it each, without its outline."""
    if not has_table(connection):
        return {}
    text, values = "", tuple[Any, ...]()
    if where is not None:
        text, values = f" AND image IN (SELECT id FROM images WHERE {where[0]})", where[1]
    fields = _FIELDS.replace("outline", "'[]'").replace("score", "max(score)")
    query = f"SELECT {fields} FROM regions WHERE concept = ?{text} GROUP BY image"
    return {row[1]: _region(row) for row in connection.execute(query, (concept, *values))}


def counted(connection: sqlite3.Connection) -> dict[str, Any] | None:
    """Return how many regions there are, plain values for JSON; ``None`` where none were ever stored."""
    known = kept(connection)
    if known is None or not has_table(connection):
        return None
    each = connection.execute("SELECT concept, count(*) FROM regions GROUP BY 1").fetchall()
    (photos,) = connection.execute("SELECT count(*) FROM images WHERE regions IS NOT NULL").fetchone()
    (vectors,) = connection.execute("SELECT count(*) FROM regions WHERE vector IS NOT NULL").fetchone()
    counts = dict(each)
    names = [name for name in known["concepts"] if name in counts]
    names += sorted(set(counts).difference(names))
    return {
        "regions": sum(counts.values()),
        "photos": photos,
        "vectors": vectors,
        "concepts": {name: counts[name] for name in names},
        "encoder": known["encoder"],
        "layer": known["layer"],
        "dim": known["dim"],
    }


def faults(connection: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the regions, one line a problem."""
    if not has_table(connection):
        return []
    dim = (kept(connection) or {}).get("dim")
    problems = []
    lists: dict[int, list[str]] = {}
    rows = connection.execute(f"SELECT {_FIELDS}, vector, crc FROM regions ORDER BY image, id")
    for *cells, blob, crc in rows:
        lists.setdefault(cells[1], []).append(cells[2])
        problem = _fault(tuple(cells[2:]), blob, crc, dim)
        if problem is not None:
            problems.append(f"region {cells[0]} of id {cells[1]}: {problem}")
    listed = {
        id_: json.loads(text)
        for id_, text in connection.execute("SELECT id, regions FROM images WHERE regions IS NOT NULL")
    }
    for id_ in sorted(lists.keys() | {id_ for id_, names in listed.items() if names}):
        if sorted(set(lists.get(id_, []))) != sorted(listed.get(id_, [])):
            problems.append(f"the regions of id {id_} are not those that its row names")
    return problems


def _concepts(found: Iterable[Region]) -> list[str]:
    best = sorted(found, key=lambda region: -region.score)
    return list(dict.fromkeys(region.concept for region in best))


def _cells(region: Region) -> tuple[Any, ...]:
    return region.concept, float(region.score), float(region.share), *map(int, region.box)


def _crc(cells: tuple[Any, ...], blob: bytes | None) -> int:
    return zlib.crc32(blob or b"", zlib.crc32(json.dumps(cells).encode()))


def _region(row: tuple[Any, ...]) -> Region:
    id_, image, concept, score, share, x0, y0, x1, y1, outline = row
    polygons = tuple(tuple((x, y) for x, y in polygon) for polygon in json.loads(outline))
    return Region(concept, score, share, (x0, y0, x1, y1), polygons, id_, image)


def _fault(cells: tuple[Any, ...], blob: bytes | None, crc: int, dim: int | None) -> str | None:
    if _crc(cells, blob) != crc:
        return "the checksum does not match, it has changed"
    if blob is None:
        return None
    if dim is None or len(blob) != 4 * dim:
        return f"{len(blob)} bytes make no vector of {dim} numbers"
    length = float(np.linalg.norm(np.frombuffer(blob, "<f4")))
    return None if abs(length - 1) < 1e-3 else "its vector is not of length 1"
