"""Google Landmarks v2: CSV files of ids, and photos in folders by the first letters of their id.

Source: Weyand et al., "Google Landmarks Dataset v2", CVPR 2020.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing
from perisphere.errors import PerisphereError, UsageError

_ID = re.compile(r"\w{3,64}", re.ASCII)


def list_images(root: Path, *, truth: Path | None = None) -> Listing:
    """List the photos of ``train.csv``, ``index.csv`` and of the retrieval ground truth.

    ``train.csv`` (columns ``id``, ``url``, ``landmark_id``) gives the split ``train`` with labels,
    ``index.csv`` (``id``) the split ``index``, ``retrieval_solution*.csv`` (``id``, ``images``, ``Usage``)
    the split ``query``; queries of usage Ignored are left out and counted. Each of the files may be missing.
    The photo of id ``abcdef`` is ``train/a/b/c/abcdef.jpg``, and likewise in ``index`` and ``test``. Files
    are read line by line while the photos are checked, so that millions take no memory.

    Args:
        root: the folder of the CSV files and of ``train``, ``index`` and ``test``.
        truth: the retrieval ground truth; the only ``retrieval_solution*.csv`` in ``root`` if not given.

    Raises:
        PerisphereError: a file or column is missing, or a file is not CSV.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder of images.")
    solution = Path(truth) if truth is not None else _solution(root)
    files = [
        (root / "train.csv", "train", "train"),
        (root / "index.csv", "index", "index"),
        *([(solution, "test", "query")] if solution is not None else []),
    ]
    present = [item for item in files if item[0].is_file()]
    if truth is not None and not Path(truth).is_file():
        raise PerisphereError(f"{truth}: no such ground truth.")
    if not present:
        raise PerisphereError(f"{root}: holds neither train.csv nor index.csv nor retrieval_solution*.csv.")
    listing = Listing(root)
    listing.later = (row for item in present for row in _rows(*item, listing))
    return listing


def _solution(root: Path) -> Path | None:
    found = sorted(root.glob("retrieval_solution*.csv"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UsageError(f"{root}: holds several ground truths ({names}). Name one with --truth.")
    return found[0] if found else None


def _rows(file: Path, folder: str, split: str, listing: Listing) -> Iterator[dict[str, Any]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, restval="")
            if "id" not in (reader.fieldnames or ()):
                raise PerisphereError(f"{file}: no column 'id'. Its first line must name the columns.")
            for row in reader:
                listed = _row(row, folder, split, f"{file.name}:{reader.line_num}", listing)
                if listed is not None:
                    yield listed
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror}).") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise PerisphereError(f"{file}: not CSV in UTF-8 ({error}).") from error


def _row(row: dict[str, str], folder: str, split: str, where: str, listing: Listing) -> dict[str, Any] | None:
    id = row["id"]
    if not _ID.fullmatch(id):
        listing.bad.append(Skipped(where, "no id of at least three letters or digits"))
        return None
    path = f"{folder}/{id[0]}/{id[1]}/{id[2]}/{id}.jpg"
    if row.get("Usage", "").lower() == "ignored":
        listing.ignored.append(Skipped(path, "query that the ground truth ignores"))
        return None
    return {
        "path": path,
        "split": split,
        "label": row.get("landmark_id") or None,
        "url": row.get("url") or None,
    }
