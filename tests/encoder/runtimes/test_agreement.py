import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.encoder.runtimes.agreement import compared
from perisphere.errors import PerisphereError
from perisphere.sphere import normalise


def rows(seed: int, count: int) -> np.ndarray:
    return normalise(np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32))


@given(seed=st.integers(0, 10**6), count=st.integers(1, 20), off=st.floats(0, 1))
def test_agreement_is_of_pairs(seed: int, count: int, off: float) -> None:
    one = rows(seed, count)
    assert compared(one, one, "x").cosine == pytest.approx(1, abs=1e-6)
    assert compared(one, one, "x").difference == 0
    other = one.copy()
    other[-1] = normalise(one[-1:] + off * rows(seed + 1, 1))[0]
    found = compared(one, other, "x")
    cosines = [float(a @ b) for a, b in zip(one, other, strict=True)]
    assert found.cosine == pytest.approx(min(cosines), abs=1e-6)
    assert found.mean_cosine == pytest.approx(np.mean(cosines), abs=1e-6)
    assert found.difference == pytest.approx(np.abs(one - other).max(), abs=1e-7)
    assert compared(other, one, "x") == found


def test_a_row_that_vanished_is_far_off() -> None:
    one = rows(0, 3)
    one[1] = 0
    assert compared(one, one, "x").cosine == pytest.approx(1)
    other = one.copy()
    other[2] = 0
    assert compared(one, other, "x").cosine == 0


def test_nothing_to_compare() -> None:
    with pytest.raises(PerisphereError, match="sheets: none of the photos can be read"):
        compared(rows(0, 0), rows(0, 0), "sheets")
