import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.index.ascending import AscendingIds

IDS = st.lists(st.integers(1, 400) | st.integers(2**32, 2**33) | st.integers(1, 2**62), unique=True).map(
    lambda ids: np.array(sorted(ids), dtype=np.int64)
)
RUN = st.tuples(st.integers(1, 50), st.integers(0, 60)).map(lambda run: np.arange(run[0], sum(run)))


@settings(max_examples=150, deadline=None)
@given(ids=IDS | RUN, others=IDS | RUN, data=st.data())
def test_they_are_what_an_array_would_be(ids, others, data):
    known = AscendingIds.of(ids)
    assert len(known) == len(ids)
    np.testing.assert_array_equal(known.all(), ids)
    np.testing.assert_array_equal(known.places(others), np.flatnonzero(np.isin(ids, others)))
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))), dtype=bool)
    np.testing.assert_array_equal(known.only(kept).all(), ids[kept])
    above = others + (int(ids[-1]) if len(ids) else 0) if len(others) and others[-1] < 2**61 else others[:0]
    np.testing.assert_array_equal(known.followed_by(above).all(), np.concatenate([ids, above]))


@given(RUN, st.integers(1, 40))
def test_ids_without_gaps_take_no_memory(ids, more):
    known = AscendingIds.of(ids)
    last = int(ids[-1]) if len(ids) else 0
    assert known.offsets is None
    grown = known.followed_by(np.arange(last + 1, last + 1 + more))
    assert (grown.offsets, len(grown)) == (None, len(ids) + more)
    assert (grown.followed_by(np.array([last + more + 9])).offsets is None) == (len(grown) == 0)
