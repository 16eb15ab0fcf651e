"""What is kept in memory stays within its bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.serve.refused import RefusedError
from perisphere.serve.thumbnails import Thumbnails
from perisphere.serve.uploads import Uploads


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def picture(pixels: int) -> np.ndarray:
    return np.zeros((1, pixels, 3), np.uint8)


@given(st.lists(st.integers(1, 100), max_size=30))
def test_uploads_stay_within_their_bytes_and_the_newest_stay(sizes: list[int]) -> None:
    uploads = Uploads(300, 60)
    names = [uploads.put(picture(size)) for size in sizes]
    assert uploads.bytes <= 300
    kept = []
    for name, size in zip(names, sizes, strict=True):
        try:
            assert uploads.get(name).shape[1] == size
            kept.append(True)
        except RefusedError:
            kept.append(False)
    assert uploads.bytes == 3 * sum(size for size, there in zip(sizes, kept, strict=True) if there)
    assert kept == sorted(kept)
    assert not sizes or kept[-1]


def test_an_upload_that_is_used_stays_and_one_that_is_not_goes() -> None:
    clock = Clock()
    uploads = Uploads(3000, 10, clock)
    used, left = uploads.put(picture(5)), uploads.put(picture(5))
    for clock.now in (6, 12):
        uploads.get(used)
    with pytest.raises(RefusedError, match="Send it again"):
        uploads.get(left)
    assert (len(uploads), uploads.bytes) == (1, 15)


def test_an_upload_larger_than_all_room_is_refused() -> None:
    uploads = Uploads(29, 10)
    with pytest.raises(RefusedError) as refused:
        uploads.put(picture(10))
    assert (refused.value.status, len(uploads)) == (413, 0)


def test_names_of_uploads_cannot_be_guessed() -> None:
    uploads = Uploads(3000, 10)
    names = {uploads.put(picture(1)) for _ in range(200)}
    assert len(names) == 200
    assert min(map(len, names)) >= 24
    with pytest.raises(RefusedError):
        uploads.get("")


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 60)), max_size=40))
def test_thumbnails_stay_within_their_bytes(puts: list[tuple[int, int]]) -> None:
    thumbnails = Thumbnails(100)
    for key, size in puts:
        thumbnails.put(key, b"x" * size)
        assert thumbnails.get(key) == b"x" * size
        held = [thumbnails.get(other) for other in range(1, 9)]
        assert thumbnails.bytes == sum(len(each) for each in held if each is not None) <= 100


def test_a_thumbnail_larger_than_all_room_is_not_kept() -> None:
    thumbnails = Thumbnails(10)
    thumbnails.put(1, b"small")
    thumbnails.put(2, b"x" * 11)
    assert (thumbnails.get(1), thumbnails.get(2)) == (b"small", None)
