"""Proving that an index over a store is whole: what its folder notes, and what the engine holds."""

from __future__ import annotations

import sqlite3

import numpy as np

from perisphere.index.centroid_upkeep import Check
from perisphere.index.store import SqliteFile, read_fact
from perisphere.index.stores import Store
from perisphere.index.stores.protocol import VECTOR
from perisphere.index.sums import kept
from perisphere.index.waiting import patient_bar


def verify(store: SqliteFile, engine: Store, dim: int, *, unit_rows: bool) -> list[str]:
    """Return what is wrong, one line a problem; empty where all is well.

    Args:
        store: the file of the folder.
        engine: what holds the vectors and rows.
        dim: values a vector.
        unit_rows: whether every vector must be of length 1.
    """
    with store.reading() as connection:
        damage = [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
        problems = [f"SQLite: {line}" for line in damage if line != "ok"]
        images = int(read_fact(connection, "images", 0))
        check = Check(dim)
        ids = [np.empty(0, np.int64)]
        with patient_bar("verifying", images, at_once=True) as advance:
            for frame in engine.rows(["label", VECTOR]):
                ids.append(frame["id"].to_numpy())
                vectors = frame[VECTOR].to_numpy()
                check.put(frame["label"].to_list(), vectors)
                problems += _faults_of(ids[-1], vectors, unit_rows)
                advance(frame.height)
        problems += _faults_of_ids(connection, np.concatenate(ids), images)
        if not problems and kept(connection) is not None:  # sums are compared with photos that are whole
            problems = check.faults(connection)
    return problems


def _faults_of(ids: np.ndarray, vectors: np.ndarray, unit_rows: bool) -> list[str]:
    norms = np.einsum("ij,ij->i", vectors, vectors)
    for bad, words in (
        (~np.isfinite(norms), "not finite"),
        (np.abs(norms - 1) > 1e-3 if unit_rows else np.zeros(len(norms), bool), "not of length 1"),
    ):
        if bad.any():
            return [f"{bad.sum()} vectors are {words}, the first with id {ids[bad][0]}"]
    return []


def _faults_of_ids(connection: sqlite3.Connection, ids: np.ndarray, images: int) -> list[str]:
    problems = []
    if len(ids) != images:
        problems.append(f"the store holds {len(ids):,} images, and {images:,} were added and not removed")
    if (np.diff(ids) <= 0).any():
        problems.append("an id is stored twice")
    last = int(read_fact(connection, "last_id", 0))
    if len(ids) and ids[-1] > last:
        problems.append(f"the store holds the id {ids[-1]}, and {last} is the largest that was given")
    worded = np.array([row[0] for row in connection.execute("SELECT rowid FROM words")], dtype=np.int64)
    lost = np.setdiff1d(worded, ids)
    if len(lost):
        problems.append(f"{len(lost)} photos have words and no row, the first with id {lost[0]}")
    return problems
