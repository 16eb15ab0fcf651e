"""Which gallery images are right for each query: the published files of the retrieval benchmarks."""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from perisphere.catalog.images import SUFFIXES
from perisphere.errors import PerisphereError
from perisphere.foreign.plain_pickle import read_plain_pickle

Box = tuple[float, float, float, float]
Kind = Literal["revisited", "classic", "gldv2"]

QUERY_SUFFIX = "_query.txt"
# The query files of Oxford 5k name the photo with a mark of its collection, the photo's own name has none.
_OXFORD_MARK = "oxc1_"


@dataclass(frozen=True)
class GroundTruth:
    """What counts for each query. Every name is a file's stem: no folder, no extension.

    Attributes:
        kind: ``revisited`` (lists ``easy``, ``hard``, ``junk``), ``classic`` (``ok``, ``junk``; ``ok`` holds
            the good ones too) or ``gldv2`` (``ok``).
        queries: the query photo's name for each query; one photo may serve several queries.
        gallery: names in the order that the file gives, or None where it does not list the gallery.
        lists: for each query the names in each list of its kind; every list is there, maybe empty.
        boxes: for each query x0, y0, x1, y1 of the object in pixels of its photo, or None.
    """

    kind: Kind
    queries: tuple[str, ...]
    gallery: tuple[str, ...] | None
    lists: tuple[Mapping[str, tuple[str, ...]], ...]
    boxes: tuple[Box | None, ...]

    def __len__(self) -> int:
        return len(self.queries)


def stem(name: str) -> str:
    """Return a file's name without folder and without an image's extension: ``jpg/a.b.jpg`` is ``a.b``."""
    file = PurePosixPath(name.replace("\\", "/"))
    return file.stem if file.suffix.lower() in SUFFIXES else file.name


def read_ground_truth(path: Path) -> GroundTruth:
    """Read the ground truth of a benchmark; no code in the file is run.

    Args:
        path: ``gnd_NAME.pkl`` or the same as JSON (dict of ``imlist``, ``qimlist`` and ``gnd``, whose entries
            have ``bbx`` and zero-based ``easy``, ``hard``, ``junk`` or ``ok``, ``junk``); the folder of the
            text files ``QUERY_query.txt``, ``_good.txt``, ``_ok.txt``, ``_junk.txt``; or the CSV of Google
            Landmarks v2 (columns ``id``, ``images``, ``Usage``).

    Raises:
        PerisphereError: the file is missing, damaged, of none of these forms, or contradicts itself.
    """
    path = Path(path)
    if path.is_dir():
        return _read_classic(path)
    if not path.is_file():
        raise PerisphereError(f"{path}: no such file or folder of ground truth.")
    suffix = path.suffix.lower()
    if suffix in (".pkl", ".pickle"):
        return _from_indices(read_plain_pickle(path), path)
    if suffix == ".json":
        return _from_indices(_read_json(path), path)
    if suffix == ".csv":
        return _read_gldv2(path)
    raise PerisphereError(f"{path}: ground truth is a .pkl, .json or .csv file, or a folder of text files.")


# --- dict of imlist, qimlist and gnd ---


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise PerisphereError(f"{path}: not JSON ({error}).") from error
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _from_indices(value: Any, path: Path) -> GroundTruth:
    if not isinstance(value, dict) or not {"imlist", "qimlist", "gnd"} <= value.keys():
        raise PerisphereError(f"{path}: no ground truth: it must hold imlist, qimlist and gnd.")
    gallery, queries = _names(value, "imlist", path), _names(value, "qimlist", path)
    entries = value["gnd"]
    if not isinstance(entries, list | tuple) or len(entries) != len(queries):
        raise PerisphereError(f"{path}: gnd must have an entry for each of the {len(queries)} in qimlist.")
    if not entries:
        raise PerisphereError(f"{path}: gnd is empty, so there is no query.")
    if not all(isinstance(entry, dict) for entry in entries):
        raise PerisphereError(f"{path}: an entry of gnd is no dict of lists.")
    kind: Kind = "revisited" if any("easy" in entry or "hard" in entry for entry in entries) else "classic"
    wanted = ("easy", "hard") if kind == "revisited" else ("ok",)
    lists, boxes = [], []
    for query, entry in zip(queries, entries, strict=True):
        where = f"{path}: query {query!r}"
        for name in wanted:
            if name not in entry:
                raise PerisphereError(f"{where}: the list {name!r} is missing.")
        lists.append(
            {name: _members(entry.get(name, ()), name, gallery, where) for name in (*wanted, "junk")}
        )
        boxes.append(_box(entry["bbx"], where) if entry.get("bbx") is not None else None)
    return GroundTruth(kind, queries, gallery, tuple(lists), tuple(boxes))


def _names(value: Mapping[str, Any], key: str, path: Path) -> tuple[str, ...]:
    given = value[key]
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        raise PerisphereError(f"{path}: {key} is no list of names.")
    names = tuple(stem(name) for name in given)
    if key == "imlist" and len(set(names)) != len(names):
        doubled = Counter(names).most_common(1)[0][0]
        raise PerisphereError(f"{path}: {key} names {doubled!r} twice, so its index says nothing.")
    return names


def _members(given: Any, name: str, gallery: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the names at zero-based indices into the gallery."""
    indices = given.ravel().tolist() if isinstance(given, np.ndarray) else given
    if not isinstance(indices, list | tuple):
        raise PerisphereError(f"{where}: {name} is no list of indices.")
    for index in indices:
        if type(index) is not int or not 0 <= index < len(gallery):
            raise PerisphereError(
                f"{where}: {name} has {str(index)[:40]}; imlist has indices from 0 to {len(gallery) - 1}."
            )
    return tuple(gallery[index] for index in dict.fromkeys(indices))


def _box(given: Any, where: str) -> Box:
    corners = given.ravel().tolist() if isinstance(given, np.ndarray) else given
    try:
        x0, y0, x1, y1 = (float(corner) for corner in corners)
    except (TypeError, ValueError, OverflowError):
        raise PerisphereError(f"{where}: the box {str(given)[:80]} is not four numbers.") from None
    if not all(math.isfinite(corner) for corner in (x0, y0, x1, y1)) or x0 >= x1 or y0 >= y1:
        raise PerisphereError(f"{where}: the box {[x0, y0, x1, y1]} has no area.")
    return x0, y0, x1, y1


# --- text files of Oxford 5k and Paris 6k ---


def _read_classic(folder: Path) -> GroundTruth:
    files = sorted(folder.glob(f"*{QUERY_SUFFIX}"))
    if not files:
        raise PerisphereError(f"{folder}: no ground truth: no file is named QUERY{QUERY_SUFFIX}.")
    queries, boxes, lists = [], [], []
    for file in files:
        name, box = _classic_query(file)
        base = file.name.removesuffix(QUERY_SUFFIX)
        good, ok, junk = (_lines(folder / f"{base}_{part}.txt") for part in ("good", "ok", "junk"))
        queries.append(name)
        boxes.append(box)
        lists.append({"ok": tuple(dict.fromkeys(good + ok)), "junk": junk})
    return GroundTruth("classic", tuple(queries), None, tuple(lists), tuple(boxes))


def _classic_query(file: Path) -> tuple[str, Box]:
    lines = _text(file).split("\n")
    words = lines[0].split()
    if len(words) != 5:
        raise PerisphereError(f"{file}: line 1 must be a photo's name and four numbers, its box.")
    return stem(words[0].removeprefix(_OXFORD_MARK)), _box(words[1:], str(file))


def _lines(file: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys(stem(line.strip()) for line in _text(file).split("\n") if line.strip()))


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        raise PerisphereError(f"{file}: not UTF-8 text.") from error


# --- Google Landmarks v2 ---


def _read_gldv2(path: Path) -> GroundTruth:
    """Read ``retrieval_solution``; queries of usage Ignored, which have no right image, are left out."""
    queries, lists = [], []
    for number, row in _csv_rows(path):
        if row["Usage"].lower() == "ignored":
            continue
        images = tuple(dict.fromkeys(row["images"].split()))
        if not row["id"] or not images:
            raise PerisphereError(f"{path}: line {number}: no id or no images; a query without is 'Ignored'.")
        queries.append(row["id"])
        lists.append({"ok": images})
    if not queries:
        raise PerisphereError(f"{path}: no query counts: every row is ignored, or there is none.")
    return GroundTruth("gldv2", tuple(queries), None, tuple(lists), (None,) * len(queries))


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(_text(path).splitlines(), restval="")
    missing = {"id", "images", "Usage"}.difference(reader.fieldnames or ())
    if missing:
        raise PerisphereError(f"{path}: no column {sorted(missing)[0]!r}; the columns are id, images, Usage.")
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise PerisphereError(f"{path}: line {reader.line_num} is not CSV ({error}).") from error
