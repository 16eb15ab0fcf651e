"""Damage, a full disk and other writers: what is true is kept, what is wrong is named."""

import os
import resource
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import child, run

from perisphere.errors import PerisphereError
from perisphere.index import Index

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")

DIM = 32


def points(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, DIM), dtype=np.float32)


@pytest.fixture
def folder(tmp_path) -> Path:
    with Index.create(tmp_path / "index", DIM) as index:
        index.add(points(500))
        index.remove([3, 4])
    return tmp_path / "index"


def spoil(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / "index.sqlite")
    with connection:
        connection.execute(statement)
    connection.close()


SPOILS = {
    "UPDATE blocks SET vectors = zeroblob(length(vectors))": "checksum",
    "UPDATE blocks SET vectors = substr(vectors, 1, 100)": "do not make",
    "UPDATE blocks SET last_id = 499": "not ascending",
    "DELETE FROM images WHERE id = 9": "vectors have no row, the first with id 9",
    "DELETE FROM blocks": "rows have no vector",
    "DELETE FROM tombstones": "vectors have no row, the first with id 3",
    "INSERT INTO tombstones (id) VALUES (7000)": "removed ids have no vector",
}


@pytest.mark.parametrize("statement", SPOILS)
def test_verify_names_what_was_changed(folder, statement):
    with Index.open(folder) as index:
        assert index.verify() == []
    spoil(folder, statement)
    with Index.open(folder) as index:
        assert any(SPOILS[statement] in problem for problem in index.verify()), index.verify()


def test_a_changed_vector_that_matches_its_checksum_is_found(folder):
    import zlib

    connection = sqlite3.connect(folder / "index.sqlite")
    ids, vectors = connection.execute("SELECT ids, vectors FROM blocks").fetchone()
    longer = (np.frombuffer(vectors, dtype=np.float32) * 2).tobytes()
    with connection:
        connection.execute(
            "UPDATE blocks SET vectors = ?, crc = ?", (longer, zlib.crc32(longer, zlib.crc32(ids)))
        )
    connection.close()
    with Index.open(folder) as index:
        assert any("not of length 1" in problem for problem in index.verify())


def test_a_damaged_block_is_not_rewritten(folder):
    spoil(folder, "UPDATE blocks SET vectors = zeroblob(length(vectors))")
    with Index.open(folder) as index:
        with pytest.raises(PerisphereError, match="damaged, and left alone"):
            index.compact()
        assert index.info()["tombstones"] == 2


def test_a_short_block_is_named_by_a_search(folder):
    spoil(folder, "UPDATE blocks SET vectors = substr(vectors, 1, 128)")
    with Index.open(folder) as index, pytest.raises(PerisphereError, match="index verify"):
        index.search(points(1))


def test_torn_pages_are_found(folder):
    data = bytearray((folder / "index.sqlite").read_bytes())
    data[20_000:24_000] = bytes(4000)
    (folder / "index.sqlite").write_bytes(data)
    try:
        with Index.open(folder) as index:
            problems = index.verify()
    except PerisphereError as error:
        problems = [str(error)]
    assert problems


def test_a_full_disk_leaves_the_index_as_it_was(folder):
    def add_too_much() -> tuple[str, int, list[str]]:
        limit = (folder / "index.sqlite").stat().st_size + 300_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        import signal

        signal.signal(
            signal.SIGXFSZ, signal.SIG_IGN
        )  # a failed write, as on a full disk, instead of a signal
        with Index.open(folder) as index:
            try:
                index.add(points(20_000))
            except PerisphereError as error:
                return str(error), len(index), index.verify()
        return "no error", 0, []

    words, count, problems = run(add_too_much)
    assert "free some space" in words
    assert (count, problems) == (498, [])
    with Index.open(folder) as index:
        assert (len(index), index.verify()) == (498, [])
        assert index.add(points(20_000)).tolist()[0] == 501
        assert index.verify() == []


def test_a_second_writer_waits_or_hears_who_writes(folder):
    def hold(say) -> None:
        with Index.open(folder) as index, index._store.writing():
            say("holding")
            import time

            time.sleep(60)

    with child(hold) as (pid, said):
        assert said.readline() == "holding\n"
        with Index.open(folder, timeout=0.1) as index:
            with pytest.raises(PerisphereError, match=rf"process {pid} .*has been writing"):
                index.add(points(1))
            assert len(index.search(points(1), 3).results()) == 3  # reading goes on
    with Index.open(folder, timeout=0.1) as index:  # the writer was killed: the lock is free
        assert len(index.add(points(1))) == 1


def test_writers_take_turns(folder):
    def add(seed: int):
        def work(say) -> None:
            with Index.open(folder) as index:
                for number in range(10):
                    index.add(points(7, seed=100 * seed + number))
            say("done")

        return work

    with child(add(1)) as (_, first), child(add(2)) as (_, second):
        assert (first.read(), second.read()) == ("done\n", "done\n")
    with Index.open(folder) as index:
        assert len(index) == 498 + 140
        assert index.verify() == []


def test_readers_in_other_processes_see_whole_adds_while_a_writer_adds(folder):
    def read(say) -> None:
        counts = set()
        with Index.open(folder) as index:
            say("ready")
            while max(counts, default=0) < 498 + 40 * 25:
                counts.add(len(index.search(points(1), 3000).results()))
        say(f"{len(counts)} {all((count - 498) % 40 == 0 for count in counts)}")

    with child(read) as (_, first), child(read) as (_, second):
        assert first.readline() == second.readline() == "ready\n"
        with Index.open(folder) as index:
            for number in range(25):
                index.add(points(40, seed=number))
        for said in (first, second):
            states, whole = said.readline().split()
            assert whole == "True"
            assert int(states) >= 1


def test_a_read_only_folder_is_named(folder):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    folder.chmod(0o500)
    try:
        with pytest.raises(PerisphereError, match="cannot be"), Index.open(folder) as index:
            index.add(points(1))
    finally:
        folder.chmod(0o700)
