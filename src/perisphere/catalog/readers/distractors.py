"""Photos that are right for no query, listed in a text file: the distractors of revisited Oxford and Paris.

Source: Radenovic et al., "Revisiting Oxford and Paris", CVPR 2018.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing
from perisphere.errors import PerisphereError


def list_images(root: Path, *, names: Path | None = None) -> Listing:
    """List the photos that a text file names, one relative path a line; all in split ``distractor``.

    The file is read line by line while the photos are checked, so that a million take no memory.

    Args:
        root: the folder that holds the text file, and the photos in ``jpg`` (or beside the file).
        names: the text file; the only ``.txt`` in ``root`` where it is not given.

    Raises:
        PerisphereError: a folder or file is missing, or the file is not text.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder of images.")
    file = _find(root) if names is None else Path(names)
    if not file.is_file():
        raise PerisphereError(f"{file}: no such list of names.")
    listing = Listing(root)
    listing.later = _rows(file, listing)
    return listing


def _find(root: Path) -> Path:
    files = sorted(root.glob("*.txt"))
    if len(files) != 1:
        raise PerisphereError(
            f"{root}: holds {len(files)} .txt files. Name the list of the photos with --names."
        )
    return files[0]


def _rows(file: Path, listing: Listing) -> Iterator[dict[str, Any]]:
    folder = "jpg/" if (listing.root / "jpg").is_dir() else ""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                name = line.strip()
                if name.startswith("/") or ".." in name.split("/"):
                    reason = "leads out of the folder of photos"
                    listing.bad.append(Skipped(f"{file.name}:{number}", reason))
                elif name:
                    yield {"path": folder + name, "split": "distractor"}
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise PerisphereError(f"{file}: not UTF-8 text.") from error
