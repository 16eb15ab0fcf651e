import numpy as np
import polars as pl
import pytest
from hypothesis import settings

from perisphere.evaluation import Points

# A busy machine makes no example slow enough to matter.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def _points(labels, vectors=None, splits=None, seed=0):
    n = len(labels)
    if vectors is None:
        vectors = np.random.default_rng(seed).standard_normal((n, 6)).astype(np.float32)
    rows = pl.DataFrame(
        {"id": range(100, 100 + n), "split": splits or [None] * n, "label": labels},
        schema={"id": pl.Int64, "split": pl.String, "label": pl.String},
    )
    return Points(np.asarray(vectors, np.float32), rows, "somewhere", {"name": "e"})


@pytest.fixture
def points():
    """Make points of labels, with random vectors where none are given."""
    return _points
