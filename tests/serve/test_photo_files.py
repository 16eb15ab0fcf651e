"""Files are opened under their root, and no link is followed on the way."""

import gc
import os
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perisphere.serve.originals import original
from perisphere.serve.photos import kind_of, opened, read
from perisphere.serve.refused import RefusedError

PNG = b"\x89PNG\r\n\x1a\n" + b"the rest"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with photos, links and traps, and a secret beside it."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "secret.png").write_bytes(PNG + b"secret")
    root = folder / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "photo.png").write_bytes(PNG)
    (root / "photo.png").write_bytes(PNG)
    (root / "link.png").symlink_to(folder / "secret.png")
    (root / "inner.png").symlink_to("photo.png")
    (root / "up").symlink_to(folder)
    (root / "again").symlink_to("a")
    os.mkfifo(root / "pipe.png")
    (folder / "entrance").symlink_to(root)
    return folder


def bytes_of(root: Path | None, path: str | None) -> bytes:
    return read({"root": None if root is None else str(root), "path": path})


@pytest.mark.parametrize("path", ["photo.png", "a/b/photo.png"])
def test_photos_under_the_root_are_read(place: Path, path: str) -> None:
    assert bytes_of(place / "root", path) == PNG
    assert bytes_of(place / "root", f"{place}/root/{path}") == PNG
    assert bytes_of(None, f"{place}/root/{path}") == PNG


def test_the_root_itself_may_be_reached_over_a_link(place: Path) -> None:
    assert bytes_of(place / "entrance", "photo.png") == PNG


@pytest.mark.parametrize(
    "path",
    [
        *(
            "../secret.png",
            "a/../../secret.png",
            "a/../photo.png",
            "./photo.png",
            "a//b/photo.png",
            "photo.png/",
        ),
        *("link.png", "inner.png", "up/secret.png", "up/root/photo.png", "again/b/photo.png"),
        *("pipe.png", "a", "", ".", "..", "missing.png", "photo.png\0.jpg", "photo.png/x", "\udcff.png"),
    ],
)
def test_tricks_find_nothing(place: Path, path: str) -> None:
    with pytest.raises(RefusedError) as refused:
        bytes_of(place / "root", path)
    assert refused.value.status == 404
    assert str(place) not in str(refused.value)


def test_an_absolute_path_outside_its_root_is_not_opened(place: Path) -> None:
    for path in (f"{place}/secret.png", f"{place}/root-2/photo.png", f"{place}/root/../secret.png"):
        with pytest.raises(RefusedError):
            bytes_of(place / "root", path)


@pytest.mark.parametrize(("root", "path"), [(None, None), (None, "photo.png"), ("/nowhere", "photo.png")])
def test_an_image_without_a_place_has_no_photo(root: str | None, path: str | None) -> None:
    with pytest.raises(RefusedError):
        read({"root": root, "path": path})


PARTS = ["a", "b", "..", ".", "", "up", "again", "root", "photo.png", "secret.png", "link.png", "/", "\0"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=3)), max_size=6).map("/".join))
def test_whatever_is_opened_lies_under_the_root(place: Path, path: str) -> None:
    root = (place / "root").resolve()
    try:
        with opened(str(place / "root"), path) as handle:
            real = Path(f"/proc/self/fd/{handle}").resolve()
            assert real.is_relative_to(root)
            assert real == root / path.removeprefix(f"{place}/root/")
    except RefusedError:
        return


def test_an_original_that_is_never_sent_is_closed(place: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    answer = original({"id": 1, "root": str(place / "root"), "path": "photo.png"})
    assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del answer
        gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_no_descriptor_is_left_open(place: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for path in ("photo.png", "a/b/photo.png", "link.png", "a/b/none.png", "up/secret.png"):
        try:
            bytes_of(place / "root", path)
        except RefusedError:
            continue
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize(
    "content", [b"", b"<svg onload=alert(1)>", b"root:x:0:0", b"%PDF-1.7", b"RIFF1234WAVE"]
)
def test_a_file_that_is_no_picture_does_not_leave_the_disk(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.png").write_bytes(content)
    with pytest.raises(RefusedError) as refused:
        original({"id": 1, "root": str(tmp_path), "path": "file.png"})
    assert refused.value.status == 404


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"\xff\xd8\xff\xe0", "image/jpeg"), (PNG, "image/png"), (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp")],
)
def test_pictures_are_known_by_their_first_bytes(head: bytes, kind: str) -> None:
    assert kind_of(head)[0] == kind
