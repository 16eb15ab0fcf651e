import shutil
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from perisphere.codes import Codebooks
from perisphere.index import Index
from perisphere.index.vectors import clean

DIM = 8
BOOKS = Codebooks(np.random.default_rng(0).standard_normal((2, 12, DIM)).astype(np.float32) / 4, "residual")


class CodedMachine(RuleBasedStateMachine):
    """Any sequence of changes leaves the codes, and the vectors, that a dictionary would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model: dict[int, np.ndarray] = {}
        self.used = 0

    @initialize(mode=st.sampled_from(["beside", "only"]))
    def create(self, mode: str) -> None:
        self.index = Index.create(self.folder / "index", DIM, codebooks=BOOKS, codes=mode)
        self.reader = Index.open(self.folder / "index")

    @rule(count=st.integers(1, 30), seed=st.integers(0, 1000), gap=st.sampled_from([0, 0, 1, 2**33]))
    def add(self, count: int, seed: int, gap: int) -> None:
        vectors = np.random.default_rng(seed).standard_normal((count, DIM), dtype=np.float32)
        labels = pl.DataFrame({"label": [str(row % 2) for row in range(count)]})
        own = None if gap == 0 else list(range(self.used + gap, self.used + gap + count))[::-1]
        ids = self.index.add(vectors, labels, ids=own)
        self.model |= dict(zip(ids.tolist(), clean(vectors, "cosine"), strict=True))
        self.used = max(ids.tolist())

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.model:
            chosen = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True))
            self.index.remove(chosen)
            for id_ in chosen:
                del self.model[id_]

    @rule()
    def compact(self) -> None:
        self.index.compact()

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = Index.open(self.folder / "index")

    @invariant()
    def finds_what_the_model_holds(self) -> None:
        ids = np.array(sorted(self.model), dtype=np.int64)
        vectors = np.array([self.model[id_] for id_ in ids.tolist()]).reshape(len(ids), DIM)
        query = np.ones((1, DIM), np.float32) / DIM**0.5
        decoded = BOOKS.decode(BOOKS.encode(vectors)) if len(ids) else vectors
        for index in (self.index, self.reader):
            found = index.search(query, 5, shortlist=0)
            scores = np.sort(decoded @ query[0])[::-1][:5]
            np.testing.assert_allclose(found.scores[0], scores, atol=1e-6)
            assert set(found.ids[0].tolist()) <= set(ids.tolist())
            known = index.vectors(ids)[1]
            kept = vectors if index.codes_kept == "beside" else decoded
            np.testing.assert_allclose(known, kept, atol=1e-6)

    def teardown(self) -> None:
        if hasattr(self, "index"):
            assert self.index.verify() == []
            self.index.close()
            self.reader.close()
        shutil.rmtree(self.folder)


CodedMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=10, deadline=None)
TestCodedMachine = CodedMachine.TestCase
