"""Adding and removing while others search: all changes happen in one thread, one after another."""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from perisphere.index import Index
from perisphere.index.filling import remove_from
from perisphere.index.filters import Comparison
from perisphere.serve.photos import kind_of
from perisphere.serve.refused import RefusedError
from perisphere.serve.service import Service
from perisphere.serve.wire import SentRow, SentVectors
from perisphere.storage import whole_file

PHOTOS = "photos"
"""Where photos that are added lie, in the folder of the index."""


async def add_photo(service: Service, data: bytes, row: SentRow) -> list[int]:
    """Add a photo, kept under the folder of the index by the hash of its content, and return its id.

    Raises:
        RefusedError: 422 for bytes that are no photo.
        PerisphereError: the index has no encoder, or cannot be written.
    """
    with service.room_for(1):
        photo = await service.photo(data)
        vectors, identity = await service.embed([photo.picture])
    facts = {**row.model_dump(exclude_none=True), "width": photo.width, "height": photo.height}
    change = partial(_add_photo, service.index, data, facts, vectors, identity)
    return await service.write(change)


async def add_vectors(service: Service, sent: SentVectors) -> list[int]:
    """Add vectors and their rows, all or none, and return their ids.

    Raises:
        RefusedError: 422 for vectors of another dimension, or another number of rows.
        PerisphereError: the index cannot be written.
    """
    if any(len(vector) != service.index.dim for vector in sent.vectors):
        raise RefusedError(422, f"a vector has not {service.index.dim} numbers, as each has in the index.")
    if sent.rows is not None and len(sent.rows) != len(sent.vectors):
        raise RefusedError(422, f"{len(sent.rows)} rows for {len(sent.vectors)} vectors. Send one each.")
    table = None if sent.rows is None else _table([row.model_dump(exclude_none=True) for row in sent.rows])
    vectors = np.array(sent.vectors, np.float32)
    ids = await service.write(lambda: service.index.add(vectors, table))
    return [int(id_) for id_ in ids]


async def remove(service: Service, ids: Sequence[int]) -> int:
    """Remove images, all or none, with the photos that were added here, and return how many.

    Raises:
        RefusedError: 404 for an id that is not there.
    """
    return await service.write(partial(_remove, service.index, sorted(set(ids))))


def _add_photo(
    index: Index, data: bytes, facts: dict[str, object], vectors: np.ndarray, identity: str
) -> list[int]:
    name = f"{hashlib.sha256(data).hexdigest()}.{kind_of(data[:16])[1]}"
    file = index.folder / PHOTOS / name
    known = file.exists()
    if not known:
        with whole_file(file) as part:
            part.write_bytes(data)
    try:
        root = file.parent.resolve()
        table = _table([{**facts, "path": name}])
        ids = index.add(vectors, table, root=root, encoder_identity=identity)
    except BaseException:
        if not known:
            file.unlink(missing_ok=True)
        raise
    return [int(id_) for id_ in ids]


def _remove(index: Index, ids: Sequence[int]) -> int:
    rows = index.rows(ids, missing_ok=True)
    missing = set(ids) - set(rows["id"])
    if missing:
        raise RefusedError(404, f"the index holds no image with id {min(missing)}. Nothing was removed.")
    removed = remove_from(index, ids)
    own = str((index.folder / PHOTOS).resolve())
    for root, path in rows.select("root", "path").unique().iter_rows():
        if root == own and not len(index.ids(Comparison("path", "==", path))):
            (Path(root) / Path(path).name).unlink(missing_ok=True)
    return removed


def _table(rows: Sequence[dict[str, object]]) -> pl.DataFrame:
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([{name: row.get(name) for name in names} for row in rows], infer_schema_length=None)
