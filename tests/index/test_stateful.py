import shutil
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from perisphere.index import Index

DIM = 8


class IndexMachine(RuleBasedStateMachine):
    """Any sequence of changes leaves what a dictionary would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.index = Index.create(self.folder / "index", DIM, metric="l2")
        self.model: dict[int, tuple[bytes, str]] = {}
        self.used = 0

    @rule(count=st.integers(0, 40), seed=st.integers(0, 1000), gap=st.integers(0, 3))
    def add(self, count: int, seed: int, gap: int) -> None:
        vectors = np.random.default_rng(seed).standard_normal((count, DIM), dtype=np.float32)
        labels = [f"{seed}-{row}" for row in range(count)]
        own = None if gap == 0 else list(range(self.used + gap, self.used + gap + count))[::-1]
        ids = self.index.add(vectors, pl.DataFrame({"label": labels}, schema={"label": pl.String}), ids=own)
        assert len(ids) == count
        assert all(id_ > self.used for id_ in ids)
        for id_, vector, label in zip(ids.tolist(), vectors, labels, strict=True):
            self.model[id_] = (vector.tobytes(), label)
        self.used = max([self.used, *ids.tolist()])

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.model:
            chosen = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True))
            assert self.index.remove(chosen) == len(chosen)
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
    def holds_what_the_model_holds(self) -> None:
        ids, vectors = self.index.vectors()
        labels = self.index.rows(ids)["label"].to_list()
        held = {
            id_: (vector.tobytes(), label)
            for id_, vector, label in zip(ids.tolist(), vectors, labels, strict=True)
        }
        assert held == self.model
        assert len(self.index) == len(self.model)

    def teardown(self) -> None:
        assert self.index.verify() == []
        self.index.close()
        shutil.rmtree(self.folder)


IndexMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestIndexMachine = IndexMachine.TestCase
