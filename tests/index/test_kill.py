"""A killed writer loses nothing that it had finished, and leaves nothing half done."""

import os
import random
import signal
import sys
import time

import numpy as np
import polars as pl
import pytest
from processes import child

from perisphere.codes import Codebooks
from perisphere.index import Index
from perisphere.index.vectors import clean

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

KILLS = 60
BATCH = 60
DIM = 32
DELAY = 0.02  # seconds at most from the last word that was waited for to the kill


def batch(number: int) -> np.ndarray:
    """The vectors of one add: all of them tell its number."""
    vectors = np.random.default_rng(number).standard_normal((BATCH, DIM), dtype=np.float32)
    vectors[:, 0] = number
    return vectors


def change(folder, number: int, say) -> None:
    """Add whole batches, remove whole batches and compact, saying what is begun and what is done."""
    with Index.open(folder) as index:
        say("ready")
        while True:
            number += 1
            say(f"begin add {number}")
            index.add(batch(number), pl.DataFrame({"label": [str(number)] * BATCH}))
            say(f"done add {number}")
            if number % 3 == 0:
                say(f"begin remove {number - 1}")
                index.remove(index.ids(f"label == '{number - 1}'"))
                say(f"done remove {number - 1}")
            if number % 4 == 0:
                index.compact()


def expected(model: dict[int, bool | None], line: str) -> None:
    """``True``: there; ``False``: not there; ``None``: begun, so whole either way."""
    stage, verb, number = line.split()
    model[int(number)] = None if stage == "begin" else verb == "add"


def check(folder, model: dict[int, bool | None], known=batch) -> None:
    """Compare an index with what must be in it: whole batches of vectors as ``known`` tells them."""
    with Index.open(folder) as index:
        assert index.verify() == []
        ids, vectors = index.vectors()
        labels = index.rows(ids)["label"].to_list()
        held = {int(label) for label in labels}
        for number, there in model.items():
            assert there is None or (number in held) == there, f"batch {number}: {there}"
        assert held <= set(model)
        for number in held:
            mine = [row for row, label in enumerate(labels) if label == str(number)]
            np.testing.assert_allclose(vectors[mine], known(number), atol=1e-6)
            model[number] = True
        for number in set(model) - held:
            model[number] = False


def killed(folder, kills: int, known=batch) -> None:
    """Kill writers of an empty index at random moments; what they had finished is there, and no half."""
    model: dict[int, bool | None] = {}
    moments = random.Random(0)
    done = 0
    for _ in range(kills):
        start = max(model, default=0)
        with child(lambda say, start=start: change(folder, start, say)) as (pid, said):
            assert said.readline() == "ready\n"
            lines = [said.readline() for _ in range(moments.randrange(1, 9))]
            time.sleep(moments.random() * DELAY)
            os.kill(pid, signal.SIGKILL)
            for line in [*lines, *said]:
                expected(model, line)
                done += line.startswith("done")
        check(folder, model, known)
    assert done > kills  # the kills fell among much work, not before it
    with Index.open(folder) as index:
        index.add(batch(10_000))
        index.compact()
        assert index.verify() == []


def test_a_writer_killed_at_random_moments_loses_nothing(tmp_path):
    Index.create(tmp_path / "index", DIM, metric="l2").close()
    killed(tmp_path / "index", KILLS)


@pytest.mark.parametrize("mode", ["beside", "only"])
def test_a_killed_writer_leaves_vectors_and_codes_of_one_moment(tmp_path, mode):
    words = np.random.default_rng(0).standard_normal((2, 64, DIM)).astype(np.float32) / 8
    codebooks = Codebooks(words, "residual")
    Index.create(tmp_path / "index", DIM, codebooks=codebooks, codes=mode).close()

    def known(number: int) -> np.ndarray:
        rows = clean(batch(number), "cosine")
        return rows if mode == "beside" else codebooks.decode(codebooks.encode(rows))

    killed(tmp_path / "index", KILLS // 6, known)


def test_a_log_cut_at_any_length_leaves_whole_operations(tmp_path):
    """What a power cut may leave: the write-ahead log up to some byte."""
    folder = tmp_path / "index"
    index = Index.create(folder, DIM, metric="l2")
    sizes = [0]
    for number in range(1, 7):
        index.add(batch(number), pl.DataFrame({"label": [str(number)] * BATCH}))
        sizes.append((folder / "index.sqlite-wal").stat().st_size)
    index.remove(index.ids("label == '2'"))
    sizes.append((folder / "index.sqlite-wal").stat().st_size)
    store, log = (folder / "index.sqlite").read_bytes(), (folder / "index.sqlite-wal").read_bytes()
    index.close()
    moments = random.Random(1)
    cuts = {moments.randrange(len(log)) for _ in range(40)} | {
        size + nudge for size in sizes for nudge in (-1, 0, 1)
    }
    for number, cut in enumerate(sorted(cut for cut in cuts if 0 <= cut <= len(log))):
        torn = tmp_path / f"torn {number}"
        torn.mkdir()
        (torn / "index.sqlite").write_bytes(store)
        (torn / "index.sqlite-wal").write_bytes(log[:cut])
        whole = max(step for step, size in enumerate(sizes) if size <= cut)
        there = set(range(1, min(whole, 6) + 1)) - ({2} if whole == 7 else set())
        check(torn, {step: step in there for step in range(1, 7)})
