import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from photos import ORIENTATION, pixels, write_photo
from PIL import Image, ImageOps

from perisphere.catalog import images
from perisphere.catalog.images import ImageError, decode, display, probe


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds almost nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_pillow_applies_it(format: str, orientation: int) -> None:
    image = Image.fromarray(pixels(width=23, height=17))
    exif = image.getexif()
    exif[ORIENTATION] = orientation
    data = encoded(image, format, exif=exif, **({"lossless": True} if format == "WEBP" else {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    np.testing.assert_array_equal(decode(data), expected)
    info = probe(data)
    assert (info.height, info.width) == expected.shape[:2]
    assert (info.format, info.orientation) == (format, orientation)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_the_fast_jpeg_road_gives_pillows_pixels(
    mode: str, subsampling: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(Image.fromarray(pixels(3, 131, 97)).convert(mode), "JPEG", subsampling=subsampling)
    fast = decode(data)
    monkeypatch.setattr(images, "_decode_opencv", lambda *_: None)
    np.testing.assert_array_equal(fast, decode(data))


def test_ordinary_jpegs_do_take_the_fast_road(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("went through Pillow")

    monkeypatch.setattr(images, "_decode_pillow", never)
    data = encoded(Image.fromarray(pixels(width=640, height=480)), "JPEG")
    assert decode(data).shape == (480, 640, 3)
    assert decode(data, at_least=100).shape == (120, 160, 3)


@pytest.mark.parametrize("at_least", [10, 59, 60, 61, 240, 241, 500])
@pytest.mark.parametrize("fast", [True, False])
def test_reduced_decoding_stays_large_enough_and_looks_the_same(
    at_least: int, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fast:
        monkeypatch.setattr(images, "_decode_opencv", lambda *_: None)
    data = encoded(Image.fromarray(pixels(width=640, height=480)), "JPEG", quality=95)
    reduced = decode(data, at_least=at_least)
    assert min(reduced.shape[:2]) >= min(at_least, 480)
    whole = cv2.resize(decode(data), (40, 30), interpolation=cv2.INTER_AREA).astype(int)
    small = cv2.resize(reduced, (40, 30), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(whole - small).mean() < 2


def test_cmyk_becomes_rgb() -> None:
    red = Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK")
    for format in ("JPEG", "TIFF"):
        found = decode(encoded(red, format))[8, 8].astype(int)
        assert np.abs(found - [255, 0, 0]).max() < 8, format


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    deep = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    for format in ("PNG", "TIFF"):
        found = decode(encoded(Image.fromarray(deep), format))
        assert found[0].tolist() == [[value] * 3 for value in (0, 1, 128, 255)], format


def test_sixteen_bit_colour_and_one_bit_are_decoded() -> None:
    ok, data = cv2.imencode(".png", np.full((4, 4, 3), 65535, np.uint16))
    assert ok
    assert (decode(data.tobytes()) == 255).all()
    assert decode(encoded(Image.new("1", (4, 4), 1), "PNG")).tolist() == np.full((4, 4, 3), 255).tolist()


def test_palette_with_transparency_lies_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    data = encoded(image, "PNG", transparency=1)
    assert decode(data)[0].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_half_transparent_pixels_are_mixed_with_white() -> None:
    image = Image.new("RGBA", (1, 1), (0, 0, 0, 128))
    for source in (encoded(image, "PNG"), encoded(image, "WEBP", lossless=True), image, np.asarray(image)):
        assert decode(source)[0, 0].tolist() == [127, 127, 127]


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_picture_counts(format: str) -> None:
    first, second = Image.new("RGB", (8, 8), (250, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 250))
    data = encoded(first, format, save_all=True, append_images=[second])
    assert np.abs(decode(data)[4, 4].astype(int) - [250, 0, 0]).max() < 10


def test_an_mpo_is_decoded() -> None:
    first, second = (Image.fromarray(pixels(seed)) for seed in (0, 1))
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert probe(data).format == "MPO"
    assert np.abs(decode(data).astype(int) - pixels(0)).mean() < 6


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_a_truncated_file_is_an_error(format: str) -> None:
    data = encoded(Image.fromarray(pixels(width=200, height=160)), format)
    probe(data)
    with pytest.raises(ImageError):
        probe(data[: len(data) * 6 // 10])


def test_a_truncated_jpeg_says_so() -> None:
    data = encoded(Image.fromarray(pixels(width=200, height=160)), "JPEG")
    with pytest.raises(ImageError) as caught:
        probe(data[: len(data) // 2])
    assert caught.value.reason == "truncated"


def test_zero_bytes_and_text_renamed_to_jpg(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.jpg", tmp_path / "text.jpg"
    empty.write_bytes(b"")
    text.write_text("hello, I am no photo")
    with pytest.raises(ImageError, match=r"empty\.jpg: empty file"):
        decode(empty)
    with pytest.raises(ImageError, match=r"text\.jpg: not a JPEG, PNG"):
        decode(text)


@pytest.mark.parametrize("size", [(30_000, 30_000), (30_000, 4_000), (1, 100_000_001)])
def test_a_huge_picture_is_refused_by_its_header(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    with pytest.raises(ImageError, match="more than the limit of 100,000,000"):
        probe(png_header(*size))


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path: Path) -> None:
    sparse = tmp_path / "large.jpg"
    with sparse.open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    with pytest.raises(ImageError, match="bytes, more than the limit"):
        probe(sparse)


def test_formats_off_the_list_are_refused() -> None:
    data = encoded(Image.fromarray(pixels()), "PPM")
    with pytest.raises(ImageError, match="not a JPEG"):
        probe(data)


def test_missing_folder_and_pipe_are_errors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path, reason in (
        (tmp_path / "no.jpg", "No such file"),
        (tmp_path, "Is a directory|not a regular file"),
        (tmp_path / "pipe.jpg", "not a regular file"),
    ):
        with pytest.raises(ImageError, match=reason):
            probe(path)


def test_permission_denied_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    path = write_photo(tmp_path / "a.jpg")
    monkeypatch.setattr(images.os, "open", refuse)
    with pytest.raises(ImageError, match=r"a\.jpg: cannot be read \(Permission denied\)"):
        probe(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg")
    path.chmod(0)
    with pytest.raises(ImageError, match="Permission denied"):
        probe(path)


def test_broken_exif_does_not_spoil_a_photo() -> None:
    data = encoded(Image.fromarray(pixels()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert probe(data).orientation == 1


def test_floating_point_pixels_say_what_to_do() -> None:
    data = encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")
    with pytest.raises(ImageError, match="save it with 8 or 16 bits"):
        probe(data)


def test_arrays_are_checked() -> None:
    assert decode(np.zeros((3, 4), np.uint8)).shape == (3, 4, 3)
    assert decode(np.zeros((3, 4, 1), np.uint8)).shape == (3, 4, 3)
    rgb = pixels()
    np.testing.assert_array_equal(decode(rgb), rgb)
    for wrong in (np.zeros((3, 4, 3)), np.zeros((3, 4, 2), np.uint8), np.zeros(3, np.uint8), rgb[:0]):
        with pytest.raises(ImageError):
            decode(wrong)


def test_an_open_pillow_image_keeps_its_size() -> None:
    image = Image.open(io.BytesIO(encoded(Image.fromarray(pixels(width=640, height=480)), "JPEG")))
    assert decode(image, at_least=10).shape == (480, 640, 3)


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_is_an_image_or_an_image_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    format = ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"][seed % 6]
    data = bytearray(encoded(Image.fromarray(pixels(seed, 64, 48)), format))
    for _ in range(rng.integers(1, 20)):
        data[rng.integers(len(data))] = rng.integers(256)
    with contextlib.suppress(ImageError):  # any other exception fails the test
        found = decode(bytes(data))
        assert found.dtype == np.uint8
        assert found.ndim == 3


def test_a_name_that_is_not_utf8_is_printable() -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    assert display(name) == "caf\\xe9.jpg"
    with pytest.raises(ImageError) as caught:
        probe(Path(name))
    str(caught.value).encode("utf-8")


def _deep() -> bytes:
    return encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")


@pytest.mark.parametrize(
    ("data", "reason", "group"),
    [
        (b"", "empty file (0 bytes)", "empty file"),
        (b"text", "not a JPEG, PNG, ", "not a JPEG, PNG, WEBP, BMP, TIFF, GIF or MPO image, whatever"),
        (
            png_header(30_000, 4_000),
            "30,000 x 4,000, more than the limit of 100,000,000 pixels",
            "more than the limit of 100,000,000 pixels",
        ),
        (
            png_header(30_000, 30_000),
            "900,000,000 pixels, more than the limit of 100,000,000 pixels",
            "more than the limit of 100,000,000 pixels",
        ),
        (_deep(), "cannot be decoded (floating-point", "cannot be decoded"),
        (encoded(Image.fromarray(pixels()), "JPEG")[:-200], "truncated", "truncated"),
    ],
    ids=["empty", "text", "huge", "bomb", "deep", "half"],
)
def test_a_reason_has_a_group_without_what_is_of_one_file(data: bytes, reason: str, group: str) -> None:
    with pytest.raises(ImageError) as caught:
        probe(data)
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.reason.startswith(reason)
    assert error.group.startswith(group)
    assert str(error) == str(caught.value) == f"image: {error.reason}."


def test_a_file_of_too_many_bytes_and_a_pipe_have_groups_too(tmp_path: Path) -> None:
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    os.mkfifo(tmp_path / "pipe.jpg")
    groups = []
    for name in ("large.jpg", "pipe.jpg", "none.jpg"):
        with pytest.raises(ImageError) as caught:
            probe(tmp_path / name)
        groups.append(caught.value.group)
    assert groups == [
        "more than the limit of 268,435,456 bytes",
        "not a regular file",
        "cannot be read (No such file or directory)",
    ]


def test_a_picture_within_our_limit_is_decoded_without_pillows_warning() -> None:
    code = (
        "import sys, io; from perisphere.catalog.images import probe; from PIL import Image; "
        "buffer = io.BytesIO(); Image.new('1', (9500, 9500)).save(buffer, 'PNG'); "
        "print(probe(buffer.getvalue()).width)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("9500\n", "")
