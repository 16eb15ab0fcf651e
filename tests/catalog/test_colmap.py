"""Keypoints of WikiScenes out of COLMAP's text models."""

from pathlib import Path

import pytest
from photos import write_photo

from perisphere.catalog import Catalog
from perisphere.catalog.readers import keypoint_file, read
from perisphere.errors import PerisphereError, UsageError

POSE = "1 0 0 0 0 0 0"


def model(
    folder: Path, images: str, cameras: str = "1 PINHOLE 400 300 1 1 1 1\n2 SIMPLE_RADIAL 80 60 1 1 1 1\n"
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.txt").write_text(f"# Camera list\n{cameras}")
    (folder / "images.txt").write_text(f"# Image list\n{images}", "utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(
        ["0/pictures/a.jpg", "0/1/pictures/b_c.jpg", "0/1/pictures/a.jpg", "3/pictures/a.jpg"]
    ):
        write_photo(tmp_path / "WikiScenes/cathedrals" / name, number, 40, 30)
    return tmp_path


def points(found: Catalog) -> list[tuple[str, int, float, float]]:
    assert found.keypoints is not None
    paths = dict(found.table.select("id", "path").iter_rows())
    rows = found.keypoints.iter_rows()
    return [(paths[image].removeprefix("WikiScenes/cathedrals/"), point, x, y) for image, point, x, y in rows]


def test_points_of_reconstructions(root: Path) -> None:
    model(
        root / "3d/0/0",
        f"1 {POSE} 1 0/pictures/a.jpg\n200 150 5 10 10 -1 400 300 9\n"
        f"2 {POSE} 2 1/pictures/b c.jpg\n40 30 5\n"
        f"3 {POSE} 2 b_c.jpg\n\n"
        f"4 {POSE} 2 a.jpg\n1 1 5\n"  # two photos of the landmark have this name
        f"5 {POSE} 2 1/pictures/a.jpg\n90 1 5 8 6 9\n",
    )
    model(root / "3d/3/12", f"7 {POSE} 2 a.jpg\n0 60 5")
    found = read("wikiscenes", root, colmap=root / "3d")
    assert points(found) == [
        ("0/pictures/a.jpg", 5, 20.0, 15.0),
        ("0/pictures/a.jpg", 9, 40.0, 30.0),
        ("0/1/pictures/b_c.jpg", 5, 20.0, 15.0),
        ("0/1/pictures/a.jpg", 9, 4.0, 3.0),
        ("3/pictures/a.jpg", 15, 0.0, 30.0),  # 0 to 9 are taken by the first reconstruction
    ]
    assert found.source["remarks"][keypoint_file.STRANGE] == ["0: a.jpg"]
    assert found.source["remarks"][keypoint_file.OUTSIDE] == ["0: 1/pictures/a.jpg"]


IMAGE = f"1 {POSE} 1 0/pictures/a.jpg\n"


@pytest.mark.parametrize(
    ("images", "cameras", "complaint"),
    [
        ("1 2 3\n\n", "1 P 4 3\n", "images.txt: line 2 is not IMAGE_ID"),
        (f"1 {POSE} one a.jpg\n\n", "1 P 4 3\n", "images.txt: line 2 is not IMAGE_ID"),
        (f"1 {POSE} \u00b2 a.jpg\n\n", "1 P 4 3\n", "images.txt: line 2 is not IMAGE_ID"),
        (f"1 {POSE} {'9' * 5000} a.jpg\n\n", "1 P 4 3\n", "images.txt: line 2 is not IMAGE_ID"),
        (IMAGE + "1 2\n", "1 P 4 3\n", "images.txt: line 3 is not X Y POINT3D_ID"),
        (IMAGE + "1 2 x\n", "1 P 4 3\n", "images.txt: line 3 is not X Y POINT3D_ID"),
        (IMAGE + "nan 2 3\n", "1 P 4 3\n", "images.txt: line 3 has numbers that no"),
        (IMAGE + "1 2 1e300\n", "1 P 4 3\n", "images.txt: line 3 has numbers that no"),
        (IMAGE + "1 2 3\n", "2 P 4 3\n", "0/pictures/a.jpg: camera 1 is not in cameras.txt"),
        (IMAGE + "1 2 3\n", "1_0 P 4 3\n", "cameras.txt: line 2 is not CAMERA_ID"),
        (IMAGE + "1 2 3\n", "1 P\n", "cameras.txt: line 2 is not CAMERA_ID"),
        (IMAGE + "1 2 3\n", "1 P 0 3\n", "cameras.txt: line 2 is not CAMERA_ID"),
        (IMAGE + "1 2 3\n", "1 P inf 3\n", "cameras.txt: line 2 is not CAMERA_ID"),
    ],
)
def test_files_of_another_form(root: Path, images: str, cameras: str, complaint: str) -> None:
    model(root / "3d/0/0", images, cameras)
    with pytest.raises(PerisphereError, match=complaint):
        read("wikiscenes", root, colmap=root / "3d")


def test_missing_and_unreadable_files(root: Path) -> None:
    (root / "3d").mkdir()
    with pytest.raises(PerisphereError, match="holds no reconstruction"):
        read("wikiscenes", root, colmap=root / "3d")
    model(root / "3d/0/0", IMAGE + "1 2 3\n")
    (root / "3d/0/0/cameras.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(PerisphereError, match=r"cameras.txt: not UTF-8"):
        read("wikiscenes", root, colmap=root / "3d")
    (root / "3d/0/0/cameras.txt").unlink()
    with pytest.raises(PerisphereError, match=r"cameras.txt: no such file of the reconstruction"):
        read("wikiscenes", root, colmap=root / "3d")
    with pytest.raises(PerisphereError, match="no such folder of colmap"):
        read("wikiscenes", root, colmap=root / "nowhere")
    with pytest.raises(UsageError, match="both hold keypoints"):
        read("wikiscenes", root, colmap=root / "3d", correspondences=root / "c.json")
