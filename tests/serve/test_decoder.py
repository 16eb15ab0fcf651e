"""Photos are decoded in processes with limits; after one that is refused the next one is served."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import encoded, painted

from perisphere.serve.decode_worker import read, reduced, size_within, write
from perisphere.serve.decoder import Decoder
from perisphere.serve.refused import RefusedError
from perisphere.serve.settings import Settings

PHOTO = painted("sky", 1)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(Settings(decoders=1, side=64, pixels=2_000_000))
    yield decoder
    decoder.close()


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that promises many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def test_a_photo_comes_back_as_its_pixels(decoder: Decoder) -> None:
    photo = decoder.photo(encoded(PHOTO))
    assert np.array_equal(photo.picture, PHOTO)
    assert (photo.width, photo.height) == (40, 30)


def test_a_large_photo_is_reduced_and_its_size_told(decoder: Decoder) -> None:
    photo = decoder.photo(encoded(np.repeat(np.repeat(PHOTO, 10, 0), 10, 1), "JPEG"))
    assert (photo.width, photo.height) == (400, 300)
    assert photo.picture.shape == (48, 64, 3)
    small = np.asarray(PIL.Image.fromarray(PHOTO).resize((64, 48)), int)
    assert np.abs(photo.picture.astype(int) - small).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_stands_upright(decoder: Decoder, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    PIL.Image.fromarray(PHOTO).save(file, "JPEG", exif=exif, quality=95)
    photo = decoder.photo(file.getvalue())
    assert (photo.width, photo.height) == ((40, 30) if orientation < 5 else (30, 40))
    assert photo.picture.shape[:2] == (photo.height, photo.width)


def test_a_thumbnail_is_a_jpeg_of_the_size_asked_for(decoder: Decoder) -> None:
    thumbnail = PIL.Image.open(io.BytesIO(decoder.thumbnail(encoded(PHOTO), 20)))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (20, 15))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"no photo", "not a JPEG"),
        (encoded(PHOTO)[:300], "truncated|decoded"),
        (encoded(PHOTO, "JPEG")[:200], "truncated|decoded"),
        (bomb(60_000, 60_000), "limit"),
        (bomb(1_500, 1_500), "limit of 2,000,000 pixels"),
        (bomb(1_000, 1_000), "truncated|decoded"),
        (bomb(0, 10), "decoded|nothing to see|not a JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a JPEG"),
    ],
    ids=["empty", "text", "png", "jpeg", "bomb", "large", "hollow", "flat", "svg", "eps"],
)
def test_what_is_no_photo_is_refused_in_one_line(decoder: Decoder, data: bytes, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason) as refused:
        decoder.photo(data)
    assert refused.value.status == 422
    assert "\n" not in str(refused.value)
    assert np.array_equal(decoder.photo(encoded(PHOTO)).picture, PHOTO)


def test_a_photo_that_takes_too_long_is_given_up_and_the_next_one_served() -> None:
    decoder = Decoder(Settings(decoders=1, decode_seconds=0.01))
    try:
        with pytest.raises(RefusedError, match="too much memory or time") as refused:
            decoder.photo(encoded(PHOTO))
        assert refused.value.status == 422
    finally:
        decoder.close()


def test_a_photo_that_takes_too_much_memory_is_refused_and_the_next_one_served() -> None:
    decoder = Decoder(Settings(decoders=1, decode_bytes=1400 << 20, pixels=99_000_000, side=9999))
    try:
        assert np.array_equal(decoder.photo(encoded(PHOTO)).picture, PHOTO)
        huge = io.BytesIO()
        PIL.Image.new("RGBA", (9_900, 9_900)).save(huge, "PNG", compress_level=1)
        with pytest.raises(RefusedError) as refused:
            decoder.photo(huge.getvalue())
        assert refused.value.status == 422
        assert np.array_equal(decoder.photo(encoded(PHOTO)).picture, PHOTO)
    finally:
        decoder.close()


def test_a_process_that_ended_meanwhile_is_replaced_before_the_next_photo(decoder: Decoder) -> None:
    decoder.photo(encoded(PHOTO))
    worker = decoder._idle.get()
    decoder._idle.put(worker)
    assert worker._process is not None
    worker._process.kill()
    worker._process.wait()
    assert np.array_equal(decoder.photo(encoded(PHOTO)).picture, PHOTO)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 700))
def test_a_reduced_picture_keeps_its_shape(width: int, height: int, side: int) -> None:
    across, down = size_within(width, height, side)
    assert max(across, down) == min(side, max(width, height))
    assert abs(across * height - down * width) <= max(width, height) or min(across, down) == 1


def test_a_small_picture_is_not_enlarged() -> None:
    assert reduced(PHOTO, 1000) is PHOTO


@given(st.dictionaries(st.text(max_size=5), st.integers()), st.binary(max_size=200))
def test_messages_are_read_as_they_were_written(described: dict[str, int], payload: bytes) -> None:
    stream = io.BytesIO()
    write(stream, described, payload)
    stream.seek(0)
    assert read(stream) == (described, payload)
    assert read(stream) is None
    whole = stream.getvalue()
    for end in range(len(whole)):
        assert read(io.BytesIO(whole[:end])) is None
