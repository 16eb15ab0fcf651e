"""A class per directory, and text files that say which photos are for training and which for testing.

MIT-67 (Quattoni and Torralba, "Recognizing Indoor Scenes", CVPR 2009) comes so; UC Merced land use (Yang and
Newsam, GIS 2010) and NWPU-RESISC45 (Cheng et al., Proceedings of the IEEE 2017) come without the lists.
"""

from pathlib import Path, PurePosixPath

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import is_inside, read_lines
from perisphere.errors import PerisphereError


def _list(folder: str, train: str, test: str, root: Path) -> Listing:
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    listing = Listing(root)
    seen: set[str] = set()
    for split, name in (("train", train), ("test", test)):
        file = root / name
        if not file.is_file():
            raise PerisphereError(
                f"{file}: no such list. Write it, one CLASS/IMAGE a line, or read the photos as folders and "
                "divide them with `perisphere split`."
            )
        for number, line in read_lines(file):
            _add(listing, seen, folder, split, f"{name}:{number}", line)
    return listing


def _add(listing: Listing, seen: set[str], folder: str, split: str, where: str, line: str) -> None:
    parent = str(PurePosixPath(line).parent)
    if not is_inside(line) or parent == ".":
        listing.bad.append(Skipped(where, "is not CLASS/IMAGE below the folder of photos"))
    elif line in seen:
        listing.bad.append(Skipped(where, f"names {line} again", "names a photo again"))
    else:
        seen.add(line)
        listing.rows.append({"path": f"{folder}{line}", "split": split, "label": parent})


def list_mit67(root: Path) -> Listing:
    """List MIT-67: ``Images/CLASS/IMAGE`` in the splits of ``TrainImages.txt`` and ``TestImages.txt``.

    Args:
        root: the folder that holds the lists and ``Images``.

    Raises:
        PerisphereError: a list is missing or not text.
    """
    return _list("Images/", "TrainImages.txt", "TestImages.txt", root)


def list_divided(root: Path) -> Listing:
    """List ``CLASS/IMAGE`` in the splits of ``train.txt`` and ``test.txt``, as UC Merced and RESISC45.

    Args:
        root: the folder that holds the lists and the classes' folders.

    Raises:
        PerisphereError: a list is missing or not text.
    """
    return _list("", "train.txt", "test.txt", root)
